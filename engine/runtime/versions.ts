/**
 * Versions of assigned tensors. A plain loop writes a new version into a buffer of its own and keeps exactly one earlier one alive, so that
 * a later read of the last step (`await loss.item(); await accuracy.item()`) still finds what it was built from. Older ones go at once,
 * whatever the collector does.
 */
import type { Node } from "../graph.js";
import type { Tensor } from "../tensor.js";
import { unwatch } from "./storage.js";

const OLDER =
  "it was built from a version of a parameter that has been replaced twice since; read what belongs to one step together (await Promise.all([a.item(), b.item()]), or realize(a, b)), or return it from compile(…)";

function expire(node: Node, why: string): void {
  const value = node.value;
  if (value?.kind !== "device") return;
  unwatch(value.storage);
  value.storage.release();
  node.value = { kind: "gone", why };
}

/** After a plan has been queued that computes the handle's newest version. */
export function carryOut(handle: Tensor): void {
  handle.node.inputs = [];
  handle.generations.push(handle.node);
  while (handle.generations.length > 2) expire(handle.generations.shift() as Node, OLDER);
}

/** After a plan has updated the handle in place: the earlier version has lost its buffer to the new one. */
export function carryOutInPlace(handle: Tensor, old: Node): void {
  old.value = { kind: "gone", why: "a compiled step has updated it in place; return from the compiled function what you want to read" };
  handle.node.inputs = [];
  for (const node of handle.generations) if (node !== old) expire(node, OLDER);
  handle.generations = [handle.node];
}

/** Gives the handle its last realized version back: a step that failed changes no parameter. */
export function rollBack(handle: Tensor, failed: Node, why: string): void {
  handle.generations = handle.generations.filter((node) => node !== failed);
  const last = handle.generations.at(-1);
  if (last === undefined || handle.node === last) return;
  failed.value = { kind: "gone", why };
  failed.inputs = [];
  handle.node = last;
  handle.device.effects.delete(handle);
}

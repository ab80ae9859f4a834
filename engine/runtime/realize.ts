/** Reads and realizes: pending effects and wanted nodes become one plan; nodes turn into leaves as soon as it is queued. */
import type { BufferHandle } from "../../backends/backend.js";
import { debugLog } from "../debug.js";
import type { Device } from "../device.js";
import { hostArray, type TypedArray } from "../dtype.js";
import { OpError } from "../errors.js";
import { building, type Node } from "../graph.js";
import { type HostFunction, hostFunctionOf } from "../ops/host.js";
import { hostCalls, schedule, type WantedOutput } from "../schedule/schedule.js";
import { type Walk, walk } from "../schedule/walk.js";
import { numel, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import type { CompiledPlan } from "./cache.js";
import { assertChecks, predicate, rangeChecks } from "./checks.js";
import type { Binding } from "./execute.js";
import { releaseWith, Storage, unwatch } from "./storage.js";
import { carryOut, rollBack } from "./versions.js";

export type ReadResult = { readonly ok: true; readonly data: TypedArray } | { readonly ok: false; readonly error: unknown };

/** Called with the nodes of every read; the anomaly mode of `autograd` sits here. */
export const readHooks: ((device: Device, nodes: readonly Node[]) => Promise<void>)[] = [];

export async function readNodes(device: Device, nodes: readonly Node[]): Promise<ReadResult[]> {
  for (const hook of readHooks) await hook(device, nodes);
  const failures = new Map<Node, unknown>();
  const wanted = [...new Set(nodes)].filter((node) => node.value === null);
  try {
    await compute(device, wanted, (node, error) => failures.set(node, error));
  } catch (error) {
    for (const node of wanted) if (!failures.has(node)) failures.set(node, error);
  }
  return Promise.all(
    nodes.map(async (node): Promise<ReadResult> => {
      if (failures.has(node)) return { ok: false, error: failures.get(node) };
      try {
        return { ok: true, data: await fetchNode(device, node, wanted.includes(node)) };
      } catch (error) {
        return { ok: false, error };
      }
    }),
  );
}

export async function realizeNodes(device: Device, nodes: readonly Node[]): Promise<void> {
  const wanted = [...new Set(nodes)].filter((node) => node.value === null);
  await compute(device, wanted, (_, error) => {
    throw error;
  });
}

/** Carries out all effects that wait on the device. */
export const flushEffects = (device: Device): Promise<void> | null => compute(device, [], () => {});

/** The values; results of this very read go back to the host and give their buffer up. */
async function fetchNode(device: Device, node: Node, transient: boolean): Promise<TypedArray> {
  const value = node.value;
  if (value === null) throw new OpError("read", `${node.op.name} was not computed`);
  if (value.kind === "gone") throw new OpError("read", value.why);
  if (value.kind === "host") return value.data.slice();
  const length = numel(node.shape);
  const data = length === 0 ? hostArray(node.dtype, 0) : await device.backend.download(value.storage.buffer, length);
  if (transient && node.value === value && node.leafOf === null && node.op.name !== "version") {
    unwatch(value.storage);
    value.storage.release();
    node.value = { kind: "host", data: data.slice() };
  }
  return data;
}

/** Why a node cannot be computed: it, or something it needs, is gone. */
function unreadable(node: Node): OpError | null {
  const seen = new Set<Node>();
  const stack = [node];
  while (stack.length > 0) {
    const at = stack.pop() as Node;
    if (seen.has(at)) continue;
    seen.add(at);
    if (at.value?.kind === "gone") {
      const what =
        at === node
          ? ""
          : `${node.op.name} ${showShape(node.shape)}${node.module ? ` in ${node.module}` : ""} needs a value that is gone: `;
      return new OpError("read", `${what}${at.value.why}`);
    }
    if (at.value === null) stack.push(...at.inputs);
  }
  return null;
}

/** One plan for the wanted nodes and all pending effects. Wanted nodes that cannot be computed go to `refuse`, and are left out. */
function compute(device: Device, wanted: readonly Node[], refuse: (node: Node, error: OpError) => void): Promise<void> | null {
  let effects = [...device.effects].filter((handle) => handle.node.value === null);
  device.effects.clear();
  building.pendingNodes = 0;
  let asked = wanted;
  const rootsOf = (): Node[] => [...new Set([...asked, ...effects.map((handle) => handle.node)])];
  let roots = rootsOf();
  let graph = walk(roots);
  if (graph.leaves.some((leaf) => leaf.value?.kind === "gone")) {
    asked = wanted.filter((node) => {
      const error = unreadable(node);
      if (error !== null) refuse(node, error);
      return error === null;
    });
    effects = effects.filter((handle) => {
      const error = unreadable(handle.node);
      if (error !== null) rollBack(handle, handle.node, error.message);
      return error === null;
    });
    roots = rootsOf();
    graph = walk(roots);
  }
  if (roots.length === 0) return null;
  const checks = rangeChecks(graph.nodes);
  if (checks.length > 0) {
    predicate(effects, checks);
    roots = [...rootsOf(), ...checks.map((check) => check.bad)];
    graph = walk(roots);
  }
  const compiled = planFor(
    device,
    graph,
    roots.map((node) => ({ node, donor: null })),
  );
  const done = submit(device, graph, compiled, roots, effects, wanted.length > 0);
  return checks.length === 0 ? done : Promise.resolve(done).then(() => assertChecks(checks, (flag) => fetchNode(device, flag, true)));
}

export function planFor(device: Device, graph: Walk, wanted: readonly WantedOutput[]): CompiledPlan {
  let compiled = device.plans.find(graph.key);
  if (compiled === null) {
    const plan = schedule(graph, wanted, device.backend, device);
    compiled = device.executor.compile(plan);
    device.plans.add(graph.key, compiled);
    debugLog(
      1,
      () =>
        `crabro: new plan on ${device.name}: ${graph.nodes.length} nodes, ${plan.steps.length} kernels, ${device.plans.stats().size} plans kept`,
    );
  }
  return compiled;
}

/** Buffers or data of a walk's leaves. */
export function bindLeaves(graph: Walk): (BufferHandle | TypedArray)[] {
  return graph.leaves.map((node) => {
    const value = node.value;
    if (value?.kind === "host") return value.data;
    if (value?.kind === "device") return value.storage.buffer;
    throw new OpError("read", value?.kind === "gone" ? value.why : `${node.op.name} has no value`);
  });
}

export function bindHostFunctions(graph: Walk): HostFunction[] {
  const functions: HostFunction[] = [];
  const calls = hostCalls(graph.nodes);
  if (calls.size === 0) return functions;
  for (const node of graph.nodes) {
    const call = calls.get(node.attrs.call);
    if (node.op.lower.kind === "host" && call !== undefined) functions[call] ??= hostFunctionOf(node);
  }
  return functions;
}

function submit(
  device: Device,
  graph: Walk,
  compiled: CompiledPlan,
  roots: readonly Node[],
  effects: readonly Tensor[],
  waits: boolean,
): Promise<void> | null {
  const storages = roots.map((node) => new Storage(device.pool, device.pool.acquire(node.dtype, numel(node.shape)), numel(node.shape)));
  const pinned = graph.leaves.flatMap((node) => (node.value?.kind === "device" ? [node.value.storage] : []));
  const binding: Binding = { leaves: bindLeaves(graph), outputs: storages.map((s) => s.buffer), hostFunctions: bindHostFunctions(graph) };
  const fail = (error: unknown): void => {
    const why = `the plan that was to compute it failed: ${error instanceof Error ? error.message : String(error)}`;
    for (const handle of effects) rollBack(handle, handle.node, why);
    roots.forEach((node, i) => {
      unwatch(storages[i]);
      storages[i].release();
      node.value = { kind: "gone", why };
    });
    device.plans.drop(compiled);
  };
  let done: Promise<void> | null;
  try {
    done = device.executor.run(compiled, binding, waits);
  } catch (error) {
    fail(error);
    throw error;
  }
  roots.forEach((node, i) => {
    node.value = { kind: "device", storage: storages[i] };
    releaseWith(node, storages[i]);
    if (!node.requiresGrad || node.spent) node.inputs = [];
  });
  for (const handle of effects) carryOut(handle);
  if (done === null) return null;
  for (const storage of pinned) storage.pin();
  return done.then(
    () => {
      for (const storage of pinned) storage.unpin();
    },
    (error) => {
      for (const storage of pinned) storage.unpin();
      fail(error);
      throw error;
    },
  );
}

/** The deterministic fill of the reference data: weights and inputs come from a name, never from a file. */
import { numel, type Shape } from "../engine/shape.js";

/** FNV-1a, 32 bits, over the UTF-8 bytes. */
export function fnv1a32(text: string): number {
  let hash = 2166136261;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 16777619);
  return hash >>> 0;
}

/** Element i of the fill: a hash of (name, i), uniform in [offset - scale, offset + scale), rounded to float32 once. */
export function fillValue(hash: number, i: number, scale: number, offset: number): number {
  let x = (hash + Math.imul(i, 0x9e3779b9)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  x = (x ^ (x >>> 16)) >>> 0;
  return Math.fround((2 * (x / 2 ** 32) - 1) * scale + offset);
}

export function fill(name: string, shape: Shape, scale = 1, offset = 0): Float32Array {
  const hash = fnv1a32(name);
  const out = new Float32Array(numel(shape));
  for (let i = 0; i < out.length; i++) out[i] = fillValue(hash, i, scale, offset);
  return out;
}

/** Scale and offset for a state-dict entry; null for the one that stays at 0 (`num_batches_tracked`). First match wins. */
export function fillRule(name: string, shape: Shape): { readonly scale: number; readonly offset: number } | null {
  const last = name.slice(name.lastIndexOf(".") + 1);
  if (last === "num_batches_tracked") return null;
  if (last === "running_var") return { scale: 0.25, offset: 1 };
  if (last === "running_mean") return { scale: 0.1, offset: 0 };
  if (last === "complex_weight") return { scale: 0.5, offset: 0 };
  if (/^gamma[12]?$/.test(last)) return { scale: 0.2, offset: 0.5 };
  if (last === "slot_scale") return { scale: 0, offset: 5 };
  if (last === "init_slots") return { scale: 1, offset: 0 };
  if (last.endsWith("bias")) return { scale: 0.1, offset: 0 };
  if (name.endsWith("pos_conv.weight")) return { scale: 0.1, offset: 0 };
  if (last === "weight" && shape.length === 1) return { scale: 0.2, offset: 1 };
  if (shape.length >= 2) return { scale: Math.sqrt(3 / numel(shape.slice(1))), offset: 0 };
  throw new Error(`the fill has no rule for ${name} of rank ${shape.length}`);
}

/** The values of a state-dict entry. */
export function fillEntry(name: string, shape: Shape): Float32Array {
  const rule = fillRule(name, shape);
  return rule === null ? new Float32Array(numel(shape)) : fill(name, shape, rule.scale, rule.offset);
}

/** A finished body as a compute shader: bindings, helpers, and which point of the kernel an invocation or a workgroup takes. */
import type { Axis, BufferSpec } from "../../engine/kernel/ir.js";
import { libraryOf } from "./library.js";
import { storedType } from "./scalar.js";
import type { Writer } from "./writer.js";

/** Invocations in a workgroup, at most. */
const groupSize = 64;
/** Workgroups along a dimension, by WebGPU's default limits. */
const maxGroups = 65535;

/** Complex numbers. */
export interface Constants {
  /** Equal for equal values. */
  readonly key: string;
  readonly values: Float32Array<ArrayBuffer>;
}

export interface Program {
  readonly source: string;
  /** Workgroups to be launched. */
  readonly groups: readonly [number, number];
  /** What the shader reads from one more binding, after the kernel's own. */
  readonly constants: Constants | null;
}

export const maxPoints = maxGroups * maxGroups;

export interface ShaderOptions {
  readonly points: number;
  /** Workgroups from which on they have their full size. */
  readonly fullGroups?: number;
  /** Invocations of the workgroup that takes each point; without it each invocation takes one. */
  readonly groupPerPoint?: number;
  readonly declarations?: readonly string[];
  readonly constants?: Constants;
}

/** The body uses `point`, and `lane`, the number of the invocation in its workgroup. */
export function shader(buffers: readonly BufferSpec[], writer: Writer, options: ShaderOptions): Program {
  const { points, fullGroups = 1, groupPerPoint, declarations = [], constants = null } = options;
  const shared = groupPerPoint !== undefined;
  const alone = points >= groupSize * fullGroups ? groupSize : Math.max(4, 2 ** Math.floor(Math.log2(points / fullGroups)));
  const size = groupPerPoint ?? alone;
  const count = shared ? points : Math.ceil(points / size);
  const rows = Math.ceil(count / maxGroups);
  const columns = Math.ceil(count / rows);
  const body = writer.finish();
  const flat = rows === 1 ? "group.x" : `(group.y * ${columns}u + group.x)`;
  const source = [
    ...[...writer.extensions].map((extension) => `enable ${extension};`),
    // The compiler takes for granted only that points of one workgroup may differ; our own rule is in `sharing.ts`.
    writer.extensions.has("subgroups") ? "diagnostic(off, subgroup_uniformity);" : "",
    ...buffers.map(declaration),
    constants === null
      ? ""
      : `@group(0) @binding(${buffers.length}) var<storage, read> roots: array<vec2f, ${constants.values.length / 2}>;`,
    ...declarations,
    libraryOf(writer.helpers),
    `@compute @workgroup_size(${size})`,
    "fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {",
    shared ? `  let point = ${flat};` : `  let point = ${flat} * ${size}u + lane;`,
    rows * columns * (shared ? 1 : size) > points ? `  if (point >= ${points}u) { return; }` : "",
    indent(body),
    "}",
  ];
  return { source: `${source.filter((line) => line !== "").join("\n")}\n`, groups: [columns, rows], constants };
}

/** With its length, so that the check of an index needs not ask for it. */
function declaration({ dtype, access, length }: BufferSpec, i: number): string {
  const mode = access === "read" ? "read" : "read_write";
  return `@group(0) @binding(${i}) var<storage, ${mode}> b${i}: array<${storedType(dtype)}, ${Math.max(1, length)}>;`;
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, "  ");

/** The point's coordinates, the last axis fastest, so that neighbours in a workgroup are neighbours in memory. One division an axis. */
export function defineAxes(writer: Writer, axes: readonly Axis[]): void {
  let rest = "point";
  for (let i = axes.length - 1; i > 0; i--) {
    const { size } = axes[i];
    const next = writer.name("rest");
    writer.line(`let ${next} = ${rest} / ${size}u;`);
    writer.defineAxis(axes[i], `i32(${rest} - ${next} * ${size}u)`);
    rest = next;
  }
  if (axes.length > 0) writer.defineAxis(axes[0], `i32(${rest})`);
}

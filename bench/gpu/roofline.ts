/** The adapter's roofline in plain WGSL, without the engine: a large copy, multiply-adds in registers, and a tiled matmul. By timestamps, medians. */

import { Builder } from "../../backends/conformance-kit.js";
import { type Opened, openDevice } from "../../backends/webgpu/adapter.js";
import { Pipelines } from "../../backends/webgpu/pipelines.js";
import { Staging } from "../../backends/webgpu/staging.js";
import { runTimed } from "../../backends/webgpu/timing.js";
import type { Size } from "./workloads.js";

export interface AdapterRoofline {
  readonly adapter: string;
  /** Bytes read and written by a copy. */
  readonly bytesPerSecond: number;
  /** Multiply-adds in registers, two each. */
  readonly flopsPerSecond: number;
  /** Of a matmul in plain WGSL with shared memory. */
  readonly matmulFlopsPerSecond: number;
}

interface Trial {
  readonly name: string;
  readonly source: string;
  /** Floats in the input and in the output buffer. */
  readonly input: number;
  readonly output: number;
  readonly groups: readonly [number, number];
  /** Bytes moved or operations done. */
  readonly amount: number;
}

const header = `@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
`;

const copy = (floats: number): Trial => {
  const across = 4096;
  const down = floats / 4 / 256 / across;
  return {
    name: "copy",
    source: `${header}@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) at: vec3u) { let i = at.x + at.y * ${across * 256}u; y[i] = x[i]; }
`,
    input: floats,
    output: floats,
    groups: down >= 1 ? [across, down] : [floats / 4 / 256, 1],
    amount: 8 * floats,
  };
};

const chain = (groups: number): Trial => {
  const rounds = 1024;
  return {
    name: "multiply-adds",
    source: `${header}@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let a = x[0]; let b = x[1];
  var p = x[2] + vec4f(f32(at.x)); var q = p + a; var r = q + a; var s = r + a;
  for (var i = 0; i < ${rounds / 8}; i++) {
    ${"p = fma(p, a, b); q = fma(q, a, b); r = fma(r, a, b); s = fma(s, a, b);\n    ".repeat(8)}
  }
  y[at.x] = p + q + r + s;
}
`,
    input: 16,
    output: groups * 256 * 4,
    groups: [groups, 1],
    amount: groups * 256 * rounds * 4 * 4 * 2,
  };
};

/** 64 × 64 tiles, 16 deep, 4 × 4 results an invocation. */
const product = (n: number): Trial => ({
  name: "matmul",
  source: `${header}var<workgroup> a: array<array<f32, 65>, 16>;
var<workgroup> b: array<array<vec4f, 16>, 16>;
@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let row = group.y * 64u; let column = group.x * 16u; let flat = lane.y * 16u + lane.x;
  var sums: array<vec4f, 4>;
  for (var k = 0u; k < ${n}u; k += 16u) {
    let left = x[(row + flat / 4u) * ${n / 4}u + k / 4u + flat % 4u];
    for (var i = 0u; i < 4u; i++) { a[(flat % 4u) * 4u + i][flat / 4u] = left[i]; }
    b[flat / 16u][flat % 16u] = x[${(n * n) / 4}u + (k + flat / 16u) * ${n / 4}u + column + flat % 16u];
    workgroupBarrier();
    for (var i = 0u; i < 16u; i++) {
      let right = b[i][lane.x];
      for (var j = 0u; j < 4u; j++) { sums[j] = fma(vec4f(a[i][lane.y * 4u + j]), right, sums[j]); }
    }
    workgroupBarrier();
  }
  for (var j = 0u; j < 4u; j++) { y[(row + lane.y * 4u + j) * ${n / 4}u + column + lane.x] = sums[j]; }
}
`,
  input: 2 * n * n,
  output: n * n,
  groups: [n / 64, n / 64],
  amount: 2 * n ** 3,
});

export async function adapterRoofline(size: Size, software: boolean): Promise<AdapterRoofline> {
  const opened = await openDevice({ software });
  const pick = (full: number, quick: number, small: number): number => ({ full, quick, software: small })[size];
  try {
    const bytesPerSecond = await rate(opened, copy(pick(2 ** 26, 2 ** 26, 2 ** 20)));
    const flopsPerSecond = await rate(opened, chain(pick(8192, 8192, 8)));
    const matmulFlopsPerSecond = await rate(opened, product(pick(4096, 2048, 128)));
    return { adapter: opened.description, bytesPerSecond, flopsPerSecond, matmulFlopsPerSecond };
  } finally {
    opened.device.destroy();
  }
}

/** Amount a second, of the median of several launches after some that warm up. */
async function rate({ device }: Opened, { name, source, input, output, groups, amount }: Trial): Promise<number> {
  const make = (floats: number) => device.createBuffer({ size: 4 * floats, usage: GPUBufferUsageStorage });
  const [from, to] = [make(input), make(output)];
  const builder = new Builder();
  builder.buffer("float32", input);
  builder.buffer("float32", output, "write");
  const { pipeline, layout } = await new Pipelines(device).get(builder.kernel(name, []), source);
  const entries = [from, to].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const bindGroup = device.createBindGroup({ layout, entries });
  const encode = (pass: GPUComputePassEncoder): void => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(groups[0], groups[1]);
  };
  const staging = new Staging(device);
  const rounds = 12;
  const times = await runTimed(
    device,
    staging,
    Array.from({ length: rounds }, () => encode),
  );
  for (const buffer of [from, to]) buffer.destroy();
  staging.destroy();
  const sorted = times
    .slice(2)
    .map(({ milliseconds }) => milliseconds)
    .sort((a, b) => a - b);
  return (1e3 * amount) / sorted[sorted.length >> 1];
}

const GPUBufferUsageStorage = 128 | 8;

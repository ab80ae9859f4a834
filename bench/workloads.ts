/** What is measured: single operations, parts of HorNet, and whole training steps. */
import { numel, type ParameterSpec } from "./inputs.js";

export type Shape = readonly number[];

export type Work =
  | { readonly kind: "matmul"; readonly n: number }
  | {
      readonly kind: "conv";
      readonly x: Shape;
      readonly w: Shape;
      readonly stride: number;
      readonly padding: number;
      readonly groups: number;
    }
  /** Layer norm over the channels of [N, C, H, W], or over the last dim; affine. */
  | { readonly kind: "norm-channels" | "norm-last"; readonly x: Shape }
  /** relu(2 x + 1) · x, GELU by erf, softmax over the last dim, mean over H and W. */
  | { readonly kind: "chain" | "gelu" | "softmax" | "mean"; readonly x: Shape }
  | { readonly kind: "attention"; readonly x: Shape }
  /** irfft2(rfft2(x) · filter). */
  | { readonly kind: "fourier"; readonly x: Shape }
  | { readonly kind: "adamw"; readonly n: number }
  | { readonly kind: "gnconv" | "block"; readonly x: Shape; readonly order: number; readonly parameters: readonly ParameterSpec[] }
  | { readonly kind: "hornet"; readonly x: Shape; readonly config: HornetConfig; readonly parameters: readonly ParameterSpec[] };

export interface HornetConfig {
  readonly inChans: number;
  readonly classes: number;
  readonly depths: readonly number[];
  readonly baseDim: number;
  readonly orders: readonly number[];
}

/** A forward pass, forward and all gradients, or forward, backward and AdamW. */
export type Direction = "fwd" | "fwd+bwd" | "step";

export interface Task {
  readonly workload: string;
  readonly direction: Direction;
  readonly work: Work;
}

export type Size = "full" | "small";

const widths = (dim: number, order: number): number[] => Array.from({ length: order }, (_, k) => dim / 2 ** (order - 1 - k));

type Draft = readonly [name: string, shape: Shape, kind?: "one" | "scale"];

function gnconvDrafts(path: string, dim: number, order: number): Draft[] {
  const dims = widths(dim, order);
  const inner = dims.reduce((a, b) => a + b);
  return [
    [`${path}proj_in.weight`, [2 * dim, dim, 1, 1]],
    [`${path}proj_in.bias`, [2 * dim]],
    [`${path}dwconv.weight`, [inner, 1, 7, 7]],
    [`${path}dwconv.bias`, [inner]],
    [`${path}proj_out.weight`, [dim, dim, 1, 1]],
    [`${path}proj_out.bias`, [dim]],
    ...dims.slice(1).flatMap((width, i): Draft[] => [
      [`${path}pws.${i}.weight`, [width, dims[i], 1, 1]],
      [`${path}pws.${i}.bias`, [width]],
    ]),
  ];
}

function blockDrafts(path: string, dim: number, order: number): Draft[] {
  return [
    [`${path}gamma1`, [dim], "scale"],
    [`${path}gamma2`, [dim], "scale"],
    [`${path}norm1.weight`, [dim], "one"],
    [`${path}norm1.bias`, [dim]],
    ...gnconvDrafts(`${path}gnconv.`, dim, order),
    [`${path}norm2.weight`, [dim], "one"],
    [`${path}norm2.bias`, [dim]],
    [`${path}pwconv1.weight`, [4 * dim, dim]],
    [`${path}pwconv1.bias`, [4 * dim]],
    [`${path}pwconv2.weight`, [dim, 4 * dim]],
    [`${path}pwconv2.bias`, [dim]],
  ];
}

function hornetDrafts({ inChans, classes, depths, baseDim, orders }: HornetConfig): Draft[] {
  const dims = [1, 2, 4, 8].map((factor) => factor * baseDim);
  return [
    ["downsample_layers.0.0.weight", [dims[0], inChans, 4, 4]],
    ["downsample_layers.0.0.bias", [dims[0]]],
    ["downsample_layers.0.1.weight", [dims[0]], "one"],
    ["downsample_layers.0.1.bias", [dims[0]]],
    ...dims.slice(0, 3).flatMap((dim, i): Draft[] => [
      [`downsample_layers.${i + 1}.0.weight`, [dim], "one"],
      [`downsample_layers.${i + 1}.0.bias`, [dim]],
      [`downsample_layers.${i + 1}.1.weight`, [dims[i + 1], dim, 2, 2]],
      [`downsample_layers.${i + 1}.1.bias`, [dims[i + 1]]],
    ]),
    ...dims.flatMap((dim, i) => Array.from({ length: depths[i] }, (_, j) => blockDrafts(`stages.${i}.${j}.`, dim, orders[i])).flat()),
    ["norm.weight", [dims[3]], "one"],
    ["norm.bias", [dims[3]]],
    ["head.weight", [classes, dims[3]]],
    ["head.bias", [classes]],
  ];
}

const parametersOf = (drafts: readonly Draft[]): ParameterSpec[] =>
  drafts.map(([name, shape, kind], i) => ({
    name,
    shape,
    seed: 100 + i,
    scale: shape.length > 1 ? numel(shape.slice(1)) ** -0.5 : 1,
    value: kind === "scale" ? 0.1 : kind === "one" ? 1 : shape.length > 1 ? null : 0,
  }));

const configs: Readonly<Record<"micro" | "tiny", HornetConfig>> = {
  micro: { inChans: 1, classes: 10, depths: [1, 1, 2, 1], baseDim: 16, orders: [2, 3, 4, 5] },
  tiny: { inChans: 3, classes: 1000, depths: [2, 3, 18, 2], baseDim: 64, orders: [2, 3, 4, 5] },
};

function conv(x: Shape, out: number, k: number, { stride = 1, padding = 0, groups = 1 } = {}): Work {
  return { kind: "conv", x, w: [out, x[1] / groups, k, k], stride, padding, groups };
}

/** In the order in which they are run, the training step that counts most first; with `small`, what a software GPU takes in reasonable time. */
export function tasksOf(size: Size): Task[] {
  const full = size === "full";
  const n = full ? 8 : 1;
  const rows = full ? 512 : 64;
  const pixels = n * 56 * 56;
  const tasks: Task[] = [];
  const both = (workload: string, work: Work): void => {
    tasks.push({ workload, direction: "fwd", work }, { workload, direction: "fwd+bwd", work });
  };
  const network = (name: "micro" | "tiny", x: Shape): Work => ({
    kind: "hornet",
    x,
    config: configs[name],
    parameters: parametersOf(hornetDrafts(configs[name])),
  });
  for (const direction of ["fwd", "step"] as const) {
    tasks.push({ workload: "hornet_micro_64x1x32x32", direction, work: network("micro", [64, 1, 32, 32]) });
  }
  for (const side of [256, 512, 1024]) both(`matmul_${side}`, { kind: "matmul", n: side });
  both(`conv3x3_${n}x64x56x56_64`, conv([n, 64, 56, 56], 64, 3, { padding: 1 }));
  both(`conv1x1_${n}x64x56x56_128`, conv([n, 64, 56, 56], 128, 1));
  both(`patch4x4_${n}x3x224x224_64`, conv([n, 3, 224, 224], 64, 4, { stride: 4 }));
  both(`dw7_${n}x64x56x56`, conv([n, 64, 56, 56], 64, 7, { padding: 3, groups: 64 }));
  both(`dw7_${n}x384x14x14`, conv([n, 384, 14, 14], 384, 7, { padding: 3, groups: 384 }));
  both(`norm_channels_${n}x64x56x56`, { kind: "norm-channels", x: [n, 64, 56, 56] });
  both(`norm_last_${pixels}x64`, { kind: "norm-last", x: [pixels, 64] });
  both(`gelu_${n}x256x56x56`, { kind: "gelu", x: [n, 256, 56, 56] });
  both(`softmax_${rows}x3136`, { kind: "softmax", x: [rows, 3136] });
  both(`attention_${n}x8x196x32`, { kind: "attention", x: [n, 8, 196, 32] });
  both(`fourier_${n}x192x14x14`, { kind: "fourier", x: [n, 192, 14, 14] });
  if (full) both(`fourier_${n}x192x56x56`, { kind: "fourier", x: [n, 192, 56, 56] });
  both(`mean_${n}x64x56x56`, { kind: "mean", x: [n, 64, 56, 56] });
  both(`chain_${n}x256x56x56`, { kind: "chain", x: [n, 256, 56, 56] });
  tasks.push({ workload: full ? "adamw_5M" : "adamw_500k", direction: "step", work: { kind: "adamw", n: full ? 5_000_000 : 500_000 } });
  for (const kind of ["gnconv", "block"] as const) {
    const drafts = kind === "gnconv" ? gnconvDrafts("", 64, 3) : blockDrafts("", 64, 3);
    both(`${kind}_${n}x64x28x28`, { kind, x: [n, 64, 28, 28], order: 3, parameters: parametersOf(drafts) });
  }
  if (full) {
    for (const direction of ["fwd", "step"] as const) {
      tasks.push({ workload: "hornet_tiny_2x3x64x64", direction, work: network("tiny", [2, 3, 64, 64]) });
    }
    tasks.push({ workload: "hornet_tiny_1x3x224x224", direction: "fwd", work: network("tiny", [1, 3, 224, 224]) });
  }
  return tasks;
}

/** Taps and outputs of a convolution along one side. */
const places = (size: number, k: number, stride: number, padding: number): number => Math.floor((size + 2 * padding - k) / stride) + 1;

/** The shape of what comes out of a forward pass. */
export function outputShape(work: Work): Shape {
  switch (work.kind) {
    case "matmul":
      return [work.n, work.n];
    case "conv": {
      const [n, , h, w] = work.x;
      const [out, , k] = work.w;
      return [n, out, places(h, k, work.stride, work.padding), places(w, k, work.stride, work.padding)];
    }
    case "mean":
      return work.x.slice(0, 2);
    case "adamw":
      return [work.n];
    case "hornet":
      return [work.x[0], work.config.classes];
    default:
      return work.x;
  }
}

/** Multiplications and additions of contractions and transforms (a tap outside of the image counts); 0 where memory is what limits. */
export function flopsOf({ work, direction }: Task): number {
  const times = direction === "fwd" ? 1 : 3;
  switch (work.kind) {
    case "matmul":
      return times * 2 * work.n ** 3;
    case "conv":
      return times * 2 * numel(outputShape(work)) * numel(work.w.slice(1));
    case "attention": {
      const [n, heads, length, width] = work.x;
      return times * 4 * n * heads * length * length * width;
    }
    case "fourier": {
      const [n, c, h, w] = work.x;
      return (direction === "fwd" ? 1 : 2) * 5 * n * c * h * w * Math.log2(h * w);
    }
    case "gnconv":
    case "block":
    case "hornet":
      return times * 2 * multiplyAdds(work);
    default:
      return 0;
  }
}

/** Of the convolutions and linear layers: each weight meets every pixel of its map once. */
function multiplyAdds(work: Extract<Work, { readonly parameters: readonly ParameterSpec[] }>): number {
  const [n, , height, width] = work.x;
  const pixels = (name: string): number => {
    if (work.kind !== "hornet") return height * width;
    const stage = /^(?:stages|downsample_layers)\.(\d)/.exec(name)?.[1];
    const stride = 2 ** (2 + Number(stage));
    return stage === undefined ? 1 : Math.floor(height / stride) * Math.floor(width / stride); // the head comes after the mean
  };
  const weights = work.parameters.filter(({ shape }) => shape.length > 1);
  return weights.reduce((sum, { name, shape }) => sum + n * numel(shape) * pixels(name), 0);
}

/** The least bytes to move, inputs once and outputs once, where that is what limits; else 0. */
export function bytesOf({ work, direction }: Task): number {
  if (work.kind === "adamw") return 4 * 7 * work.n; // reads p, g, m, v; writes p, m, v
  // Forward: x → y. With gradients: x and dy → y and dx.
  if (work.kind === "chain" || work.kind === "softmax") return 4 * numel(work.x) * (direction === "fwd" ? 2 : 4);
  if (work.kind === "mean") return 4 * numel(work.x) * (direction === "fwd" ? 1 : 2);
  return 0;
}

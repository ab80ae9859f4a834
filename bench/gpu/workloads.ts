/** What is measured: data only, as the Python that runs the same in PyTorch reads it too. Sizes: full, quick, and small enough for a software adapter. */

export type Size = "full" | "quick" | "software";

interface Named {
  /** Names the row. */
  readonly name: string;
}
export interface ConvShape {
  readonly n: number;
  readonly channels: number;
  readonly out: number;
  readonly size: number;
  readonly kernel: number;
  readonly groups: number;
}
export type Workload = Named &
  (
    | { readonly kind: "add" | "gelu" | "adamw"; readonly elements: number }
    | { readonly kind: "matmul"; readonly m: number; readonly n: number; readonly k: number }
    | ({ readonly kind: "conv"; readonly pass: "forward" | "inputGrad" | "weightGrad" } & ConvShape)
    | { readonly kind: "softmax" | "layerNorm"; readonly rows: number; readonly columns: number }
    | { readonly kind: "channelNorm" | "rfft2"; readonly n: number; readonly channels: number; readonly size: number }
    | { readonly kind: "attention"; readonly n: number; readonly heads: number; readonly length: number; readonly width: number }
  );

export interface StepWorkload extends Named {
  readonly model: "hornet_micro_7x7" | "hornet_tiny_7x7";
  readonly batch: number;
  readonly size: number;
  readonly train: boolean;
}

const pick = <T>(size: Size, full: T, quick: T, software: T): T => ({ full, quick, software })[size];

export function kernelWorkloads(size: Size): Workload[] {
  const side = pick(size, 4096, 2048, 128);
  const elements = pick(size, 2 ** 26, 2 ** 24, 2 ** 16);
  const rows = pick(size, 2 ** 16, 2 ** 14, 2 ** 8);
  const n = pick(size, 64, 16, 1);
  const map = pick(size, 56, 56, 14);
  const matmul = (m: number, nn: number, k: number): Workload => ({ name: `matmul ${m} × ${k} × ${nn}`, kind: "matmul", m, n: nn, k });
  const conv = (title: string, shape: Omit<ConvShape, "n">): Workload[] =>
    (["forward", "inputGrad", "weightGrad"] as const).map((pass) => ({ name: `${title}, ${pass}`, kind: "conv", pass, n, ...shape }));
  return [
    { name: "elementwise add", kind: "add", elements },
    { name: "gelu", kind: "gelu", elements },
    { name: "AdamW", kind: "adamw", elements: elements / 4 },
    matmul(side, side, side),
    matmul(rows, 256, 64),
    ...conv("1 × 1 conv 64 → 128", { channels: 64, out: 128, size: map, kernel: 1, groups: 1 }),
    ...conv("3 × 3 conv 64 → 64", { channels: 64, out: 64, size: map, kernel: 3, groups: 1 }),
    ...conv("7 × 7 depthwise, 128", { channels: 128, out: 128, size: map, kernel: 7, groups: 128 }),
    { name: "softmax of rows of 1024", kind: "softmax", rows: elements / 1024 / 4, columns: 1024 },
    { name: "layer norm of rows of 256", kind: "layerNorm", rows, columns: 256 },
    { name: "layer norm of channels, 128", kind: "channelNorm", n, channels: 128, size: map },
    { name: "rfft2", kind: "rfft2", n, channels: 64, size: map },
    { name: "attention", kind: "attention", n: pick(size, 16, 8, 1), heads: 8, length: pick(size, 1024, 512, 64), width: 64 },
  ];
}

export function stepWorkloads(size: Size): StepWorkload[] {
  const batch = pick(size, 64, 64, 2);
  const step = (model: StepWorkload["model"], batchSize: number, side: number, train: boolean): StepWorkload => ({
    name: `${model} ${side} px, batch ${batchSize}, ${train ? "training step" : "forward"}`,
    model,
    batch: batchSize,
    size: side,
    train,
  });
  const micro = [step("hornet_micro_7x7", batch, 32, false), step("hornet_micro_7x7", batch, 32, true)];
  if (size === "software") return micro;
  const tiny =
    size === "full"
      ? ([
          [64, 64],
          [224, 32],
        ] as const)
      : ([
          [64, 32],
          [224, 8],
        ] as const);
  return [
    ...micro,
    ...tiny.flatMap(([side, images]) => [step("hornet_tiny_7x7", images, side, false), step("hornet_tiny_7x7", images, side, true)]),
  ];
}

/**
 * `npm run bench -- kernels [part of a name] [--source]`: kernels of a HorNet training step on the `cpu` backend.
 * Prints milliseconds and GF/s (a multiply-add is two, and only taps inside of the image count) of the fastest run,
 * as other work on the machine only ever slows a run down.
 */
import Benchmark from "benchmark";
import { Command } from "commander";
import { adamW, type ConvPass, type ConvShape, conv2d, gelu, layerNorm, matmul, softmax } from "../backends/conformance-kernels.js";
import { randomData } from "../backends/conformance-kit.js";
import { createCpuBackend } from "../backends/cpu/index.js";
import type { LoopKernel } from "../engine/kernel/ir.js";

interface Entry {
  readonly kernel: LoopKernel;
  readonly flops: number;
}

const product = (m: number, n: number, k: number, layout: "nn" | "nt" | "tn"): Entry => ({
  kernel: matmul(m, n, k, layout),
  flops: 2 * m * n * k,
});

/** Pairs of an output place and a tap inside of the image, along one side. */
function taps(size: number, { k, stride = 1, padding = 0 }: ConvShape): number {
  let count = 0;
  for (let at = 0; at * stride + k <= size + 2 * padding; at++) {
    for (let tap = 0; tap < k; tap++) {
      const place = at * stride + tap - padding;
      if (place >= 0 && place < size) count++;
    }
  }
  return count;
}

const conv = (shape: ConvShape, pass: ConvPass): Entry => ({
  kernel: conv2d(shape, pass),
  flops: 2 * shape.n * shape.o * (shape.c / (shape.groups ?? 1)) * taps(shape.h, shape) * taps(shape.w, shape),
});

const passes: readonly ConvPass[] = ["forward", "inputGrad", "weightGrad"];
const pointwise = (n: number, c: number, size: number, o: number): readonly Entry[] =>
  passes.map((pass) => conv({ n, c, o, h: size, w: size, k: 1 }, pass));
const depthwise = (n: number, c: number, size: number): readonly Entry[] =>
  passes.map((pass) => conv({ n, c, o: c, h: size, w: size, k: 7, padding: 3, groups: c }, pass));

const entries: readonly Entry[] = [
  product(256, 256, 256, "nn"),
  product(4096, 64, 16, "nt"),
  product(1024, 128, 32, "nt"),
  product(256, 256, 64, "nt"),
  product(256, 64, 256, "nn"),
  product(64, 512, 128, "nt"),
  product(512, 128, 64, "tn"),
  product(128, 32, 1024, "tn"),
  ...pointwise(64, 32, 8, 64),
  ...pointwise(64, 64, 4, 32),
  ...pointwise(64, 128, 2, 64),
  ...pointwise(64, 256, 1, 128),
  ...passes.map((pass) => conv({ n: 64, c: 16, o: 32, h: 8, w: 8, k: 2, stride: 2 }, pass)),
  ...passes.map((pass) => conv({ n: 16, c: 32, o: 32, h: 16, w: 16, k: 3, padding: 1 }, pass)),
  ...depthwise(64, 24, 8),
  ...depthwise(64, 56, 4),
  ...depthwise(64, 120, 2),
  ...depthwise(64, 248, 1),
  { kernel: layerNorm(4096, 96), flops: 8 * 4096 * 96 },
  { kernel: layerNorm(64, 96, 64), flops: 8 * 4096 * 96 },
  { kernel: softmax(4096, 49), flops: 4 * 4096 * 49 },
  { kernel: gelu(1 << 18), flops: 1 << 18 },
  { kernel: adamW(1 << 18), flops: 14 * (1 << 18) },
];

function measureKernels(wanted: string, source: boolean): void {
  const backend = createCpuBackend();
  const suite = new Benchmark.Suite();
  for (const { kernel, flops } of entries) {
    if (!kernel.name.includes(wanted)) continue;
    const executable = backend.compile(kernel);
    if (executable instanceof Promise || typeof executable.source !== "string") throw new Error("the cpu backend prints at once");
    if (source) console.log(executable.source);
    let launches: Parameters<typeof backend.run>[0] = [];
    let fastest = Infinity;
    const once = (): void => {
      const started = performance.now();
      backend.run(launches);
      fastest = Math.min(fastest, performance.now() - started);
    };
    suite.add(kernel.name, once, {
      maxTime: 0.5,
      onStart: () => {
        const data = randomData(kernel).map((array) => array.map(Math.abs));
        const buffers = kernel.buffers.map(({ dtype, length }) => backend.allocate(dtype, length));
        buffers.forEach((buffer, i) => {
          backend.upload(buffer, data[i]);
        });
        launches = [{ executable, buffers }];
      },
      onComplete: () => {
        for (const buffer of launches[0].buffers) backend.free(buffer);
        const rate = flops / fastest / 1e6;
        console.log(`${kernel.name.padEnd(44)} ${fastest.toFixed(3).padStart(9)} ms ${rate.toFixed(2).padStart(7)} GF/s`);
      },
    });
  }
  suite.run();
}

export function kernelsCommand(): Command {
  return new Command("kernels")
    .description("single kernels of the cpu backend")
    .argument("[part]", "of a name", "")
    .option("--source", "print their source too", false)
    .action((part: string, { source }: { readonly source: boolean }) => measureKernels(part, source));
}

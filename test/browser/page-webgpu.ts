/** The page of `webgpu.test.ts`: a matmul, and the gradients of a convolution, on WebGPU; the same function runs in Node. */
import { conv2d, type Device, device, matmul, tensor } from "../../index.js";

export interface Results {
  readonly describe: string;
  readonly product: number[];
  readonly inputGrad: number[];
  readonly weightGrad: number[];
}

const wave = (length: number, pitch: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(pitch * i));

export async function compute(on: Device): Promise<Results> {
  const product = matmul(
    tensor(wave(35 * 70, 0.3), { shape: [35, 70], device: on }),
    tensor(wave(70 * 50, 0.7), { shape: [70, 50], device: on }),
  );
  const x = tensor(wave(2 * 6 * 11 * 9, 0.11), { shape: [2, 6, 11, 9], device: on }).requiresGrad_();
  const weight = tensor(wave(8 * 3 * 3 * 3, 0.23), { shape: [8, 3, 3, 3], device: on }).requiresGrad_();
  const y = conv2d(x, weight, { stride: 2, padding: 1, groups: 2 });
  y.mul(y).sum().backward();
  const results = [product, x.grad, weight.grad].map(async (t) => Array.from((await t?.data()) ?? []));
  const [p, inputGrad, weightGrad] = await Promise.all(results);
  return { describe: on.describe(), product: p, inputGrad, weightGrad };
}

async function run(name: string): Promise<Results> {
  const opened = await device(name);
  try {
    return await compute(opened);
  } finally {
    await opened.close();
  }
}

Object.assign(globalThis, { run });

/** What a device can do at best, as measured by its own kernels: how fast memory moves, how fast arithmetic goes. */
import type { Device } from "./device.js";
import { OpError } from "./errors.js";
import { full } from "./functional/creation.js";
import { matmul } from "./functional/linalg.js";
import type { KernelTime } from "./runtime/execute.js";
import { realize } from "./runtime/tools.js";
import type { Tensor } from "./tensor.js";

/** What a device does at best. */
export interface Roofline {
  /** Of a large elementwise kernel: bytes read and written. */
  readonly bytesPerSecond: number;
  /** The better of a large matmul and of a long chain of multiply-adds in registers; a multiply-add counts two. */
  readonly flopsPerSecond: number;
}

const measured = new WeakMap<Device, Promise<Roofline>>();

/** Measured once a device, with sizes that grow until a kernel takes long enough to be timed. Takes a second or a few. */
export function measureRoofline(device: Device): Promise<Roofline> {
  const known = measured.get(device) ?? measure(device);
  measured.set(device, known);
  return known;
}

/** A kernel is to take so long. */
const enough = 10;
const rounds = 3;

async function measure(device: Device): Promise<Roofline> {
  const maxElements = Math.min(2 ** 26, Math.floor(device.backend.limits.maxBufferBytes / 4));
  const elements = sizes(2 ** 16, maxElements, 4);
  const copy = await fastest(device, elements, (n) => ({ inputs: [filled([n], device)], run: ([x]) => x.add(1) }));
  const chain = await fastest(device, elements, (n) => ({ inputs: [filled([n], device)], run: ([x]) => multiplyAdds(x) }));
  const product = await fastest(device, sizes(128, 4096, 2), (n) => ({
    inputs: [filled([n, n], device), filled([n, n], device)],
    run: ([a, b]) => matmul(a, b),
  }));
  return { bytesPerSecond: copy.bytesPerSecond, flopsPerSecond: Math.max(chain.flopsPerSecond, product.flopsPerSecond) };
}

const filled = (shape: readonly number[], device: Device): Tensor => full(shape, 0.5, { device });

function sizes(from: number, to: number, factor: number): number[] {
  return from > to ? [] : [from, ...sizes(from * factor, to, factor)];
}

/** 64 multiply-adds in a row that stay near 1. */
function multiplyAdds(x: Tensor): Tensor {
  let y = x;
  for (let i = 0; i < 64; i++) y = y.mul(0.5).add(0.5);
  return y;
}

interface Trial {
  readonly inputs: readonly Tensor[];
  readonly run: (inputs: readonly Tensor[]) => Tensor;
}

/** The rates of the largest size, which is the first to take long enough. */
async function fastest(device: Device, candidates: readonly number[], trial: (size: number) => Trial): Promise<Roofline> {
  let best: Roofline | null = null;
  for (const size of candidates) {
    const { inputs, run } = trial(size);
    const kept = inputs.map((x) => x.mul(1));
    await realize(...kept);
    const times: KernelTime[] = [];
    device.executor.onKernel = (time) => times.push(time);
    try {
      for (let i = 0; i < rounds; i++) {
        const y = run(kept);
        await realize(y);
        await device.executor.timed();
        y.dispose();
      }
    } finally {
      device.executor.onKernel = null;
      for (const x of kept) x.dispose();
    }
    const { milliseconds, flops, bytes } = times.reduce((a, b) => (b.milliseconds < a.milliseconds ? b : a));
    if (milliseconds > 0) best = { bytesPerSecond: (1e3 * bytes) / milliseconds, flopsPerSecond: (1e3 * flops) / milliseconds };
    if (milliseconds >= enough) break;
  }
  if (best === null) throw new OpError("profile", `the clock of ${device.name} tells no kernel's time`);
  return best;
}

/**
 * Random numbers of augmentation: a stream of its own for every sample of every epoch, found by counting. So a picture comes out the same
 * whichever worker makes it, and after a resumed run as well.
 */
import { threefry2x32 } from "../../engine/kernel/scalar.js";

/** What a stream is for; streams of different purposes have nothing in common. */
export const purposes = { sample: 1, batch: 2, scene: 3, digit: 4 } as const;

/** Random numbers of one sample, or of one batch. */
export class Draws {
  readonly #key: readonly [number, number];
  #position = 0;

  /** `seed` from 0 to 2^53 − 1; `epoch` and `index` count samples, or batches; of scenes, the half and the scene. */
  constructor(seed: number, purpose: keyof typeof purposes, epoch: number, index: number) {
    const base = threefry2x32(seed | 0, Math.floor(seed / 2 ** 32) | 0, purposes[purpose], epoch | 0);
    this.#key = threefry2x32(base[0], base[1], index | 0, 0);
  }

  /** 32 random bits, from 0 to 2^32 − 1. */
  bits(): number {
    return threefry2x32(this.#key[0], this.#key[1], this.#position++, 0)[0] >>> 0;
  }

  /** In [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.bits() * 2 ** -32);
  }

  /** Whether something of this probability happens; nothing is drawn where it is certain. */
  chance(probability: number): boolean {
    return probability > 0 && (probability >= 1 || this.uniform() < probability);
  }

  /** A whole number from 0 to n − 1. */
  integer(n: number): number {
    return Math.floor(this.uniform(0, n));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.integer(list.length)];
  }

  /** By Box and Muller's transform. */
  normal(mean = 0, std = 1): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return mean + std * radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Standard normal values from `from` to below `to`: two of each 64 bits. */
  fillNormal(out: Float32Array, from: number, to: number): void {
    for (let i = from; i < to; i += 2) {
      const [first, second] = threefry2x32(this.#key[0], this.#key[1], this.#position++, 0);
      const radius = Math.sqrt(-2 * Math.log(1 - (first >>> 0) * 2 ** -32));
      const angle = 2 * Math.PI * (second >>> 0) * 2 ** -32;
      out[i] = radius * Math.cos(angle);
      if (i + 1 < to) out[i + 1] = radius * Math.sin(angle);
    }
  }

  /** Gamma distribution of shape `a` and scale 1. Reference: Marsaglia and Tsang (2000). */
  gamma(a: number): number {
    if (a < 1) return this.gamma(a + 1) * (1 - this.uniform()) ** (1 / a);
    const d = a - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v > 0 && Math.log(1 - this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
    }
  }

  beta(a: number, b: number): number {
    const x = this.gamma(a);
    return x / (x + this.gamma(b));
  }
}

/** One program on two devices. */
import { expect } from "vitest";
import type { Device } from "../../index.js";
import { type Program, run, show } from "./programs.js";

export interface Agreement {
  /** What is computed: results by default, or gradients. */
  readonly compute?: typeof run;
  /** |got − expected| ≤ atol + rtol · |expected|; NaN equals NaN. */
  readonly atol: number;
  readonly rtol: number;
}

/** Throws where the results of a program on a device are not those on the reference; says which program it was. */
export async function agree(program: Program, reference: Device, device: Device, { compute = run, atol, rtol }: Agreement): Promise<void> {
  const want = await compute(program, reference);
  const got = await compute(program, device);
  expect(got.length, show(program)).toBe(want.length);
  got.forEach((result, t) => {
    expect(result.shape, `shape of result ${t} of ${show(program)}`).toEqual(want[t].shape);
    for (let i = 0; i < result.data.length; i++) {
      const [g, w] = [result.data[i], want[t].data[i]];
      if (!(Math.abs(g - w) <= atol + rtol * Math.abs(w)) && !(Number.isNaN(g) && Number.isNaN(w)))
        throw new Error(`${device.describe()}: result ${t}, element ${i}: got ${g}, expected ${w}\n${show(program)}`);
    }
  });
}

import { describe, expect, it } from "vitest";
import { fftOp, irfftOp, rfftOp } from "../../engine/ops/fft.js";
import { apply } from "../../engine/tensor.js";
import {
  fft,
  fft2,
  fftn,
  fftshift,
  gradcheck,
  ifft,
  ifft2,
  ifftshift,
  irfft,
  irfft2,
  irfftn,
  rfft,
  rfft2,
  rfftn,
  type Tensor,
  tensor,
} from "../../index.js";
import { uniformFrom } from "./values.js";

const random = uniformFrom(3);
const flat = async (x: Tensor): Promise<number[]> => Array.from(await x.data());

async function expectClose(got: Tensor, want: Tensor, digits = 9): Promise<void> {
  expect(got.shape).toEqual(want.shape);
  const [a, b] = [await flat(got), await flat(want)];
  a.forEach((value, i) => expect(value).toBeCloseTo(b[i], digits));
}

describe("Fourier transforms", () => {
  for (const n of [1, 2, 3, 7, 8, 14, 16, 30, 37, 56]) {
    it(`of ${n} points agree with their definition, and with one another`, async () => {
      const [real, pairs, half] = [random(2, n), random(2, n, 2), random(2, Math.floor(n / 2) + 1, 2)];
      for (const [op, x, attrs] of [
        [rfftOp, real, { n }],
        [irfftOp, half, { n }],
        [fftOp, pairs, { n, sign: -1 }],
        [fftOp, pairs, { n, sign: 1 }],
      ] as const) {
        const record = op as typeof fftOp;
        if (record.lower.kind !== "line") throw new Error("not a line");
        await expectClose(apply(record, [x], attrs as { n: number; sign: 1 }), record.lower.slow([x], attrs as { n: number; sign: 1 }));
      }
      await expectClose(irfft(rfft(real), { n }), real);
      await expectClose(ifft(fft(pairs)), pairs);
      const asPairs = tensor(
        (await flat(real)).flatMap((v) => [v, 0]),
        { shape: [2, n, 2], dtype: "float64" },
      );
      await expectClose(rfft(real), fft(asPairs).narrow(1, 0, Math.floor(n / 2) + 1));
    });
  }

  it("trim, fill up and scale as asked", async () => {
    const x = tensor([1, 2, 3, 4]);
    expect(await flat(rfft(x, { n: 2 }))).toEqual([3, 0, -1, 0]);
    expect((await flat(rfft(x, { n: 8 }))).slice(0, 2)).toEqual([10, 0]);
    expect((await flat(rfft(x, { norm: "forward" })))[0]).toBe(2.5);
    expect((await flat(rfft(x, { norm: "ortho" })))[0]).toBe(5);
    expect(await flat(irfft(rfft(x, { norm: "forward" }), { norm: "forward" }))).toEqual([1, 2, 3, 4]);
    expect(rfft(random(3, 5, 4), { dim: 0 }).shape).toEqual([2, 5, 4, 2]);
    expect(rfft(tensor([1, 2], { dtype: "int32" })).dtype).toBe("float32");
  });

  it("in several dims are one after the other", async () => {
    const x = random(2, 4, 5);
    await expectClose(irfft2(rfft2(x), { s: [4, 5] }), x);
    await expectClose(irfftn(rfftn(x, { norm: "ortho" }), { s: [2, 4, 5], norm: "ortho" }), x);
    const pairs = random(3, 4, 6, 2);
    await expectClose(ifft2(fft2(pairs, { norm: "ortho" }), { norm: "ortho" }), pairs);
    await expectClose(fft2(pairs, { dim: [0, 1] }), fft(fft(pairs, { dim: 0 }), { dim: 1 }));
    await expectClose(fftn(pairs, { s: [4, 3] }), fft2(pairs, { s: [4, 3] }));
    await expectClose(rfft2(x, { s: [3, 6] }), fft(rfft(x, { n: 6 }), { dim: -2, n: 3 }));
  });

  it("ignore imaginary parts of the bins 0 and n/2 on the way to real numbers", async () => {
    const half = random(4, 2);
    const changed = half.add(
      tensor(
        [
          [0, 5],
          [0, 0],
          [0, 0],
          [0, -7],
        ],
        { dtype: "float64" },
      ),
    );
    await expectClose(irfft(changed, { n: 6 }), irfft(half, { n: 6 }));
  });

  it("have gradients", async () => {
    expect(await gradcheck((x) => irfft2(rfft2(x, { norm: "ortho" }), { s: [3, 6], norm: "ortho" }), [random(4, 5)])).toBe(true);
    expect(await gradcheck((x) => fft(x, { dim: 0, n: 5 }), [random(4, 3, 2)])).toBe(true);
    expect(await gradcheck((x, w) => irfft2(rfft2(x).mul(w), { s: [4, 4] }), [random(4, 4), random(4, 3, 1)])).toBe(true);
  });

  it("shift", async () => {
    const x = tensor([0, 1, 2, -2, -1]);
    expect(await flat(fftshift(x))).toEqual([-2, -1, 0, 1, 2]);
    expect(await flat(ifftshift(fftshift(x)))).toEqual(await flat(x));
    expect(
      await fftshift(
        tensor([
          [0, 1],
          [2, 3],
          [4, 5],
        ]),
        { complex: true },
      ).tolist(),
    ).toEqual([
      [4, 5],
      [0, 1],
      [2, 3],
    ]);
  });

  it("say what does not fit", () => {
    expect(() => fft(tensor([1, 2, 3]))).toThrow("a complex tensor ends in a dim of size 2 (real, imaginary part); got [3]");
    expect(() => rfft(tensor([1, 2]), { n: 0 })).toThrow("rfft: the transform along dim 0 would have 0 points");
    expect(() => irfft(random(1, 2))).toThrow("would have 0 points; expected 1 or more; give their number with n or s");
    expect(() => rfft2(random(4, 4), { dim: [0, 0] })).toThrow("dim [0, 0] names a dimension twice");
    expect(() => rfft(random(4), { norm: "ORTHO" as "ortho" })).toThrow('norm is "ORTHO"');
    expect(() => rfft2(random(4, 4), { s: [4] })).toThrow("s [4] and dim [-2, -1] differ in length");
  });
});

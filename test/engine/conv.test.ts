import { describe, expect, it } from "vitest";
import { conv1d, conv2d, convTranspose1d, convTranspose2d, gradcheck, linear, type Tensor, tensor } from "../../index.js";
import { uniformFrom } from "./values.js";

const random = uniformFrom(11);

/** The sum as it is written in books, over everything. */
async function reference(
  x: Tensor,
  w: Tensor,
  stride: number[],
  padding: number[],
  dilation: number[],
  groups: number,
): Promise<number[][][][]> {
  const [xs, ws] = [(await x.tolist()) as number[][][][], (await w.tolist()) as number[][][][]];
  const [n, , height, width] = x.shape;
  const [co, ci, kh, kw] = w.shape;
  const size = (length: number, kernel: number, i: number): number =>
    Math.floor((length + 2 * padding[i] - dilation[i] * (kernel - 1) - 1) / stride[i]) + 1;
  const list = <T>(length: number, fn: (i: number) => T): T[] => Array.from({ length }, (_, i) => fn(i));
  return list(n, (b) =>
    list(co, (o) =>
      list(size(height, kh, 0), (oh) =>
        list(size(width, kw, 1), (ow) => {
          let sum = 0;
          for (let c = 0; c < ci; c++) {
            for (let i = 0; i < kh; i++) {
              for (let j = 0; j < kw; j++) {
                const row = oh * stride[0] + i * dilation[0] - padding[0];
                const column = ow * stride[1] + j * dilation[1] - padding[1];
                const channel = Math.floor(o / (co / groups)) * ci + c;
                sum += (xs[b][channel][row]?.[column] ?? 0) * ws[o][c][i][j];
              }
            }
          }
          return sum;
        }),
      ),
    ),
  );
}

function expectClose(got: unknown, want: unknown): void {
  const [a, b] = [got, want].map((value) => [value].flat(9) as number[]);
  expect(a.length).toBe(b.length);
  a.forEach((value, i) => expect(value).toBeCloseTo(b[i], 10));
}

describe("conv2d", () => {
  const cases: readonly [x: number[], w: number[], stride: number[], padding: number[], dilation: number[], groups: number][] = [
    [[2, 3, 7, 6], [4, 3, 3, 3], [1, 1], [1, 1], [1, 1], 1],
    [[1, 4, 9, 8], [6, 2, 3, 2], [2, 3], [1, 0], [1, 1], 2],
    [[1, 5, 8, 8], [5, 1, 7, 7], [1, 1], [3, 3], [1, 1], 5],
    [[2, 3, 8, 8], [4, 3, 4, 4], [4, 4], [0, 0], [1, 1], 1],
    [[1, 2, 9, 9], [4, 1, 3, 3], [2, 1], [2, 1], [2, 3], 2],
    [[1, 3, 1, 1], [2, 3, 1, 1], [1, 1], [0, 0], [1, 1], 1],
    [[1, 2, 3, 3], [2, 2, 3, 3], [1, 1], [2, 2], [1, 1], 1],
  ];
  for (const [xs, ws, stride, padding, dilation, groups] of cases) {
    it(`of ${xs} with ${ws}, stride ${stride}, padding ${padding}, dilation ${dilation}, groups ${groups}`, async () => {
      const [x, w] = [random(...xs), random(...ws)];
      const got = conv2d(x, w, { stride, padding, dilation, groups });
      expectClose(await got.tolist(), await reference(x, w, stride, padding, dilation, groups));
    });
  }

  it("adds the bias, and does without a batch", async () => {
    const [x, w, bias] = [random(3, 5, 5), random(2, 3, 3, 3), random(2)];
    const single = await conv2d(x, w, { bias }).tolist();
    const batched = (await conv2d(x.unsqueeze(0), w)
      .add(bias.reshape([2, 1, 1]))
      .tolist()) as unknown[];
    expectClose(single, batched);
  });

  it('keeps the size with padding "same", also for even kernels', async () => {
    const [x, w] = [random(1, 1, 5, 6), random(1, 1, 2, 4)];
    const same = conv2d(x, w, { padding: "same" });
    expect(same.shape).toEqual([1, 1, 5, 6]);
    expectClose(await same.tolist(), await conv2d(x.pad([1, 2, 0, 1]), w, { padding: "valid" }).tolist());
  });

  it("of a 1×1 kernel is a linear map of the channels", async () => {
    const [x, w] = [random(2, 3, 4, 5), random(6, 3, 1, 1)];
    const rows = linear(x.permute([0, 2, 3, 1]), w.reshape([6, 3]));
    expectClose(await conv2d(x, w).tolist(), await rows.permute([0, 3, 1, 2]).tolist());
  });

  it("says what does not fit", () => {
    const x = random(1, 64, 5, 5);
    expect(() => conv2d(x, random(128, 32, 3, 3))).toThrow(
      "conv2d: input has 64 channels, but weight [128, 32, 3, 3] with groups=1 expects 32",
    );
    expect(() => conv2d(x, random(4, 64, 7, 3))).toThrow("the kernel is larger than the padded input");
    expect(() => conv2d(x, random(4, 64, 3))).toThrow("conv2d: weight has shape [4, 64, 3]; expected 4 dims: [out, in, KH, KW]");
    expect(() => conv2d(random(5, 5), random(4, 1, 3, 3))).toThrow("conv2d: input has shape [5, 5]; expected [N, C, H, W] or [C, H, W]");
    expect(() => conv2d(x, random(3, 32, 3, 3), { groups: 2 })).toThrow(
      "has 3 output channels, which do not fall into groups=2 equal parts",
    );
    expect(() => conv2d(x, random(4, 64, 3, 3), { bias: random(3) })).toThrow("bias has shape [3]; expected [4]");
    expect(() => conv2d(x, random(4, 64, 3, 3), { padding: "same", stride: 2 })).toThrow('padding "same" needs stride 1');
    expect(() => conv2d(x, random(4, 64, 3, 3), { stride: 0 })).toThrow("stride is 0; expected one whole number ≥ 1");
    expect(() => conv2d(x, tensor(new Float32Array(64 * 9), { shape: [1, 64, 3, 3] }))).toThrow("operands have dtypes float64 and float32");
    expect(() => conv2d(x, random(4, 64, 3, 3), { pading: 1 } as object)).toThrow("no option is called pading");
  });
});

describe("further convolutions", () => {
  it("in one dim are those of images of one row", async () => {
    const [x, w, bias] = [random(2, 4, 9), random(6, 2, 3), random(6)];
    const options = { bias, stride: 2, padding: 1, dilation: 2, groups: 2 };
    const wide = conv2d(x.unsqueeze(2), w.unsqueeze(2), { bias, stride: [1, 2], padding: [0, 1], dilation: [1, 2], groups: 2 });
    expectClose(await conv1d(x, w, options).tolist(), await wide.squeeze({ dim: 2 }).tolist());
  });

  it("transposed undo the shapes, and are the gradient for the input", async () => {
    const geometry = { stride: [2, 3], padding: [1, 0], dilation: [1, 2], groups: 2 };
    const [x, w] = [random(2, 4, 8, 11).requiresGrad_(), random(6, 2, 3, 2)];
    const y = conv2d(x, w, geometry);
    const arriving = random(...y.shape);
    y.mul(arriving).sum().backward();
    const spread = convTranspose2d(arriving, w, { ...geometry, outputPadding: [1, 2] });
    expect(spread.shape).toEqual(x.shape);
    expectClose(await spread.tolist(), await x.grad?.tolist());
    expect(convTranspose1d(random(1, 4, 5), random(4, 3, 4), { stride: 2, padding: 1 }).shape).toEqual([1, 3, 10]);
    expect(() => convTranspose2d(arriving, w, { outputPadding: 1 })).toThrow(
      "outputPadding [1, 1] must be smaller than stride [1, 1] or dilation [1, 1]",
    );
  });

  it("have right gradients through all options", async () => {
    const options = { stride: 2, padding: 1, dilation: 2, groups: 2 };
    expect(await gradcheck((x, w, b) => conv2d(x, w, { ...options, bias: b }), [random(1, 2, 6, 7), random(4, 1, 3, 2), random(4)])).toBe(
      true,
    );
    expect(
      await gradcheck(
        (x, w, b) => convTranspose2d(x, w, { ...options, bias: b, outputPadding: 1 }),
        [random(1, 2, 3, 2), random(2, 2, 3, 2), random(4)],
      ),
    ).toBe(true);
  });
});

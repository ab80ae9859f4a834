/** First and second derivatives of composed functions, in float64. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byDefault, compositions, exempt } from "../../conformance/compositions.js";
import * as functional from "../../engine/functional/index.js";
import * as c from "../../index.js";

const { gradcheck, gradgradcheck } = c;

describe("composed functions", () => {
  const known = [...Object.keys(compositions), ...Object.values(exempt).flat()];
  const others = Object.keys(functional).filter((name) => !known.includes(name));

  it("of the list and of the exceptions are all there", () => {
    expect(known.filter((name) => !(name in functional))).toEqual([]);
  });

  // What stands in no list is tried on tensors [3, 4]; a function that wants others needs a line in conformance/compositions.ts.
  it.each([...Object.entries(compositions), ...others.map((name) => [name, byDefault(name)] as const)])(
    "%s",
    async (_, [fn, ...inputs]) => {
      await gradcheck(fn, inputs);
      await gradgradcheck(fn, inputs);
    },
  );
});

/** Links of a chain on [3, 4]: smooth, and of a size that the next can take. */
const links: Readonly<Record<string, (a: c.Tensor, b: c.Tensor) => c.Tensor>> = {
  sin: (a) => c.sin(a),
  tanh: (a) => c.tanh(a),
  gelu: (a) => c.gelu(a),
  silu: (a) => c.silu(a),
  softmax: (a) => c.softmax(a, { dim: 1 }),
  logSoftmax: (a) => c.logSoftmax(a, { dim: 0 }),
  layerNorm: (a) => c.layerNorm(a, [4]),
  centred: (a) => c.sub(a, c.mean(a, { dim: 0, keepdim: true })),
  gated: (a, b) => c.mul(a, c.sigmoid(b)),
  divided: (a, b) => c.div(a, c.add(c.square(b), 1)),
  product: (a, b) => c.matmul(c.matmul(a, b.mT), b).div(4),
  turned: (a, b) => c.cat([c.narrow(a, 1, 2, 2), c.mul(c.narrow(a, 1, 0, 2), c.narrow(b, 1, 1, 2))], { dim: 1 }),
  summed: (a) => c.cumsum(a, 1).div(4),
  picked: (a) => c.indexSelect(a, 0, c.tensor([2, 0, 2], { dtype: "int32" })),
  filtered: (a, b) => c.conv1d(a.unsqueeze(0), b.narrow(1, 0, 3).unsqueeze(1), { padding: 1, groups: 3 }).squeeze({ dim: 0 }),
  spectral: (a, b) => c.irfft2(c.mul(c.rfft2(a, { norm: "ortho" }), c.narrow(b, 1, 0, 3).unsqueeze(-1)), { s: [3, 4], norm: "ortho" }),
};

describe("chains of three to five operations", () => {
  it("have the right first and second derivatives", async () => {
    const chains = fc.array(fc.tuple(fc.constantFrom(...Object.keys(links)), fc.boolean()), { minLength: 3, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(chains, async (chain) => {
        const [x, y] = [3, 11].map((seed) =>
          c.tensor(
            Float64Array.from({ length: 12 }, (_, i) => Math.sin(seed * (i + 1))),
            { shape: [3, 4] },
          ),
        );
        // The other operand is the input, or what the chain has come to.
        const fn = (a: c.Tensor, b: c.Tensor): c.Tensor => chain.reduce((z, [name, own]) => links[name](z, own ? z : b), a);
        await gradcheck(fn, [x, y], { fullBelow: 4 });
        await gradgradcheck(fn, [x, y], { fullBelow: 4 });
      }),
      { numRuns: 25, seed: 5 },
    );
  });
});

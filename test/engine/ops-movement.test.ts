/** Movement and indexing against plain loops over nested arrays. */
import { describe, expect, it } from "vitest";
import * as c from "../../index.js";

const { tensor } = c;
const ints = (...values: number[]): c.Tensor => tensor(values, { dtype: "int32" });
/** 0, 1, 2, … in a shape. */
const count = (...shape: number[]): c.Tensor =>
  c
    .arange(shape.reduce((a, b) => a * b, 1))
    .reshape(shape)
    .to("float32");
const x = count(3, 4);

describe("getItem", () => {
  it.each<[string, c.Tensor, c.Nested]>([
    ["an integer", x.getItem([1]), [4, 5, 6, 7]],
    ["from the end", x.getItem([-1, -1]), 11],
    [
      "slices",
      x.getItem([{ start: 1 }, { end: -1, step: 2 }]),
      [
        [4, 6],
        [8, 10],
      ],
    ],
    ["all dims but the last", x.getItem(["...", 0]), [0, 4, 8]],
    ["a new dim", x.getItem([0, null]), [[0, 1, 2, 3]]],
    ["two vectors", x.getItem([ints(0, 2), ints(1, -1)]), [1, 11]],
    [
      "a list after a slice",
      x.getItem([{}, [3, 0]]),
      [
        [3, 0],
        [7, 4],
        [11, 8],
      ],
    ],
    [
      "broadcast indices",
      x.getItem([ints(0, 2).reshape([2, 1]), ints(1, 3)]),
      [
        [1, 3],
        [9, 11],
      ],
    ],
    [
      "a mask",
      x.getItem([tensor([true, false, true])]),
      [
        [0, 1, 2, 3],
        [8, 9, 10, 11],
      ],
    ],
    [
      "a whole mask",
      x.getItem([
        tensor([
          [true, false, false, false],
          [false, false, false, false],
          [false, false, false, true],
        ]),
      ]),
      [0, 11],
    ],
    ["true", x.getItem([true, 0]), [[0, 1, 2, 3]]],
    ["false", x.getItem([false]), []],
  ])("%s", async (_, got, want) => expect(await got.tolist()).toEqual(want));

  it("puts separated index tensors in front", async () => {
    const y = count(2, 3, 4);
    const got = y.getItem([ints(0, 1), {}, ints(3, 0)]);
    expect(got.shape).toEqual([2, 3]);
    expect(await got.tolist()).toEqual([
      [3, 7, 11],
      [12, 16, 20],
    ]);
  });

  it("adds gradients where an index comes twice", async () => {
    const w = tensor([1, 2, 3], { requiresGrad: true });
    w.getItem([ints(0, 2, 0)])
      .mul(tensor([1, 10, 100]))
      .sum()
      .backward();
    expect(await (w.grad as c.Tensor).tolist()).toEqual([101, 0, 10]);
  });

  it("finds indices out of range that only the device knows, in every dim", async () => {
    const late = ints(0, 3).mul(1);
    await expect(
      c
        .ones([2, 3])
        .getItem([ints(0, 0), late])
        .data(),
    ).rejects.toThrow(/getItem: .*out of range/);
    await expect(c.gather(tensor([1, 2]), 0, ints(1, 1).add(1)).data()).rejects.toThrow(/gather: .*out of range/);
  });
});

describe("scatter", () => {
  it("lets the last writer win, who has the gradient", async () => {
    const src = tensor([1, 2, 3], { requiresGrad: true });
    const base = tensor([9, 9, 9], { requiresGrad: true });
    const got = c.scatter(base, 0, ints(1, 1, 0), src);
    got.sum().backward();
    expect(await got.tolist()).toEqual([3, 2, 9]);
    expect(await (src.grad as c.Tensor).tolist()).toEqual([0, 1, 1]);
    expect(await (base.grad as c.Tensor).tolist()).toEqual([0, 0, 1]);
  });
  it("leaves alone what the index does not cover", async () => {
    expect(await c.scatterAdd(c.zeros([2, 3]), 1, tensor([[2, 2]], { dtype: "int32" }), tensor([[1, 10]])).tolist()).toEqual([
      [0, 0, 11],
      [0, 0, 0],
    ]);
    expect(
      await c
        .indexAdd(
          c.zeros([2, 2]),
          0,
          ints(1, 1),
          tensor([
            [1, 2],
            [3, 4],
          ]),
          { alpha: 2 },
        )
        .tolist(),
    ).toEqual([
      [0, 0],
      [8, 12],
    ]);
  });
});

describe("borders and windows", () => {
  const row = count(1, 4);
  it.each<[string, c.Tensor, c.Nested]>([
    ["constant", c.pad(row, [1, 2], { value: 9 }), [[9, 0, 1, 2, 3, 9, 9]]],
    ["negative", c.pad(row, [-1, 1]), [[1, 2, 3, 0]]],
    ["reflect", c.pad(row, [2, 1], { mode: "reflect" }), [[2, 1, 0, 1, 2, 3, 2]]],
    ["replicate", c.pad(row, [2, 1], { mode: "replicate" }), [[0, 0, 0, 1, 2, 3, 3]]],
    ["circular", c.pad(row, [2, 1], { mode: "circular" }), [[2, 3, 0, 1, 2, 3, 0]]],
    ["circular after cropping", c.pad(row, [-1, 1], { mode: "circular" }), [[1, 2, 3, 1]]],
    [
      "windows",
      row.unfold(1, 2, 2),
      [
        [
          [0, 1],
          [2, 3],
        ],
      ],
    ],
  ])("%s", async (_, got, want) => expect(await got.tolist()).toEqual(want));

  it("fold adds up what unfold took", async () => {
    const image = count(1, 1, 3, 3);
    const back = c.fold(c.unfold(image, 2), 3, 2);
    expect(await back.reshape([3, 3]).tolist()).toEqual([
      [0, 2, 2],
      [6, 16, 10],
      [6, 14, 8],
    ]);
  });
});

describe("rearranging", () => {
  it.each<[string, c.Tensor, c.Nested]>([
    [
      "roll",
      c.roll(count(2, 2), 1),
      [
        [3, 0],
        [1, 2],
      ],
    ],
    [
      "roll along dims",
      c.roll(count(2, 2), [1, 1], { dims: [0, 1] }),
      [
        [3, 2],
        [1, 0],
      ],
    ],
    ["repeatInterleave", c.repeatInterleave(ints(7, 8, 9), ints(0, 2, 1)), [8, 8, 9]],
    [
      "repeatInterleave along a dim",
      c.repeatInterleave(count(2, 2), 2, { dim: 1 }),
      [
        [0, 0, 1, 1],
        [2, 2, 3, 3],
      ],
    ],
    [
      "tile",
      c.tile(count(2), [2, 2]),
      [
        [0, 1, 0, 1],
        [0, 1, 0, 1],
      ],
    ],
    ["diagonal", c.diagonal(x, { offset: 1 }), [1, 6, 11]],
    [
      "diag below",
      c.diag(ints(1, 2), { diagonal: -1 }),
      [
        [0, 0, 0],
        [1, 0, 0],
        [0, 2, 0],
      ],
    ],
    [
      "tril",
      c.tril(c.ones([2, 3])),
      [
        [1, 0, 0],
        [1, 1, 0],
      ],
    ],
    ["cat with an empty vector", c.cat([c.zeros([0]), count(1, 2)], { dim: 1 }), [[0, 1]]],
    ["takeAlongDim", c.takeAlongDim(x, tensor([[2]], { dtype: "int32" }), { dim: 1 }), [[2], [6], [10]]],
    [
      "cumsum",
      c.cumsum(count(2, 2), 0),
      [
        [0, 1],
        [2, 4],
      ],
    ],
    [
      "eye",
      c.eye(2, { m: 3 }),
      [
        [1, 0, 0],
        [0, 1, 0],
      ],
    ],
    ["arange", c.arange(1, { start: 0, step: 0.25 }), [0, 0.25, 0.5, 0.75]],
    ["linspace", c.linspace(1, 2, 3), [1, 1.5, 2]],
  ])("%s", async (_, got, want) => expect(await got.tolist()).toEqual(want));

  it("returns other handles even where nothing changes, so that an assignment to one leaves the other alone", async () => {
    const old = tensor([1, 2]);
    const same = [old.reshape([2]), old.to("float32"), old.permute([0]), old.flip([]), c.squeeze(old)];
    old.assign(tensor([3, 4]));
    for (const t of same) expect(await t.tolist()).toEqual([1, 2]);
  });
});

import { describe, expect, it } from "vitest";
import {
  addmm,
  arange,
  baddbmm,
  bmm,
  dot,
  einsum,
  gradcheck,
  linear,
  matmul,
  mm,
  mv,
  outer,
  type Tensor,
  tensor,
  zeros,
} from "../../index.js";

const range = (...shape: number[]): Tensor =>
  arange(
    shape.reduce((n, size) => n * size, 1),
    { dtype: "float64" },
  )
    .reshape(shape)
    .add(1);

describe("matmul", () => {
  it("multiplies matrices, vectors and batches that broadcast", async () => {
    expect(await range(2, 3).matmul(range(3, 2)).tolist()).toEqual([
      [22, 28],
      [49, 64],
    ]);
    expect(await matmul(range(3), range(3)).tolist()).toBe(14);
    expect(await matmul(range(3), range(3, 2)).tolist()).toEqual([22, 28]);
    expect(await matmul(range(2, 3), range(3)).tolist()).toEqual([14, 32]);
    expect(matmul(range(5, 1, 2, 3), range(4, 3, 6)).shape).toEqual([5, 4, 2, 6]);
    expect(matmul(range(3), range(4, 3, 6)).shape).toEqual([4, 6]);
    expect(matmul(range(4, 2, 3), range(3)).shape).toEqual([4, 2]);
    expect(await matmul(zeros([2, 0]), zeros([0, 3])).tolist()).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect(await matmul(tensor([[1, 2]], { dtype: "int32" }), tensor([[3], [4]], { dtype: "int32" })).tolist()).toEqual([[11]]);
  });

  it("says what does not fit", () => {
    expect(() => matmul(zeros([8, 96]), zeros([64, 384]))).toThrow(
      "matmul: expected the last dim of a to equal the second-to-last dim of b; got a [8, 96], b [64, 384] (96 ≠ 64)",
    );
    expect(() => matmul(tensor(1), zeros([2, 2]))).toThrow(
      "both operands need at least one dim; got a [], b [2, 2]; multiply by a scalar with mul()",
    );
    expect(() => matmul(zeros([2, 2, 3]), zeros([3, 3, 4]))).toThrow("do not broadcast");
    expect(() => matmul(zeros([2, 2]), zeros([2, 2], { dtype: "int32" }))).toThrow(
      "operands have dtypes float32 and int32; cast one of them",
    );
    expect(() => mm(zeros([3]), zeros([3, 2]))).toThrow("mm: input has shape [3]; expected 2 dims");
    expect(() => bmm(zeros([2, 1, 3]), zeros([4, 3, 1]))).toThrow("bmm: the batches differ: [2, 1, 3] and [4, 3, 1]");
  });

  it("has relatives", async () => {
    expect(await mv(range(2, 2), range(2)).tolist()).toEqual([5, 11]);
    expect(await dot(range(2), range(2)).item()).toBe(5);
    expect(await outer(range(2), range(3)).tolist()).toEqual([
      [1, 2, 3],
      [2, 4, 6],
    ]);
    expect(await addmm(range(2), range(2, 1), range(1, 2), { beta: 10, alpha: 2 }).tolist()).toEqual([
      [12, 24],
      [14, 28],
    ]);
    expect(await addmm(tensor([Number.NaN, 1], { dtype: "float64" }), range(1, 1), range(1, 2), { beta: 0 }).tolist()).toEqual([[1, 2]]);
    expect(await baddbmm(range(1, 1, 2), range(2, 1, 1), range(2, 1, 2)).tolist()).toEqual([[[2, 4]], [[7, 10]]]);
  });
});

describe("linear", () => {
  it("keeps all dims before the last", async () => {
    const [x, w, b] = [range(2, 2, 3), range(4, 3), range(4)];
    const y = linear(x, w, { bias: b });
    expect(y.shape).toEqual([2, 2, 4]);
    expect(await y.select(0, 0).tolist()).toEqual([
      [15, 34, 53, 72],
      [33, 79, 125, 171],
    ]);
    expect(await linear(range(3), w).tolist()).toEqual([14, 32, 50, 68]);
    expect(linear(x, range(3)).shape).toEqual([2, 2]);
    expect(await gradcheck((v, m, c) => linear(v, m, { bias: c }), [x.div(10), w.div(10), b])).toBe(true);
    expect(() => linear(range(2, 5), w)).toThrow("linear: input [2, 5] must end in 3, the inputs of weight [4, 3] [out, in]");
    expect(() => linear(x, w, { bias: range(3) })).toThrow("bias has shape [3]; expected [4]");
  });
});

describe("einsum", () => {
  const [a, b, c] = [range(2, 3), range(3, 4), range(2, 4)];
  it("is what it says", async () => {
    expect(await einsum("ij,jk->ik", a, b).tolist()).toEqual(await a.matmul(b).tolist());
    expect(await einsum("ij,jk", a, b).tolist()).toEqual(await a.matmul(b).tolist());
    expect(await einsum("ij,jk,ik->", a, b, c).item()).toBe(await a.matmul(b).mul(c).sum().item());
    expect(await einsum("ii->i", range(3, 3)).tolist()).toEqual([1, 5, 9]);
    expect(await einsum("ij->ji", a).tolist()).toEqual(await a.transpose(0, 1).tolist());
    expect(await einsum("...ij->...i", range(2, 2, 3)).tolist()).toEqual([
      [6, 15],
      [24, 33],
    ]);
    expect(einsum("b...i, ...ij -> b...j", range(5, 4, 3), range(1, 3, 2)).shape).toEqual([5, 4, 2]);
    expect(await einsum("abij,abij->ab", range(2, 1, 2, 2), range(2, 1, 2, 2)).tolist()).toEqual([[30], [174]]);
    expect(await einsum("hi,hi->h", range(2, 3), range(1, 3)).tolist()).toEqual([14, 32]); // 1 broadcasts
    expect(einsum("nhwc,mc->nmhw", range(2, 3, 4, 5), range(6, 5)).shape).toEqual([2, 6, 3, 4]);
    expect(await einsum("i,j->ji", range(2), range(2)).tolist()).toEqual([
      [1, 2],
      [2, 4],
    ]);
  });

  it("has gradients", async () => {
    expect(
      await gradcheck((x, y, z) => einsum("abi,bij,aj->bja", x, y, z), [range(2, 2, 2).div(9), range(2, 2, 3).div(9), range(2, 3).div(9)]),
    ).toBe(true);
  });

  it("says what is wrong with an equation", () => {
    expect(() => einsum("ij,jk->ik", a)).toThrow('einsum: "ij,jk->ik" names 2 operands; got 1');
    expect(() => einsum("ijk->i", a)).toThrow('"ijk" has 3 subscripts; operand 0 of shape [2, 3] has 2 dims');
    expect(() => einsum("i1->i", a)).toThrow('"i1" has "1" for a subscript');
    expect(() => einsum("ij->ii", a)).toThrow("has i twice in the result");
    expect(() => einsum("ij->ik", a)).toThrow("has k in the result but in no operand");
    expect(() => einsum("ij,ik->jk", a, b)).toThrow("subscript i has size 3 in operand 1 of shape [3, 4], and 2 before");
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Expr } from "../../../engine/kernel/ir.js";
import { affine, ExprPool, mixedRadix } from "../../../engine/kernel/simplify.js";

/** The row-major position of an index into `shape`. */
const flat = (pool: ExprPool, shape: readonly number[], index: readonly Expr[]): Expr =>
  index.reduce((at, e, i) => pool.add(pool.mul(at, pool.int(shape[i])), e), pool.int(0));

/** The index into `shape` of a row-major position. */
function unflat(pool: ExprPool, shape: readonly number[], at: Expr): Expr[] {
  let rest = at;
  const index: Expr[] = [];
  for (const size of [...shape].reverse()) {
    index.unshift(pool.mod(rest, pool.int(size)));
    rest = pool.idiv(rest, pool.int(size));
  }
  return index;
}

function setup(shape: readonly number[]) {
  const pool = new ExprPool();
  const axes = shape.map((size, i) => pool.newAxis("abcdef"[i], size));
  return { pool, index: axes.map((axis) => pool.axis(axis)) };
}

describe("views are index rewrites that simplify away", () => {
  test("a reshape there and back is the identity", () => {
    for (const [shape, other] of [
      [[4, 6], [24]],
      [
        [4, 6],
        [2, 12],
      ],
      [
        [4, 6],
        [3, 8],
      ],
      [
        [2, 3, 4, 5],
        [5, 4, 3, 2],
      ],
      [
        [7, 5],
        [5, 7],
      ],
    ]) {
      const { pool, index } = setup(shape);
      const through = unflat(pool, shape, flat(pool, other, unflat(pool, other, flat(pool, shape, index))));
      expect(through).toEqual(index);
    }
  });

  test("splitting and merging of dims is affine", () => {
    const { pool, index } = setup([2, 6, 5]);
    const split = unflat(pool, [2, 3, 2, 5], flat(pool, [2, 6, 5], index));
    expect(split).toEqual([index[0], pool.idiv(index[1], pool.int(2)), pool.mod(index[1], pool.int(2)), index[2]]);
    expect(mixedRadix(flat(pool, [2, 3, 2, 5], split))?.map((axis) => axis.name)).toEqual(["a", "b", "c"]);
    const merged = unflat(pool, [12, 5], flat(pool, [2, 6, 5], index));
    expect(merged).toEqual([pool.add(pool.mul(index[0], pool.int(6)), index[1]), index[2]]);
  });

  test("window partition and its reverse cancel", () => {
    // [8, 12] → [2, 4, 3, 4] → permuted and flattened to [6, 16], and back
    const { pool, index } = setup([8, 12]);
    const [hb, hi, wb, wi] = unflat(pool, [2, 4, 3, 4], flat(pool, [8, 12], index));
    const windows = unflat(pool, [6, 16], flat(pool, [2, 3, 4, 4], [hb, wb, hi, wi]));
    const [hb2, wb2, hi2, wi2] = unflat(pool, [2, 3, 4, 4], flat(pool, [6, 16], windows));
    expect(flat(pool, [2, 4, 3, 4], [hb2, hi2, wb2, wi2])).toBe(flat(pool, [8, 12], index));
  });

  test("flip twice, slice of a slice, and pad then slice are plain", () => {
    const { pool, index } = setup([10]);
    const flip = (e: Expr): Expr => pool.sub(pool.int(9), e);
    expect(flip(flip(index[0]))).toBe(index[0]);
    const sliced = pool.add(pool.mul(pool.add(pool.mul(index[0], pool.int(2)), pool.int(1)), pool.int(3)), pool.int(5));
    expect(affine(sliced)).toEqual({ constant: 8, terms: [{ coefficient: 6, factor: index[0] }] });
    // 14 elements padded by 3 in front, then only places inside taken: the guard vanishes.
    const padded = pool.sub(pool.add(index[0], pool.int(4)), pool.int(3));
    const inside = pool.and(pool.ge(padded, pool.int(0)), pool.lt(padded, pool.int(14)));
    expect(pool.load(0, padded, "float32", inside)).toBe(pool.load(0, pool.add(index[0], pool.int(1)), "float32"));
  });

  test("rolls add up", () => {
    const { pool, index } = setup([12]);
    const roll = (e: Expr, by: number): Expr => pool.mod(pool.add(e, pool.int(by)), pool.int(12));
    expect(roll(roll(index[0], 5), 4)).toBe(roll(index[0], 9));
    expect(roll(roll(index[0], 5), 7)).toBe(index[0]);
    expect(roll(roll(index[0], 5), -5)).toBe(index[0]);
  });

  const shapes = [[24], [2, 12], [3, 8], [4, 6], [2, 3, 4], [2, 2, 6], [2, 2, 2, 3], [4, 3, 2], [1, 24], [8, 3, 1]];

  test("any chain of reshapes that returns is the identity", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...shapes), { maxLength: 6 }), (chain) => {
        const { pool, index } = setup([4, 6]);
        let at = flat(pool, [4, 6], index);
        for (const shape of chain) at = flat(pool, shape, unflat(pool, shape, at));
        expect(unflat(pool, [4, 6], at)).toEqual(index);
      }),
    );
  });

  test("reshape, permute, flatten and all of it undone is the identity", () => {
    const permuted = fc.constantFrom(...shapes).chain((shape) =>
      fc.record({
        shape: fc.constant(shape),
        order: fc.shuffledSubarray(
          shape.map((_, i) => i),
          { minLength: shape.length },
        ),
      }),
    );
    fc.assert(
      fc.property(permuted, ({ shape, order }) => {
        const { pool, index } = setup([4, 6]);
        const start = unflat(pool, shape, flat(pool, [4, 6], index));
        const sizes = order.map((i) => shape[i]);
        const there = flat(
          pool,
          sizes,
          order.map((i) => start[i]),
        );
        const back = unflat(pool, sizes, there);
        const undone = shape.map((_, i) => back[order.indexOf(i)]);
        expect(flat(pool, shape, undone)).toBe(flat(pool, [4, 6], index));
      }),
    );
  });
});

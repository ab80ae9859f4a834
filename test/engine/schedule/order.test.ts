/** The order of kernels against a search through the graph of what each reads. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Order } from "../../../engine/schedule/order.js";

it("knows what comes before what, over any number of kernels in between", () => {
  const edge = fc.tuple(fc.nat(99), fc.nat(99)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  fc.assert(
    fc.property(fc.array(edge, { maxLength: 150 }), (edges) => {
      const order = new Order();
      const reads = new Map<number, Set<number>>();
      for (const [earlier, later] of edges) {
        order.add(earlier, later);
        if (earlier !== later) reads.set(later, (reads.get(later) ?? new Set()).add(earlier));
      }
      for (let from = 0; from < 100; from += 3) {
        const before = new Set(reads.get(from));
        // Sets go on with what is added to them meanwhile.
        for (const at of before) for (const further of reads.get(at) ?? []) before.add(further);
        const found = Array.from({ length: 100 }, (_, on) => on).filter((on) => order.isBefore(on, from));
        expect(found).toEqual([...before].sort((a, b) => a - b));
      }
    }),
    { numRuns: 40 },
  );
});

it("takes over what is merged into another", () => {
  const order = new Order();
  const [a, b, c, x, y, z] = [0, 40, 80, 100, 120, 140];
  for (const [earlier, later] of [
    [a, b],
    [b, c],
    [x, y],
    [y, z],
  ]) {
    order.add(earlier, later);
  }
  // c and z read what b and y compute; both are one from now on.
  order.merge(b, y);
  expect([a, x].map((each) => order.isBefore(each, y))).toEqual([true, true]);
  expect([c, z].flatMap((later) => [a, x, y].map((each) => order.isBefore(each, later)))).toEqual(new Array(6).fill(true));
  expect([order.isBefore(y, y), order.isBefore(c, y), order.isBefore(z, a)]).toEqual([false, false, false]);
});

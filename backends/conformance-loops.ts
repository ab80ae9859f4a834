/** Loops: reductions, contractions, windows, rows, guards, several stores. */
import { type DType, isFloating } from "../engine/dtype.js";
import type { Axis, Combine, Expr, LoopKernel } from "../engine/kernel/ir.js";
import { adamW, type ConvPass, type ConvShape, conv2d, gelu, layerNorm, matmul, softmax } from "./conformance-kernels.js";
import {
  arrayOf,
  Builder,
  type Case,
  exact,
  expectAgreement,
  expectEqual,
  randomArray,
  randomData,
  runOn,
  type Tolerance,
} from "./conformance-kit.js";

/** A case that is one kernel on random data, or on given data. */
function kernelCase(name: string, make: () => LoopKernel, tolerance?: Tolerance): Case {
  return {
    name,
    run: async (backend) => {
      const kernel = make();
      await expectAgreement(backend, kernel, randomData(kernel), tolerance);
    },
  };
}

/** Sums of products of numbers around 1: the error grows with the count, not with the sum. */
const contraction: Tolerance = { relative: 2e-5, absolute: 2e-5 };

function built(
  name: string,
  axes: (b: Builder) => readonly Axis[],
  fill: (b: Builder, ...axes: readonly Axis[]) => void,
): () => LoopKernel {
  return () => {
    const b = new Builder();
    const made = axes(b);
    fill(b, ...made);
    return b.kernel(name, made);
  };
}

function reductionCase(combine: Combine, dtype: DType, size: number): Case {
  const name = `reduce ${combine} ${dtype} of ${size}`;
  return {
    name,
    run: async (backend) => {
      const b = new Builder();
      const [i, r] = [b.axis("i", 3), b.axis("r", size)];
      b.write([i], b.reduce([r], combine, b.read(dtype, [i, r], [3, size])));
      const kernel = b.kernel("reduce", [i]);
      const data = randomData(kernel);
      // NaN and infinity in a row of their own each.
      if (isFloating(dtype) && size > 1) [data[0][1], data[0][size]] = [NaN, Infinity];
      await expectAgreement(backend, kernel, data, isFloating(dtype) ? undefined : exact);
    },
  };
}

const reductions: readonly Case[] = [0, 1, 2, 7, 300].flatMap((size) => [
  ...(["float32", "float64", "int32"] as const).flatMap((dtype) =>
    (["add", "mul", "max", "min"] as const).map((combine) => reductionCase(combine, dtype, size)),
  ),
  ...(["max", "min"] as const).map((combine) => reductionCase(combine, "bool", size)),
]);

const sizes = [1, 3, 4, 5, 17];
const contractions: readonly Case[] = [
  ...sizes.flatMap((m, i) =>
    sizes.map((n, j) => {
      const k = sizes[(i + j) % sizes.length];
      return kernelCase(`matmul ${m}x${n}x${k}`, () => matmul(m, n, k), contraction);
    }),
  ),
  ...(["nn", "nt", "tn", "tt"] as const).flatMap((layout) =>
    [
      [64, 48, 32],
      [37, 53, 29],
      [7, 97, 64],
    ].map(([m, n, k]) => kernelCase(`matmul ${layout} ${m}x${n}x${k}`, () => matmul(m, n, k, layout), contraction)),
  ),
  kernelCase("matmul with nothing to add", () => matmul(3, 4, 0), exact),
  kernelCase("matmul of an empty batch", () => matmul(0, 4, 3), exact),
];

const windows: readonly (readonly [string, ConvShape])[] = [
  ["pointwise", { n: 3, c: 8, o: 12, h: 7, w: 5, k: 1 }],
  ["3x3 padded", { n: 2, c: 3, o: 5, h: 6, w: 7, k: 3, padding: 1 }],
  ["3x3 of one pixel", { n: 5, c: 4, o: 3, h: 1, w: 1, k: 3, padding: 1 }],
  ["3x3 stride 2", { n: 2, c: 3, o: 4, h: 8, w: 9, k: 3, stride: 2, padding: 1 }],
  ["4x4 stride 4", { n: 2, c: 3, o: 8, h: 12, w: 16, k: 4, stride: 4 }],
  ["2x2 stride 2, ragged", { n: 2, c: 3, o: 4, h: 5, w: 7, k: 2, stride: 2 }],
  ["3x3 dilated", { n: 2, c: 2, o: 3, h: 9, w: 8, k: 3, padding: 2, dilation: 2 }],
  ["3x3 in groups", { n: 2, c: 6, o: 4, h: 5, w: 5, k: 3, padding: 1, groups: 2 }],
  ["depthwise 7x7 on 8x8", { n: 4, c: 6, o: 6, h: 8, w: 8, k: 7, padding: 3, groups: 6 }],
  ["depthwise 7x7 on 4x3", { n: 5, c: 7, o: 7, h: 4, w: 3, k: 7, padding: 3, groups: 7 }],
  ["depthwise 7x7 on 1x1", { n: 9, c: 40, o: 40, h: 1, w: 1, k: 7, padding: 3, groups: 40 }],
];
const passes: readonly ConvPass[] = ["forward", "inputGrad", "weightGrad"];
const convolutions = windows.flatMap(([name, shape]) =>
  passes.map((pass) => kernelCase(`conv2d ${name} ${pass}`, () => conv2d(shape, pass), contraction)),
);

const rows: readonly Case[] = [
  kernelCase("row softmax", () => softmax(9, 13)),
  kernelCase("row softmax of one", () => softmax(4, 1)),
  kernelCase("row softmax, many", () => softmax(301, 20)),
  kernelCase("row layer norm", () => layerNorm(10, 24), contraction),
  kernelCase("row layer norm over channels first", () => layerNorm(6, 31, 50), contraction),
  kernelCase("elementwise gelu", () => gelu(1000)),
  {
    name: "in place adamw",
    run: async (backend) => {
      const kernel = adamW(37);
      const data = randomData(kernel);
      for (const i of [2, 4]) for (let at = 0; at < data[i].length; at++) data[i][at] = Math.abs(data[i][at]) + 0.1;
      await expectAgreement(backend, kernel, data);
    },
  },
];

/** Two arrays exchanged where they lie: all loads of a point come before its stores. */
const exchange = (rows: boolean): Case => ({
  name: `in place exchange${rows ? " along rows" : ""}`,
  run: async (backend) => {
    const b = new Builder();
    const i = b.axis("i", 6);
    const inner = rows ? [b.axis("j", 5)] : [];
    const length = rows ? 30 : 6;
    const [first, second] = [b.buffer("float32", length, "readwrite"), b.buffer("float32", length, "readwrite")];
    const at = b.at([i, ...inner], [6, 5]);
    const [x, y] = [b.load(first, at), b.load(second, at)];
    b.store(first, at, y, inner);
    b.store(second, at, b.pool.add(x, x), inner);
    const kernel = b.kernel("exchange", [i]);
    const data = randomData(kernel);
    const got = await runOn(backend, kernel, data);
    expectEqual(got[0], data[1], exact, "the first array");
    expectEqual(
      got[1],
      data[0].map((value) => 2 * value),
      exact,
      "the second array",
    );
  },
});

/** Tiles, guards and placement: what the loops allow beyond the named operations. */
const forms: readonly Case[] = [
  exchange(false),
  exchange(true),
  kernelCase(
    "no axes at all",
    built(
      "scalar",
      () => [],
      (b) => b.write([], b.pool.add(b.read("float32", [], []), b.float(1))),
    ),
  ),
  kernelCase(
    "transpose",
    built(
      "transpose",
      (b) => [b.axis("i", 5), b.axis("j", 7)],
      (b, i, j) => b.write([j, i], b.read("float32", [i, j], [5, 7])),
    ),
    exact,
  ),
  kernelCase(
    "pad and flip",
    built(
      "pad",
      (b) => [b.axis("i", 6), b.axis("j", 9)],
      (b, i, j) => {
        const [y, x] = [b.pool.sub(b.pool.axis(i), b.pool.int(1)), b.pool.sub(b.pool.int(6), b.pool.axis(j))];
        b.write([i, j], b.read("float32", [y, x], [4, 5], b.pool.and(b.within(y, 4), b.within(x, 5))));
      },
    ),
    exact,
  ),
  kernelCase(
    "cat by stores into sub-ranges",
    built(
      "cat",
      (b) => [b.axis("i", 4)],
      (b, i) => {
        const [j, k] = [b.axis("j", 3), b.axis("k", 5)];
        const out = b.buffer("float32", 32, "write");
        b.store(out, b.at([i, j], [4, 8]), b.read("float32", [i, j], [4, 3]), [j]);
        b.store(out, b.pool.add(b.at([i, k], [4, 8]), b.pool.int(3)), b.read("float32", [i, k], [4, 5]), [k]);
      },
    ),
    exact,
  ),
  kernelCase(
    "stores of several dtypes share a subexpression",
    built(
      "several",
      (b) => [b.axis("i", 11)],
      (b, i) => {
        const { pool } = b;
        const sum = pool.add(pool.mul(b.read("float32", [i], [11]), b.float(3)), b.read("float32", [], []));
        b.write([i], sum);
        b.write([i], pool.cast(sum, "int32"));
        b.write([i], pool.lt(sum, b.float(0)));
      },
    ),
  ),
  kernelCase(
    "a guarded store leaves the rest alone",
    built(
      "guarded",
      (b) => [b.axis("i", 10)],
      (b, i) => {
        const out = b.buffer("int32", 10, "write");
        const odd = b.pool.eq(b.pool.mod(b.pool.axis(i), b.pool.int(3)), b.pool.int(1));
        b.store(out, i, b.pool.mul(b.read("int32", [i], [10]), b.pool.int(2)), [], odd);
      },
    ),
    exact,
  ),
  {
    name: "gather by loaded indices",
    run: async (backend) => {
      const b = new Builder();
      const [i, j] = [b.axis("i", 6), b.axis("j", 4)];
      const index = b.read("int32", [i], [6]);
      const row = b.pool.min(b.pool.max(index, b.pool.int(0)), b.pool.int(8));
      const table = b.buffer("float32", 36);
      b.write([i, j], b.load(table, b.at([row, j], [9, 4])));
      b.write([i, j], b.load(table, b.at([row, j], [9, 4]), b.within(index, 9)));
      const kernel = b.kernel("gather", [i, j]);
      const data = randomData(kernel);
      data[0] = arrayOf("int32", [3, 0, 8, -5, 100, 1]);
      await expectAgreement(backend, kernel, data, exact);
    },
  },
  kernelCase(
    "max pool with padding",
    built(
      "max_pool",
      (b) => [b.axis("c", 3), b.axis("h", 4), b.axis("w", 4)],
      (b, c, h, w) => {
        const { pool } = b;
        const [kh, kw] = [b.axis("kh", 3), b.axis("kw", 3)];
        const place = (at: Axis, tap: Axis): Expr => pool.sub(pool.add(pool.mul(pool.axis(at), pool.int(2)), pool.axis(tap)), pool.int(1));
        const [y, x] = [place(h, kh), place(w, kw)];
        const inside = pool.and(b.within(y, 7), b.within(x, 7));
        const value = pool.where(inside, b.read("float32", [c, y, x], [3, 7, 7], inside), b.float(-Infinity));
        b.write([c, h, w], b.reduce([kh, kw], "max", value));
      },
    ),
    exact,
  ),
  kernelCase(
    "average pool that counts what is inside",
    built(
      "average_pool",
      (b) => [b.axis("h", 5), b.axis("w", 6)],
      (b, h, w) => {
        const { pool } = b;
        const [kh, kw] = [b.axis("kh", 3), b.axis("kw", 3)];
        const place = (at: Axis, tap: Axis): Expr => pool.sub(pool.add(pool.axis(at), pool.axis(tap)), pool.int(1));
        const [y, x] = [place(h, kh), place(w, kw)];
        const inside = pool.and(b.within(y, 5), b.within(x, 6));
        const sum = b.reduce([kh, kw], "add", b.read("float32", [y, x], [5, 6], inside));
        const count = b.reduce([kh, kw], "add", pool.cast(inside, "float32"));
        b.write([h, w], pool.div(sum, count));
      },
    ),
  ),
  kernelCase(
    "a mask that only data knows",
    built(
      "masked_sum",
      (b) => [b.axis("i", 5)],
      (b, i) => {
        const r = b.axis("r", 9);
        const mask = b.read("bool", [i, r], [5, 9]);
        b.write([i], b.reduce([r], "add", b.pool.where(mask, b.read("float32", [r], [9]), b.float(0))));
      },
    ),
  ),
  kernelCase(
    "triangular sum",
    built(
      "triangle",
      (b) => [b.axis("i", 9), b.axis("j", 40)],
      (b, i, j) => {
        const r = b.axis("r", 64);
        const before = b.pool.le(b.pool.axis(r), b.pool.add(b.pool.axis(i), b.pool.axis(j)));
        b.write([i, j], b.reduce([r], "add", b.pool.mul(b.read("float32", [r], [64], before), b.read("float32", [j, r], [40, 64]))));
      },
    ),
    contraction,
  ),
  kernelCase(
    "stages that need only some of the axes",
    built(
      "placed",
      (b) => [b.axis("i", 60), b.axis("j", 70)],
      (b, i, j) => {
        const { pool } = b;
        const [r, s] = [b.axis("r", 8), b.axis("s", 3)];
        const first = b.reduce([r], "add", b.read("float32", [i, r], [60, 8]));
        const second = b.reduce([s], "max", pool.mul(first, b.read("float32", [j, s], [70, 3])));
        const third = b.reduce([r], "add", pool.mul(b.read("float32", [r], [8]), second));
        b.write([i, j], pool.add(third, first));
      },
    ),
    contraction,
  ),
  kernelCase(
    "int32 wraps, in sums and in products",
    built(
      "wrap",
      (b) => [b.axis("i", 50)],
      (b, i) => {
        const { pool } = b;
        const r = b.axis("r", 40);
        const hash = pool.mul(pool.add(pool.axis(i), pool.int(1)), pool.int(0x2545f491));
        const term = pool.mul(hash, pool.add(pool.axis(r), pool.int(77777)));
        b.write([i], b.reduce([r], "add", term));
        b.write([i], b.reduce([r], "mul", pool.call("bitOr", [term, pool.int(1)])));
      },
    ),
    exact,
  ),
  kernelCase(
    "a reduction whose condition is an earlier result over the same loops",
    built(
      "argmax_pick",
      (b) => [b.axis("i", 12)],
      (b, i) => {
        const { pool } = b;
        const r = b.axis("r", 6);
        const place = (): Expr => b.at([i, r], [12, 6]);
        const [x, y] = [b.load(b.buffer("float32", 72), place()), b.load(b.buffer("float32", 72), place())];
        const most = b.reduce([r], "max", x);
        const at = b.reduce([r], "min", pool.where(pool.eq(x, most), pool.axis(r), pool.int(6)));
        const picked = b.reduce([r], "add", pool.where(pool.eq(pool.axis(r), at), y, b.float(0)));
        b.write([i], at);
        b.write([i], picked);
      },
    ),
  ),
  {
    name: "a sum over nothing reads nothing",
    run: async (backend) => {
      const b = new Builder();
      const r = b.axis("r", 0);
      const x = b.load(b.buffer("float32", 4), b.pool.add(b.pool.axis(r), b.pool.int(4)));
      const i = b.axis("i", 1);
      b.write([i], b.reduce([r], "add", b.pool.mul(x, b.pool.cast(b.pool.axis(r), "float32"))));
      await expectAgreement(backend, b.kernel("nothing", [i]));
    },
  },
  {
    name: "a branch that is not taken reads nothing",
    run: async (backend) => {
      const b = new Builder();
      const { pool } = b;
      const i = b.axis("i", 8);
      const index = b.read("int32", [i], [8]);
      const inside = b.within(index, 4);
      const far = Math.min(2e9, backend.limits.maxExactInteger);
      const table = b.load(b.buffer("float32", 4), index, inside);
      b.write([i], pool.where(inside, pool.add(pool.exp(table), table), pool.cast(index, "float32")));
      const data = [arrayOf("int32", [0, 3, -1, 4, far, 1, -far, 2]), randomArray("float32", 4, 3), randomArray("float32", 8, 4)];
      await expectAgreement(backend, b.kernel("branches", [i]), data);
    },
  },
  kernelCase(
    "quotients and remainders of indices",
    built(
      "shuffle",
      (b) => [b.axis("i", 24)],
      (b, i) => {
        const { pool } = b;
        const shuffled = pool.add(pool.mul(pool.mod(pool.axis(i), pool.int(4)), pool.int(6)), pool.idiv(pool.axis(i), pool.int(4)));
        b.write([i], b.read("float32", [shuffled], [24]));
        b.write([i], pool.mod(pool.sub(pool.int(5), pool.axis(i)), pool.int(7)));
        b.write([i], pool.idiv(pool.sub(pool.int(5), pool.axis(i)), pool.int(7)));
      },
    ),
    exact,
  ),
];

export const loopCases: readonly Case[] = [...reductions, ...contractions, ...convolutions, ...rows, ...forms];

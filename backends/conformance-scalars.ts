/** Every scalar function on every dtype it takes, on the values where implementations go wrong. */
import { type DType, isFloating } from "../engine/dtype.js";
import type { ScalarFn } from "../engine/kernel/ir.js";
import { evaluate, resultDType } from "../engine/kernel/scalar.js";
import type { Backend } from "./backend.js";
import {
  arrayOf,
  Builder,
  type Case,
  defaultTolerance,
  exact,
  expectAgreement,
  randomArray,
  runOn,
  type Tolerance,
} from "./conformance-kit.js";

const specials = [NaN, Infinity, -Infinity, 0, -0];
const ordinary = [1, -1, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.75, -7.25, 0.001, -0.3, 10, -12.5];
const everyday = [...specials, ...ordinary];
const large = [100, -100, 16777217, 1e10, -1e10, 3e38];
const ints = [0, 1, -1, 2, -2, 3, 7, -7, 31, 100, -1000, 65537, 2 ** 31 - 1, -(2 ** 31), -(2 ** 31) + 1];
const bools = [0, 1];

/** Where a float32 device computes a function by a polynomial of its own. */
const transcendental: Tolerance = { relative: 2e-5, absolute: 2e-6 };

interface Subject {
  readonly fn: ScalarFn;
  readonly dtypes: readonly DType[];
  readonly arity: number;
  /** For floats; integers and booleans have lists of their own. */
  readonly values?: readonly number[];
  readonly tolerance?: Tolerance;
}

const floats: readonly DType[] = ["float32", "float64"];
const numbers: readonly DType[] = [...floats, "int32"];

const subject = (
  arity: number,
  dtypes: readonly DType[],
  fns: readonly ScalarFn[],
  values?: readonly number[],
  tolerance?: Tolerance,
): readonly Subject[] => fns.map((fn) => ({ fn, dtypes, arity, values, tolerance }));

const subjects: readonly Subject[] = [
  ...subject(2, numbers, ["add", "sub", "mul", "min", "max"], [...everyday, ...large]),
  ...subject(1, numbers, ["neg", "abs", "sign"], [...everyday, ...large]),
  ...subject(2, floats, ["div"], everyday),
  ...subject(2, floats, ["rem"], [...everyday, 0.1, -0.1, 1e10, -3e-5, 16777213]),
  ...subject(2, floats, ["pow"], [...specials, 1, -1, 2, -2, 3, 0.5, -0.5, 1.5, 10], transcendental),
  ...subject(2, ["int32"], ["idiv", "mod", "bitAnd", "bitOr", "bitXor"]),
  ...subject(1, floats, ["sqrt"], [...everyday, 1e10]),
  ...subject(1, floats, ["floor", "ceil", "round", "trunc"], [...everyday, 0.49999997, 8388609, 1e10, -1e10]),
  ...subject(1, floats, ["exp", "expm1"], [...everyday, 80, -80, 1e-5, 200, -200], transcendental),
  ...subject(1, floats, ["log"], [...everyday, 1e-10, 1e10], transcendental),
  ...subject(1, floats, ["log1p"], [...everyday, 1e-5, -0.999, 1e10], transcendental),
  ...subject(1, floats, ["sin", "cos"], [...everyday, 1e-4, 30, 100, -100], { relative: 2e-5, absolute: 2e-5 }),
  ...subject(1, floats, ["tan"], [...specials, 0.5, -0.5, 1, -1, 1.5, 3, 10], { relative: 1e-4, absolute: 2e-5 }),
  ...subject(1, floats, ["asin", "acos"], [NaN, Infinity, -Infinity, 0, 0.1, -0.1, 0.5, -0.5, 0.99, 1, -1, 1.5], transcendental),
  ...subject(1, floats, ["atan"], [...everyday, 1e10], transcendental),
  ...subject(1, floats, ["sinh", "cosh"], [...everyday, 1e-4, 30, -30], transcendental),
  ...subject(1, floats, ["tanh", "erf"], [...everyday, 1e-4, -1e-4, 0.9, 2, 5, -5, 30], transcendental),
  ...subject(2, [...numbers, "bool"], ["eq", "ne", "lt", "le", "gt", "ge"], everyday),
  ...subject(1, floats, ["isNaN"], everyday),
  ...subject(2, ["bool"], ["and", "or", "xor"]),
  ...subject(1, ["bool"], ["not"]),
];

const valuesFor = (dtype: DType, floatsOnly: readonly number[]): readonly number[] =>
  isFloating(dtype) ? floatsOnly : dtype === "int32" ? ints : bools;

/** All combinations of the values that `fits` does not refuse, one argument an array. */
function combinations(values: readonly number[], arity: number, fits: (row: readonly number[]) => boolean = () => true): number[][] {
  let rows: number[][] = [[]];
  for (let i = 0; i < arity; i++) rows = rows.flatMap((row) => values.map((value) => [...row, value]));
  const kept = rows.filter(fits);
  return Array.from({ length: arity }, (_, i) => kept.map((row) => row[i]));
}

/** Whether the backend holds these integers exactly; among whole words −2³¹ is one more than the largest. */
const holds = ({ limits: { maxExactInteger: most } }: Backend, ...values: readonly number[]): boolean =>
  values.every((value) => value <= most && value >= (most === 2 ** 31 - 1 ? -(2 ** 31) : -most));

/** Whether a product that wraps into the range again is one that the backend holds on the way. */
const keeps = (backend: Backend, fn: ScalarFn, [a, b]: readonly number[]): boolean =>
  fn !== "mul" || backend.limits.maxExactInteger === 2 ** 31 - 1 || holds(backend, a * b);

function scalarCase({ fn, arity, values = everyday, tolerance }: Subject, dtype: DType): Case {
  return {
    name: `scalar ${fn} ${dtype}`,
    run: async (backend) => {
      const result: DType = resultDType(fn, [{ dtype }, { dtype }]);
      const fits = (row: readonly number[]): boolean =>
        dtype !== "int32" || (holds(backend, ...row, result === "int32" ? evaluate(fn, row, result, dtype) : 0) && keeps(backend, fn, row));
      const columns = combinations(valuesFor(dtype, values), arity, fits);
      const b = new Builder();
      const i = b.axis("i", columns[0].length);
      const args = columns.map((column) => b.read(dtype, [i], [column.length]));
      const value = b.pool.call(fn, args);
      b.write([i], value);
      const blank = arrayOf(value.dtype, new Array(columns[0].length).fill(0));
      const allowed = value.dtype === "float32" ? tolerance : undefined;
      await expectAgreement(backend, b.kernel(`${fn}_${dtype}`, [i]), [...columns.map((column) => arrayOf(dtype, column)), blank], allowed);
    },
  };
}

function castCase(from: DType, to: DType): Case {
  return {
    name: `scalar cast ${from} to ${to}`,
    run: async (backend) => {
      // Beyond int32 the conversion saturates; 16777217 is the first integer that float32 lacks.
      const values = valuesFor(from, [...everyday, ...large, 2147483647, -2147483648, 2147483520, -3e9, 3e9]);
      const all = (from === "int32" ? [...values, 16777217, 123456789] : values)
        .filter((value) => from !== "int32" || holds(backend, value))
        .filter((value) => to !== "int32" || holds(backend, evaluate("cast", [value], to, from)));
      const b = new Builder();
      const i = b.axis("i", all.length);
      b.write([i], b.pool.cast(b.read(from, [i], [all.length]), to));
      await expectAgreement(
        backend,
        b.kernel(`cast_${from}_${to}`, [i]),
        [
          arrayOf(from, all),
          arrayOf(
            to,
            all.map(() => 1),
          ),
        ],
        exact,
      );
    },
  };
}

const dtypes: readonly DType[] = ["float32", "float64", "int32", "bool"];

const others: readonly Case[] = [
  ...dtypes.map(
    (dtype): Case => ({
      name: `scalar where ${dtype}`,
      run: async (backend) => {
        const b = new Builder();
        const i = b.axis("i", 12);
        const [condition, x, y] = [b.read("bool", [i], [12]), b.read(dtype, [i], [12]), b.read(dtype, [i], [12])];
        b.write([i], b.pool.where(condition, x, y));
        const data = [randomArray("bool", 12, 5), randomArray(dtype, 12, 6), randomArray(dtype, 12, 7), randomArray(dtype, 12, 8)];
        if (isFloating(dtype)) [data[1][0], data[2][1]] = [NaN, NaN];
        await expectAgreement(backend, b.kernel(`where_${dtype}`, [i]), data, exact);
      },
    }),
  ),
  ...(["shl", "shr"] as const).map(
    (fn): Case => ({
      name: `scalar ${fn} int32`,
      run: async (backend) => {
        const counts = Array.from({ length: 37 }, (_, i) => i - 2);
        const rows = ints.flatMap((value) => counts.map((count) => [value, count]));
        const kept = rows.filter((row) => holds(backend, ...row, evaluate(fn, row, "int32", "int32")));
        const b = new Builder();
        const { length } = kept;
        const i = b.axis("i", length);
        b.write([i], b.pool.call(fn, [b.read("int32", [i], [length]), b.read("int32", [i], [length])]));
        const columns = [0, 1].map((at) =>
          arrayOf(
            "int32",
            kept.map((row) => row[at]),
          ),
        );
        await expectAgreement(backend, b.kernel(fn, [i]), [...columns, arrayOf("int32", new Array(length).fill(0))], exact);
      },
    }),
  ),
  {
    name: "scalar threefry int32",
    run: async (backend) => {
      const b = new Builder();
      const { pool } = b;
      const i = b.axis("i", 64);
      const [key0, key1] = [b.read("int32", [i], [64]), b.read("int32", [i], [64])];
      const bits = pool.call("threefry", [key0, key1, pool.axis(i), pool.int(7)]);
      b.write([i], bits);
      // The 24 high bits as a uniform number: the same on every device.
      b.write([i], pool.mul(pool.cast(pool.call("shr", [bits, pool.int(8)]), "float32"), b.float(2 ** -24)));
      const keys = [randomArray("int32", 64, 1), randomArray("int32", 64, 2)].map((array) => array.map((x) => Math.imul(x, 0x9e3779b1)));
      await expectAgreement(
        backend,
        b.kernel("threefry", [i]),
        [...keys, arrayOf("int32", new Array(64).fill(0)), arrayOf("float32", new Array(64).fill(0))],
        exact,
      );
    },
  },
  {
    name: "scalar sign of zero float32",
    run: async (backend) => {
      const b = new Builder();
      const { pool } = b;
      const i = b.axis("i", 4);
      const x = b.read("float32", [i], [4]);
      const results = [pool.neg(x), pool.mul(x, b.float(-2)), pool.call("round", [x]), pool.sqrt(x), pool.call("trunc", [x])];
      for (const value of results) b.write([i], pool.div(b.float(1), value));
      const inputs = arrayOf("float32", [0, -0, 0.25, -0.25]);
      const [, ...got] = await runOn(backend, b.kernel("zeros", [i]), [inputs, ...results.map(() => arrayOf("float32", [0, 0, 0, 0]))]);
      const text = got.map((array) => Array.from(array).join(" ")).join("; ");
      const expected =
        "-Infinity Infinity -4 4; -Infinity Infinity -2 2; Infinity -Infinity Infinity -Infinity; Infinity -Infinity 2 NaN; Infinity -Infinity Infinity -Infinity";
      if (text !== expected) throw new Error(`1/x of signed zeros: ${text}, expected ${expected}`);
    },
  },
  ...floats.map(
    (dtype): Case => ({
      name: `scalar constants ${dtype}`,
      run: async (backend) => {
        const constants = [NaN, Infinity, -Infinity, 0, -1, 0.1, 1e-30, 1e30, 16777216, 1 / 3, -2.5e-7];
        const b = new Builder();
        const i = b.axis("i", 2);
        const x = b.read(dtype, [i], [2]);
        const [j] = [b.axis("j", constants.length)];
        const pick = constants.reduceRight(
          (rest, value, at) => b.pool.where(b.pool.eq(b.pool.axis(j), b.pool.int(at)), b.pool.add(x, b.float(value, dtype)), rest),
          b.float(0, dtype),
        );
        b.write([i, j], pick);
        const data = [arrayOf(dtype, [0, 1]), arrayOf(dtype, new Array(2 * constants.length).fill(0))];
        await expectAgreement(backend, b.kernel("constants", [i, j]), data, defaultTolerance(dtype));
      },
    }),
  ),
];

export const scalarCases: readonly Case[] = [
  ...subjects.flatMap((each) => each.dtypes.map((dtype) => scalarCase(each, dtype))),
  ...dtypes.flatMap((from) => dtypes.filter((to) => to !== from).map((to) => castCase(from, to))),
  ...others,
];

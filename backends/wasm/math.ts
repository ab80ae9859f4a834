/**
 * Functions that generated code calls. Of float32 vectors: exp, log, tanh, erf, sin and cos by polynomials, to about 2 ulp (measured in
 * test/backends/wasm.test.ts). Rarer ones, and those of doubles, are JavaScript's. Polynomials of exp, log, tanh, sin and cos are those
 * of Cephes (S. Moshier); erf is a minimax fit of erfc's logarithm beyond 0.93.
 */
import { erf, power } from "../../engine/kernel/scalar.js";
import {
  type Code,
  call,
  double,
  f64,
  float,
  floats,
  get,
  int,
  ints,
  Locals,
  type ModuleWriter,
  set,
  type ValueType,
  v128,
  vector,
  when,
} from "./binary.js";

/** What modules import as `math`: functions of doubles. */
export const imports = {
  exp: Math.exp,
  log: Math.log,
  log1p: Math.log1p,
  expm1: Math.expm1,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  erf,
  pow: power,
} as const;

export type ImportName = keyof typeof imports;
export const isImported = (name: string): name is ImportName => name in imports;

const constantOf = vector.floats;

/** A function body with named intermediate values. */
class Body {
  readonly code: Code[] = [];
  readonly locals: Locals;

  constructor(parameters: number) {
    this.locals = new Locals(parameters);
  }

  keep(value: Code, type: ValueType = v128): Code {
    const local = this.locals.add(type);
    this.code.push(set(local, value));
    return get(local);
  }

  /** A local that is set more than once. */
  variable(value: Code): number {
    const local = this.locals.add(v128);
    this.code.push(set(local, value));
    return local;
  }
}

type Maker = (library: Library, body: Body) => Code;

const intsOf = (value: number): Code => vector.ints([value, value, value, value]);
const signBit = intsOf(-(2 ** 31));

/** The functions of one module, added when first asked for. */
export class Library {
  private readonly known = new Map<string, number>();

  /** `used` are the imports that the module's code calls; they come before all functions. */
  constructor(
    private readonly module: ModuleWriter,
    used: ReadonlySet<ImportName>,
    private readonly relaxed: boolean,
  ) {
    for (const name of used) this.known.set(`import ${name}`, module.importFunction(name, name === "pow" ? [f64, f64] : [f64], [f64]));
  }

  /** JavaScript's function, of doubles. */
  imported(name: ImportName, args: readonly Code[]): Code {
    return call(this.known.get(`import ${name}`) as number, ...args);
  }

  /** A function of vectors, or null where there is none. */
  vector(name: string, args: readonly Code[]): Code | null {
    const make = makers[name];
    return make === undefined ? null : call(this.add(name, args.length, make), ...args);
  }

  private add(name: string, arity: number, make: Maker): number {
    let fn = this.known.get(name);
    if (fn === undefined) {
      const body = new Body(arity);
      const result = make(this, body);
      fn = this.module.addFunction(new Array<ValueType>(arity).fill(v128), [v128], body.locals, [body.code, result]);
      this.known.set(name, fn);
    }
    return fn;
  }

  /** a · b + c */
  madd(a: Code, b: Code, c: Code): Code {
    return this.relaxed ? floats.relaxedMadd(a, b, c) : floats.add(floats.mul(a, b), c);
  }

  /** Horner's rule, highest coefficient first. */
  polynomial(x: Code, coefficients: readonly number[]): Code {
    return coefficients.slice(1).reduce<Code>((sum, c) => this.madd(sum, x, constantOf(c)), constantOf(coefficients[0]));
  }

  /** Each lane by JavaScript. */
  lanes(name: ImportName, x: Code): Code {
    return [0, 1, 2, 3].reduce<Code>(
      (result, lane) => floats.replace(result, float.fromDouble(this.imported(name, [double.fromFloat(floats.extract(x, lane))])), lane),
      constantOf(0),
    );
  }
}

/** e^x of |x| up to about 100. */
function exponential(library: Library, body: Body, x: Code): Code {
  const turns = body.keep(floats.nearest(floats.mul(x, constantOf(Math.LOG2E))));
  const high = library.madd(turns, constantOf(-0.693359375), x);
  const r = body.keep(library.madd(turns, constantOf(2.12194440054690583e-4), high));
  const p = library.polynomial(r, [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1]);
  const y = floats.add(library.madd(p, floats.mul(r, r), r), constantOf(1));
  // 2^n in two factors, so that the smallest and largest results come out right.
  const n = body.keep(ints.fromFloats(turns));
  const half = body.keep(ints.shr(n, int.const(1)));
  const powerOf = (e: Code): Code => ints.shl(ints.add(e, intsOf(127)), int.const(23));
  return floats.mul(floats.mul(y, powerOf(half)), powerOf(ints.sub(n, half)));
}

function exp(library: Library, body: Body): Code {
  const x = body.keep(floats.max(floats.min(get(0), constantOf(89)), constantOf(-104)));
  return exponential(library, body, x);
}

function log(library: Library, body: Body): Code {
  const x = get(0);
  const tiny = body.keep(floats.lt(x, constantOf(1.17549435e-38)));
  const scaled = body.keep(vector.choose(floats.mul(x, constantOf(8388608)), x, tiny));
  const bits = body.keep(ints.sub(scaled, intsOf(0x3f3504f3)));
  // The mantissa between √½ and √2.
  const exponent = ints.sub(ints.shr(bits, int.const(23)), vector.and(tiny, intsOf(23)));
  const e = body.keep(floats.fromInts(exponent));
  const mantissa = ints.add(vector.and(bits, intsOf(0x7fffff)), intsOf(0x3f3504f3));
  const m = body.keep(floats.sub(mantissa, constantOf(1)));
  const z = body.keep(floats.mul(m, m));
  const p = library.polynomial(
    m,
    [
      7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
      -2.4999993993e-1, 3.3333331174e-1,
    ],
  );
  const small = library.madd(e, constantOf(-2.1219444e-4), floats.mul(floats.mul(m, z), p));
  const sum = floats.add(m, library.madd(z, constantOf(-0.5), small));
  const result = library.madd(e, constantOf(0.693359375), sum);
  const finite = vector.choose(result, x, floats.lt(x, constantOf(Infinity))); // infinity and NaN stay
  const positive = vector.choose(constantOf(-Infinity), finite, floats.eq(x, constantOf(0)));
  return vector.choose(constantOf(Number.NaN), positive, floats.lt(x, constantOf(0)));
}

const withSignOf = (magnitude: Code, x: Code): Code => vector.or(magnitude, vector.and(x, signBit));

function tanh(library: Library, body: Body): Code {
  const x = get(0);
  const a = body.keep(floats.abs(x));
  const z = body.keep(floats.mul(x, x));
  const p = library.polynomial(z, [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1]);
  const near = body.keep(library.madd(floats.mul(p, z), x, x));
  const doubled = body.keep(floats.min(floats.add(a, a), constantOf(40)));
  const e = exponential(library, body, doubled);
  const far = body.keep(floats.sub(constantOf(1), floats.div(constantOf(2), floats.add(e, constantOf(1)))));
  return vector.choose(near, withSignOf(far, x), floats.lt(a, constantOf(0.625)));
}

function erfVector(library: Library, body: Body): Code {
  const x = get(0);
  const a = body.keep(floats.min(floats.abs(x), constantOf(4)));
  const s = body.keep(floats.mul(a, a));
  const upper = library.polynomial(a, [-1.7285347e-5, 3.83197126e-4]);
  const lower = library.polynomial(a, [-3.88396438e-3, 2.42546219e-2]);
  let r = library.madd(upper, s, lower);
  for (const c of [-1.06777877e-1, -6.34846687e-1, -1.28717512e-1]) r = library.madd(r, a, constantOf(c));
  const exponent = body.keep(library.madd(r, a, floats.neg(a)));
  const far = body.keep(floats.sub(constantOf(1), exponential(library, body, exponent)));
  const p = library.polynomial(s, [-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1]);
  const near = body.keep(library.madd(p, x, x));
  // NaN fails the comparison and is then in `far`.
  return vector.choose(withSignOf(far, x), near, floats.gt(a, constantOf(0.927734375)));
}

/** Sine (shift 0) or cosine (shift 1). */
const circular =
  (name: "sin" | "cos", shift: number): Maker =>
  (library, body) => {
    const x = get(0);
    const turns = body.keep(floats.nearest(floats.mul(x, constantOf(2 / Math.PI))));
    let r: Code = x;
    for (const part of [1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8]) r = library.madd(turns, constantOf(-part), r);
    const y = body.keep(r);
    const z = body.keep(floats.mul(y, y));
    const sine = library.madd(floats.mul(library.polynomial(z, [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1]), z), y, y);
    const even = library.polynomial(z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2, -0.5, 1]);
    const quadrant = body.keep(ints.add(ints.fromFloats(turns), intsOf(shift)));
    const odd = ints.eq(vector.and(quadrant, intsOf(1)), intsOf(1));
    const flip = ints.shl(vector.and(quadrant, intsOf(2)), int.const(30));
    const result = body.variable(vector.xor(vector.choose(even, sine, odd), flip));
    // Where the reduction would lose bits, and for infinities.
    body.code.push(when(vector.anyTrue(floats.gt(floats.abs(x), constantOf(8192))), set(result, library.lanes(name, x))));
    return get(result);
  };

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** The first word of Threefry-2x32-20, as `threefry2x32` of the kernel IR has it. */
function threefry(_: Library, body: Body): Code {
  const [key0, key1, counter0, counter1] = [0, 1, 2, 3].map(get);
  const keys = [key0, key1, body.keep(vector.xor(vector.xor(key0, key1), intsOf(0x1bd11bda)))];
  let x0 = body.keep(ints.add(counter0, key0));
  let x1 = body.keep(ints.add(counter1, key1));
  for (let round = 0; round < 20; round++) {
    const r = rotations[round % 8];
    x0 = body.keep(ints.add(x0, x1));
    const rotated = vector.or(ints.shl(x1, int.const(r)), ints.shrUnsigned(x1, int.const(32 - r)));
    x1 = body.keep(vector.xor(rotated, x0));
    if (round % 4 === 3) {
      const step = (round + 1) / 4;
      x0 = body.keep(ints.add(x0, keys[step % 3]));
      x1 = body.keep(ints.add(ints.add(x1, keys[(step + 1) % 3]), intsOf(step)));
    }
  }
  return x0;
}

const makers: Readonly<Record<string, Maker | undefined>> = {
  exp,
  log,
  tanh,
  erf: erfVector,
  sin: circular("sin", 0),
  cos: circular("cos", 1),
  threefry,
};

/** Whether {@link Library.vector} has it. */
export const hasVector = (name: string): boolean => makers[name] !== undefined;

/** The imports that the code of a function of float32 needs. */
export function importsFor(name: string, isDouble: boolean): readonly ImportName[] {
  if (!isImported(name)) return [];
  return !isDouble && hasVector(name) && name !== "sin" && name !== "cos" ? [] : [name];
}

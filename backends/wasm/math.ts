/**
 * Functions that generated code calls. Of float32 vectors: exp, log, tanh, erf, sin and cos by polynomials, to about 2 ulp (measured in
 * test/backends/wasm.test.ts). Rarer ones, and those of doubles, are JavaScript's. Polynomials of log, tanh, sin and cos are those of
 * Cephes (S. Moshier); those of exp and erf are minimax fits of our own.
 */
import { erfParts } from "../../engine/kernel/erf.js";
import { polynomials } from "../loops/polynomials.js";
import {
  type Code,
  call,
  double,
  either,
  f64,
  float,
  floats,
  get,
  int,
  ints,
  Locals,
  type ModuleWriter,
  select,
  set,
  type ValueType,
  v128,
  vector,
  when,
} from "./binary.js";

/** What modules may import as `math`: functions of doubles, JavaScript's own; `rem` is its `%`. */
// biome-ignore format: a list
const importNames = ["exp", "log", "log1p", "expm1", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "pow", "rem"] as const;

export type ImportName = (typeof importNames)[number];
const isBinary = (name: ImportName): boolean => name === "pow" || name === "rem";
const isImported = (name: string): name is ImportName => (importNames as readonly string[]).includes(name);
/** Whether {@link Library.double} has it. */
export const isDoubleFunction = (name: string): name is ImportName | "erf" => name === "erf" || isImported(name);

/** That fit before the first buffer. */
const mostConstants = 8192;

/** Bits of all constants in the order of their places, which are the same in every memory: a module runs on any. */
const constants = new Map<number, number>();

/**
 * Constants of the functions, in memory that every kernel of a backend can read: a load is one instruction, where a vector written into
 * the code takes four.
 */
export class ConstantTable {
  private written = 0;

  /** Uses the first bytes of the memory. */
  constructor(private readonly memory: WebAssembly.Memory) {}

  /** Writes what modules that were made elsewhere need; to be called before one runs. */
  update(): void {
    if (this.written === constants.size) return;
    new Int32Array(this.memory.buffer).set([...constants.keys()].slice(this.written), this.written);
    this.written = constants.size;
  }

  floats(value: number): Code {
    return this.bits(new Int32Array(new Float32Array([value]).buffer)[0]);
  }

  ints(value: number): Code {
    return this.bits(value | 0);
  }

  private bits(value: number): Code {
    let place = constants.get(value);
    if (place === undefined) {
      if (constants.size >= mostConstants) return vector.ints([value, value, value, value]);
      place = 4 * constants.size;
      constants.set(value, place);
    }
    this.update();
    return vector.loadSplat(int.const(0), place);
  }
}

/** Where a function is written: into a body of its own, or in place. */
export interface Scope {
  readonly args: readonly Code[];
  keep(value: Code, type?: ValueType): Code;
  floats(value: number): Code;
  ints(value: number): Code;
}

/** A function body with named intermediate values. */
class Body implements Scope {
  readonly code: Code[] = [];
  readonly locals: Locals;
  readonly args: readonly Code[];

  constructor(
    parameters: number,
    private readonly constants: ConstantTable,
  ) {
    this.locals = new Locals(parameters);
    this.args = Array.from({ length: parameters }, (_, i) => get(i));
  }

  floats(value: number): Code {
    return this.constants.floats(value);
  }

  ints(value: number): Code {
    return this.constants.ints(value);
  }

  keep(value: Code, type: ValueType = v128): Code {
    const local = this.locals.add(type);
    this.code.push(set(local, value));
    return get(local);
  }

  /** A local that is set more than once. */
  variable(value: Code, type: ValueType = v128): number {
    const local = this.locals.add(type);
    this.code.push(set(local, value));
    return local;
  }
}

type Maker = (library: Library, scope: Scope) => Code;

/** The functions of one module, added when first asked for. */
export class Library {
  private readonly known = new Map<string, number>();

  /** `used` are the imports that the module's code calls; they come before all functions. */
  constructor(
    private readonly module: ModuleWriter,
    used: ReadonlySet<ImportName>,
    private readonly relaxed: boolean,
    readonly constants: ConstantTable,
  ) {
    for (const name of used) this.known.set(`import ${name}`, module.importFunction(name, isBinary(name) ? [f64, f64] : [f64], [f64]));
  }

  /** JavaScript's function, of doubles. */
  imported(name: ImportName, args: readonly Code[]): Code {
    return call(this.known.get(`import ${name}`) as number, ...args);
  }

  /** A function of doubles. */
  double(name: ImportName | "erf", args: readonly Code[]): Code {
    if (name === "erf") return call(this.add("double erf", f64, 1, erfDouble), ...args);
    if (name === "pow") return call(this.add("double pow", f64, 2, power), ...args);
    return this.imported(name, args);
  }

  /** A function of vectors, or null where there is none. */
  vector(name: string, args: readonly Code[]): Code | null {
    const make = makers[name];
    return make === undefined ? null : call(this.add(name, v128, args.length, make), ...args);
  }

  /** The same written in place, which saves the call and lets constants stay in registers; null where that does not pay. */
  inlined(name: string, scope: Scope): Code | null {
    return short.has(name) ? (makers[name] as Maker)(this, scope) : null;
  }

  private add(name: string, type: ValueType, arity: number, make: (library: Library, body: Body) => Code): number {
    let fn = this.known.get(name);
    if (fn === undefined) {
      const body = new Body(arity, this.constants);
      const result = make(this, body);
      fn = this.module.addFunction(new Array<ValueType>(arity).fill(type), [type], body.locals, [body.code, result]);
      this.known.set(name, fn);
    }
    return fn;
  }

  /** a · b + c */
  madd(a: Code, b: Code, c: Code): Code {
    return this.relaxed ? floats.relaxedMadd(a, b, c) : floats.add(floats.mul(a, b), c);
  }

  /** Horner's rule, highest coefficient first. */
  polynomial(scope: Scope, x: Code, coefficients: readonly number[]): Code {
    const [first, ...others] = coefficients.map((c) => scope.floats(c));
    return others.reduce<Code>((sum, c) => this.madd(sum, x, c), first);
  }

  /** Each lane by JavaScript. */
  lanes(name: ImportName, x: Code): Code {
    return [0, 1, 2, 3].reduce<Code>(
      (result, lane) => floats.replace(result, float.fromDouble(this.imported(name, [double.fromFloat(floats.extract(x, lane))])), lane),
      vector.floats(0),
    );
  }
}

/** Adding it leaves a float's whole number in its last bits, rounded half to even. */
const magic = 1.5 * 2 ** 23;
const magicBits = 0x4b400000;

/** The lesser or greater of a variable and a constant; NaN stays, and it takes one instruction. */
const atMost = floats.pmin;
const atLeast = floats.pmax;

/** e^x of |x| up to about 100, or of x whose result is a normal number. */
function exponential(library: Library, scope: Scope, x: Code, range: "normal" | "all"): Code {
  const shifted = scope.keep(library.madd(x, scope.floats(Math.LOG2E), scope.floats(magic)));
  const turns = scope.keep(floats.sub(shifted, scope.floats(magic)));
  const high = library.madd(turns, scope.floats(-0.693359375), x);
  const r = scope.keep(library.madd(turns, scope.floats(2.12194440054690583e-4), high));
  // To within 2^-28 for |r| up to ½ ln 2.
  const p = library.polynomial(scope, r, [1.381453988e-3, 8.36874528e-3, 4.16683908e-2, 1.66665204e-1, 4.999999343e-1]);
  const y = floats.add(library.madd(p, floats.mul(r, r), r), scope.floats(1));
  // 2^n in two factors, so that the smallest and largest results come out right.
  const n = scope.keep(ints.sub(shifted, scope.ints(magicBits)));
  const powerOf = (e: Code): Code => ints.shl(ints.add(e, scope.ints(127)), int.const(23));
  if (range === "normal") return floats.mul(y, powerOf(n));
  const half = scope.keep(ints.shr(n, int.const(1)));
  return floats.mul(floats.mul(y, powerOf(half)), powerOf(ints.sub(n, half)));
}

function exp(library: Library, scope: Scope): Code {
  const x = scope.keep(atLeast(atMost(scope.args[0], scope.floats(89)), scope.floats(-104)));
  return exponential(library, scope, x, "all");
}

function log(library: Library, scope: Scope): Code {
  const x = scope.args[0];
  const tiny = scope.keep(floats.lt(x, scope.floats(1.17549435e-38)));
  const scaled = scope.keep(vector.choose(floats.mul(x, scope.floats(8388608)), x, tiny));
  const bits = scope.keep(ints.sub(scaled, scope.ints(0x3f3504f3)));
  // The mantissa between √½ and √2.
  const exponent = ints.sub(ints.shr(bits, int.const(23)), vector.and(tiny, scope.ints(23)));
  const e = scope.keep(floats.fromInts(exponent));
  const mantissa = ints.add(vector.and(bits, scope.ints(0x7fffff)), scope.ints(0x3f3504f3));
  const m = scope.keep(floats.sub(mantissa, scope.floats(1)));
  const z = scope.keep(floats.mul(m, m));
  const p = library.polynomial(scope, m, polynomials.log);
  const small = library.madd(e, scope.floats(-2.1219444e-4), floats.mul(floats.mul(m, z), p));
  const sum = floats.add(m, library.madd(z, scope.floats(-0.5), small));
  const result = library.madd(e, scope.floats(0.693359375), sum);
  const finite = vector.choose(result, x, floats.lt(x, scope.floats(Infinity))); // infinity and NaN stay
  const positive = vector.choose(scope.floats(-Infinity), finite, floats.eq(x, scope.floats(0)));
  return vector.choose(scope.floats(Number.NaN), positive, floats.lt(x, scope.floats(0)));
}

const withSignOf = (scope: Scope, magnitude: Code, x: Code): Code => vector.or(magnitude, vector.and(x, scope.ints(-(2 ** 31))));

function tanh(library: Library, scope: Scope): Code {
  const x = scope.args[0];
  const a = scope.keep(floats.abs(x));
  const z = scope.keep(floats.mul(x, x));
  const p = library.polynomial(scope, z, polynomials.tanh);
  const near = scope.keep(library.madd(floats.mul(p, z), x, x));
  const doubled = scope.keep(atMost(floats.add(a, a), scope.floats(40)));
  const e = exponential(library, scope, doubled, "normal");
  const far = scope.keep(floats.sub(scope.floats(1), floats.div(scope.floats(2), floats.add(e, scope.floats(1)))));
  return vector.choose(near, withSignOf(scope, far, x), floats.lt(a, scope.floats(0.625)));
}

/** By x + x · p(x²) up to 1.19, and beyond by 1 − q(|x|)⁴, both minimax fits; 1 from 3.96 on. */
function erfVector(library: Library, scope: Scope): Code {
  const x = scope.args[0];
  const a = scope.keep(atMost(floats.abs(x), scope.floats(3.96)));
  const s = scope.keep(floats.mul(a, a));
  const p = library.polynomial(
    scope,
    s,
    [-8.06154378e-6, 1.06332669e-4, -8.38551938e-4, 5.21337579e-3, -2.68623632e-2, 1.12837237e-1, -3.76126342e-1, 1.28379167e-1],
  );
  const near = scope.keep(library.madd(p, x, x));
  const q = scope.keep(
    library.polynomial(
      scope,
      a,
      [-1.88351122e-4, 3.35939255e-3, -2.29567723e-2, 6.85256294e-2, -5.50530764e-2, -5.83024833e-2, -3.11916257e-1, 1.00630388],
    ),
  );
  const square = scope.keep(floats.mul(q, q));
  const far = scope.keep(floats.sub(scope.floats(1), floats.mul(square, square)));
  // NaN fails the comparison and is then in `far`.
  return vector.choose(near, withSignOf(scope, far, x), floats.lt(a, scope.floats(1.19)));
}

/** Sine (shift 0) or cosine (shift 1). */
const circular =
  (name: "sin" | "cos", shift: number): Maker =>
  (library, scope) => {
    const x = scope.args[0];
    const shifted = scope.keep(library.madd(x, scope.floats(2 / Math.PI), scope.floats(magic)));
    const turns = scope.keep(floats.sub(shifted, scope.floats(magic)));
    let r: Code = x;
    for (const part of [1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8]) r = library.madd(turns, scope.floats(-part), r);
    const y = scope.keep(r);
    const z = scope.keep(floats.mul(y, y));
    const sine = library.madd(floats.mul(library.polynomial(scope, z, polynomials.sin), z), y, y);
    const even = library.polynomial(scope, z, [...polynomials.cos, -0.5, 1]);
    const quadrant = scope.keep(ints.add(shifted, scope.ints(shift)));
    const odd = ints.eq(vector.and(quadrant, scope.ints(1)), scope.ints(1));
    const flip = ints.shl(vector.and(quadrant, scope.ints(2)), int.const(30));
    const near = vector.xor(vector.choose(even, sine, odd), flip);
    // Where the reduction would lose bits, and for infinities.
    return either(vector.anyTrue(floats.gt(floats.abs(x), scope.floats(8192))), v128, library.lanes(name, x), near);
  };

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** The first word of Threefry-2x32-20, as `threefry2x32` of the kernel IR has it. */
function threefry(_: Library, scope: Scope): Code {
  const [key0, key1, counter0, counter1] = scope.args;
  const keys = [key0, key1, scope.keep(vector.xor(vector.xor(key0, key1), scope.ints(0x1bd11bda)))];
  let x0 = scope.keep(ints.add(counter0, key0));
  let x1 = scope.keep(ints.add(counter1, key1));
  for (let round = 0; round < 20; round++) {
    const r = rotations[round % 8];
    x0 = scope.keep(ints.add(x0, x1));
    const rotated = vector.or(ints.shl(x1, int.const(r)), ints.shrUnsigned(x1, int.const(32 - r)));
    x1 = scope.keep(vector.xor(rotated, x0));
    if (round % 4 === 3) {
      const step = (round + 1) / 4;
      x0 = scope.keep(ints.add(x0, keys[step % 3]));
      x1 = scope.keep(ints.add(ints.add(x1, keys[(step + 1) % 3]), scope.ints(step)));
    }
  }
  return x0;
}

/** {@link erf} of the kernel IR, in doubles. */
function erfDouble(library: Library, body: Body): Code {
  const x = get(0);
  const { nearP, nearQ, middle, middleP, middleQ, farP, farQ, tailP, tailQ, slope } = erfParts;
  const polynomial = (at: Code, coefficients: readonly number[]): Code =>
    coefficients.reduceRight<Code | null>(
      (sum, c) => (sum === null ? double.const(c) : double.add(double.mul(sum, at), double.const(c))),
      null,
    ) as Code;
  const ratio = (at: Code, p: readonly number[], q: readonly number[]): Code => double.div(polynomial(at, p), polynomial(at, q));
  const a = body.keep(double.abs(x), f64);
  const square = body.keep(double.mul(x, x), f64);
  // Beyond 6, and NaN.
  const result = body.variable(select(double.copysign(double.const(1), x), x, double.ge(a, double.const(6))), f64);
  const within = (bound: number, value: Code, beyond: Code): Code => when(double.lt(a, double.const(bound)), set(result, value), beyond);
  const z = body.keep(double.fromFloat(float.fromDouble(a)), f64);
  const s = body.keep(double.div(double.const(1), square), f64);
  const exp = (e: Code): Code => library.imported("exp", [e]);
  const tail = body.variable(double.const(0), f64);
  const complement = double.mul(
    exp(double.sub(double.mul(double.neg(z), z), double.const(0.5625))),
    exp(double.add(double.mul(double.sub(z, a), double.add(z, a)), get(tail))),
  );
  const far: Code = [
    when(double.lt(a, double.const(1 / 0.35)), set(tail, ratio(s, farP, farQ)), set(tail, ratio(s, tailP, tailQ))),
    set(result, double.copysign(double.sub(double.const(1), double.div(complement, a)), x)),
  ];
  const m = double.sub(a, double.const(1));
  const near = double.add(x, double.mul(x, ratio(square, nearP, nearQ)));
  const between = double.copysign(double.add(double.const(middle), ratio(m, middleP, middleQ)), x);
  const outer = within(1.25, between, when(double.lt(a, double.const(6)), far));
  body.code.push(within(2 ** -28, double.add(x, double.mul(x, double.const(slope))), within(0.84375, near, outer)));
  return get(result);
}

/** As IEEE has it, where JavaScript gives NaN for a base of size 1. */
function power(library: Library, _: Body): Code {
  const [a, b] = [get(0), get(1)];
  const one = double.const(1);
  const infinite = double.eq(double.abs(b), double.const(Infinity));
  const ofOne = int.or(double.eq(a, one), int.and(double.eq(a, double.const(-1)), infinite));
  return select(one, library.imported("pow", [a, b]), ofOne);
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

/** Worth writing in place. */
const short: ReadonlySet<string> = new Set(["exp", "log", "tanh", "erf"]);

/** Whether {@link Library.vector} has it. */
export const hasVector = (name: string): boolean => makers[name] !== undefined;

/** The imports that the code of a function of float32 needs. */
export function importsFor(name: string, isDouble: boolean): readonly ImportName[] {
  if (name === "erf") return isDouble ? ["exp"] : [];
  if (!isImported(name)) return [];
  return !isDouble && hasVector(name) && name !== "sin" && name !== "cos" ? [] : [name];
}

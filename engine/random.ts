/**
 * Random numbers by counting: element i of the c-th draw of a generator is a hash of (seed, c, i), Threefry-2x32-20 (Salmon et al., 2011).
 * So every device, any number of threads and any fusion give the same bits, and a draw can be repeated by naming it.
 *
 * Draw c has key (a, b) = threefry(seed; c, 0), computed on the host and read anew at each replay of a compiled function; word w of
 * element i is threefry(a, b; i, w).
 */
import { type Device, defaultDevice } from "./device.js";
import { drawn } from "./draws.js";
import type { DType, TypedArray } from "./dtype.js";
import { OpError } from "./errors.js";
import { add, cos, log1p, lt, mul, neg, sqrt } from "./functional/elementwise.js";
import { threefry2x32 } from "./kernel/scalar.js";
import { cast } from "./ops/cast.js";
import { defineOp, nonDifferentiable } from "./ops/record.js";
import { hostLeaf, hostScalar } from "./runtime/scalar.js";
import { checkShape, numel, type Shape, strides } from "./shape.js";
import { apply, fromHost, type Tensor } from "./tensor.js";

/** A seed, and how many draws have been made from it. Both may be set; the pair is the whole state. */
export class Generator {
  seed: number;
  counter = 0;

  constructor(seed = 0) {
    this.seed = checkSeed(seed);
  }

  /** Starts again from a seed: a whole number from 0 to 2^53 − 1. */
  manualSeed(seed: number): this {
    this.seed = checkSeed(seed);
    this.counter = 0;
    return this;
  }

  /** The number of a new draw. */
  next(): number {
    return this.counter++;
  }

  /** The key of a new draw. */
  nextKey(): readonly [number, number] {
    return threefry2x32(this.seed | 0, Math.floor(this.seed / 2 ** 32) | 0, this.next() | 0, 0);
  }
}

function checkSeed(seed: number): number {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new OpError("manualSeed", `the seed is a whole number from 0 to 2^53 − 1; got ${seed}`);
  return seed;
}

/** Used where no generator is given. */
export const defaultGenerator = new Generator();

/** Starts the default generator again from a seed. */
export function manualSeed(seed: number): Generator {
  return defaultGenerator.manualSeed(seed);
}

/** A number n: whole numbers from 0 to n − 1. */
type Form = "bits" | "uniform" | number;
type RandomAttrs = { readonly shape: Shape; readonly word: number; readonly form: Form };

/** The operation that all random tensors are made by. */
export const randomOp = defineOp<RandomAttrs>({
  name: "random",
  doc: "threefry(key; linear index, word): all 32 bits, the upper 31 modulo a number, or the upper 24 as a float32 in [0, 1). Inputs: the two words of the key.",
  reference: "Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011)",
  infer: (_, { shape, form }) => ({ shape, dtype: form === "uniform" ? "float32" : "int32" }),
  lower: {
    kind: "gather",
    value: ({ pool, attrs: { shape, word, form }, input }, out) => {
      const step = strides(shape);
      const position = out.reduce((sum, at, i) => pool.add(sum, pool.mul(at, pool.int(step[i]))), pool.int(0));
      const bits = pool.call("threefry", [input(0, []), input(1, []), position, pool.int(word)]);
      if (form === "bits") return bits;
      if (form !== "uniform") return pool.call("mod", [pool.call("shr", [bits, pool.int(1)]), pool.int(form)]);
      return pool.mul(pool.cast(pool.call("shr", [bits, pool.int(8)]), "float32"), pool.const(2 ** -24, "float32"));
    },
  },
  grad: nonDifferentiable,
  samples: (["bits", 10, "uniform"] as const).map((form) => ({
    shapes: [[], []],
    dtypes: ["int32", "int32"],
    data: [[7], [-3]],
    attrs: { shape: [3, 5], word: 0, form },
  })),
  cost: 100,
});

export interface RandomOptions {
  /** Default: the default generator. */
  readonly generator?: Generator;
  readonly device?: Device;
}

function draw(
  op: string,
  shape: Shape,
  forms: readonly Form[],
  { generator = defaultGenerator, device = defaultDevice() }: RandomOptions,
): Tensor[] {
  checkShape(op, shape);
  if (!holdsWords(device)) return [...drawn(() => fill(generator, device, shape, forms))];
  const key = drawn(() => drawKey(generator, device));
  return forms.map((form, word) => apply(randomOp, key, { shape: [...shape], word, form }));
}

/** Where integers are floats there are no keys to compute with: the host makes the numbers, which are the same. */
const holdsWords = (device: Device): boolean => device.backend.limits.maxExactInteger === 2 ** 31 - 1;

/** The key of a new draw, as two rank-0 tensors. */
function drawKey(generator: Generator, device: Device): readonly Tensor[] {
  let key: readonly [number, number] = [0, 0];
  const first = hostScalar(
    () => {
      key = generator.nextKey();
      return key[0];
    },
    { dtype: "int32", device },
  );
  return [first, hostScalar(() => key[1], { dtype: "int32", device })];
}

/** What `randomOp` gives, from the host. */
function fill(generator: Generator, device: Device, shape: Shape, forms: readonly Form[]): readonly Tensor[] {
  let key: readonly [number, number] = [0, 0];
  return forms.map((form, word) => {
    const read = (): TypedArray => {
      if (word === 0) key = generator.nextKey();
      const bits = Int32Array.from({ length: numel(shape) }, (_, i) => threefry2x32(...key, i, word)[0]);
      if (form === "uniform") return Float32Array.from(bits, (bit) => (bit >>> 8) * 2 ** -24);
      return form === "bits" ? bits : bits.map((bit) => (bit >>> 1) % form);
    };
    return hostLeaf(read, shape, form === "uniform" ? "float32" : "int32", device);
  });
}

type FloatOptions = RandomOptions & { readonly dtype?: "float32" | "float64" };

/** Uniform in [0, 1), multiples of 2^-24. */
export function rand(shape: Shape, options: FloatOptions = {}): Tensor {
  const [uniform] = draw("rand", shape, ["uniform"], options);
  return cast(uniform, options.dtype ?? "float32");
}

/** Uniform in [low, high). */
export function uniform(
  shape: Shape,
  { low = 0, high = 1, ...options }: FloatOptions & { readonly low?: number; readonly high?: number } = {},
): Tensor {
  return add(mul(rand(shape, options), high - low), low);
}

/** Standard normal, by Box and Muller's transform: √(−2 ln(1 − u)) cos(2πv). */
export function randn(shape: Shape, options: FloatOptions = {}): Tensor {
  const [u, v] = draw("randn", shape, ["uniform", "uniform"], options);
  return cast(mul(sqrt(mul(log1p(neg(u)), -2)), cos(mul(v, 2 * Math.PI))), options.dtype ?? "float32");
}

/** Whole numbers in [low, high), int32. */
export function randint(low: number, high: number, shape: Shape, options: RandomOptions = {}): Tensor {
  if (!Number.isInteger(low) || !Number.isInteger(high) || high <= low || high - low > 2 ** 31 - 1) {
    throw new OpError("randint", `expected whole numbers low < high, no further apart than 2^31 − 1; got ${low} and ${high}`);
  }
  const [below] = draw("randint", shape, [high - low], options);
  return add(below, low);
}

/** 1 with the probability that each element of `p` names, else 0; shape and dtype of `p`. */
export function bernoulli(p: Tensor, { generator }: { readonly generator?: Generator } = {}): Tensor {
  const [uniform] = draw("bernoulli", p.shape, ["uniform"], { generator, device: p.device });
  return cast(lt(uniform, cast(p, "float32")), p.dtype);
}

/** Dtypes and shapes follow `x`. */
export function randLike(x: Tensor, options: RandomOptions = {}): Tensor {
  return rand(x.shape, { dtype: floatOf("randLike", x.dtype), device: x.device, ...options });
}

/** Standard normal values in the shape, dtype and device of `x`. Reference: torch.randn_like. */
export function randnLike(x: Tensor, options: RandomOptions = {}): Tensor {
  return randn(x.shape, { dtype: floatOf("randnLike", x.dtype), device: x.device, ...options });
}

function floatOf(op: string, dtype: DType): "float32" | "float64" {
  if (dtype === "float32" || dtype === "float64") return dtype;
  throw new OpError(op, `expected a tensor of dtype float32 or float64; got ${dtype}`);
}

/** A random order of 0 … n − 1, int32; drawn on the host when called, so it stays the same in replays of a compiled function. */
export function randperm(n: number, { generator = defaultGenerator, device = defaultDevice() }: RandomOptions = {}): Tensor {
  if (!Number.isInteger(n) || n < 0) throw new OpError("randperm", `expected a whole number ≥ 0; got ${n}`);
  return fromHost(hostPermutation(generator, n), [n], "int32", device);
}

/**
 * Fills `first` and `second` with both words of the hashes of the counters (0, word), (1, word), …: `threefry2x32` with its rounds written
 * out, as networks start from hundreds of millions of these.
 */
function fillBits([key0, key1]: readonly [number, number], word: number, first: Int32Array, second: Int32Array | null): void {
  const key2 = key0 ^ key1 ^ 0x1bd11bda;
  for (let i = 0; i < first.length; i++) {
    let x = (i + key0) | 0;
    let y = (word + key1) | 0;
    let [k0, k1, k2] = [key1, key2, key0];
    for (let step = 1; step <= 5; step++) {
      const odd = (step & 1) === 1;
      x = (x + y) | 0;
      y = (odd ? (y << 13) | (y >>> 19) : (y << 17) | (y >>> 15)) ^ x;
      x = (x + y) | 0;
      y = (odd ? (y << 15) | (y >>> 17) : (y << 29) | (y >>> 3)) ^ x;
      x = (x + y) | 0;
      y = (odd ? (y << 26) | (y >>> 6) : (y << 16) | (y >>> 16)) ^ x;
      x = (x + y) | 0;
      y = (odd ? (y << 6) | (y >>> 26) : (y << 24) | (y >>> 8)) ^ x;
      x = (x + k0) | 0;
      y = (y + k1 + step) | 0;
      [k0, k1, k2] = [k1, k2, k0];
    }
    first[i] = x;
    if (second !== null) second[i] = y;
  }
}

/** 32 random bits each, as int32. */
export function hostBits(generator: Generator, n: number, word = 0): Int32Array {
  const bits = new Int32Array(n);
  fillBits(generator.nextKey(), word, bits, null);
  return bits;
}

/** The same numbers as `rand([n])`. */
export function hostUniform(generator: Generator, n: number): Float32Array {
  const bits = hostBits(generator, n);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) out[i] = (bits[i] >>> 8) * 2 ** -24;
  return out;
}

/** The same numbers as `randn([n])`, to float32's rounding. */
export function hostNormal(generator: Generator, n: number): Float32Array {
  const key = generator.nextKey();
  const [u, v] = [new Int32Array(n), new Int32Array(n)];
  fillBits(key, 0, u, null);
  fillBits(key, 1, v, null);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++)
    out[i] = Math.sqrt(-2 * Math.log1p(-(u[i] >>> 8) * 2 ** -24)) * Math.cos(2 * Math.PI * 2 ** -24 * (v[i] >>> 8));
  return out;
}

/** Fisher and Yates's shuffle. */
export function hostPermutation(generator: Generator, n: number): Int32Array {
  const order = Int32Array.from({ length: n }, (_, i) => i);
  const bits = hostBits(generator, n);
  for (let i = n - 1; i > 0; i--) {
    const j = (bits[i] >>> 0) % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

export interface TruncNormalOptions {
  readonly mean?: number;
  readonly std?: number;
  /** Values outside [a, b] are drawn again. Default −2 and 2, as they are, not in standard deviations. */
  readonly a?: number;
  readonly b?: number;
}

/** Normal numbers within bounds, by rejection (`torch.nn.init.trunc_normal_` has the same distribution). */
export function truncNormal(generator: Generator, n: number, { mean = 0, std = 1, a = -2, b = 2 }: TruncNormalOptions = {}): Float32Array {
  const [low, high] = [(a - mean) / std, (b - mean) / std];
  if (!(low < high) || low > 4 || high < -4 || !(std > 0)) {
    throw new OpError("truncNormal", `[${a}, ${b}] holds next to nothing of a normal distribution with mean ${mean} and deviation ${std}`);
  }
  const out = new Float32Array(n);
  for (let at = 0; at < n; ) {
    const pairs = Math.ceil((n - at) / 2);
    const [u, v] = [new Int32Array(pairs), new Int32Array(pairs)];
    fillBits(generator.nextKey(), 0, u, v); // both words of a hash, and both of Box and Muller's numbers
    for (let i = 0; i < pairs; i++) {
      const radius = Math.sqrt(-2 * Math.log1p(-(u[i] >>> 8) * 2 ** -24));
      const angle = 2 * Math.PI * 2 ** -24 * (v[i] >>> 8);
      const [first, second] = [radius * Math.cos(angle), radius * Math.sin(angle)];
      if (first >= low && first <= high) out[at++] = mean + std * first;
      if (second >= low && second <= high && at < n) out[at++] = mean + std * second;
    }
  }
  return out;
}

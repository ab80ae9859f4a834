/** Random kernels: whatever the IR allows in small, on the backend and on the interpreter. */
import type { DType } from "../engine/dtype.js";
import type { Axis, Combine, Expr, Kernel, LoopKernel, ScalarFn } from "../engine/kernel/ir.js";
import { printKernel } from "../engine/kernel/print.js";
import type { Backend } from "./backend.js";
import { Builder, type Case, expectAgreement, random, randomData, type Tolerance } from "./conformance-kit.js";

/** Decides at random, the same for the same seed. */
class Dice {
  private readonly next: () => number;

  constructor(seed: number) {
    this.next = random(seed);
  }

  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

/** Functions that are exact or nearly so everywhere, and keep values from exploding. */
const floatUnary: readonly ScalarFn[] = ["neg", "abs", "tanh", "erf", "sin", "sqrt"];
const floatBinary: readonly ScalarFn[] = ["add", "sub", "mul", "min", "max"];
const intBinary: readonly ScalarFn[] = ["add", "sub", "mul", "min", "max", "bitAnd", "bitXor", "idiv", "mod"];

export class KernelMaker {
  private readonly dice: Dice;
  private readonly b = new Builder();
  private readonly results: { readonly e: Expr; readonly axes: readonly Axis[] }[] = [];
  private names = 0;

  constructor(
    seed: number,
    /** Upper bound of an axis's size; larger ones reach a backend's tiles. */
    private readonly largest: number,
    /** Whether conditions, guards and places may depend on what earlier stages found, as in an argmax and its gradient. */
    private readonly onResults = false,
  ) {
    this.dice = new Dice(seed);
  }

  private newAxis(size = this.dice.between(1, this.largest)): Axis {
    return this.b.axis(this.dice.pick(["h", "w", "n", "c", "k"]) + "abcdefgh"[this.names++ % 8], size);
  }

  make(): LoopKernel {
    const { dice, b } = this;
    const parallel = Array.from({ length: dice.below(4) }, () => this.newAxis());
    let shared: readonly Axis[] = [];
    for (let stage = dice.below(4); stage > 0; stage--) {
      if (shared.length === 0 || dice.chance(0.4)) shared = Array.from({ length: dice.between(1, 2) }, () => this.newAxis());
      const dtype = dice.pick<DType>(["float32", "float32", "float32", "int32"]);
      const combine = dice.pick<Combine>(["add", "add", "add", "max", "min"]);
      const axes = [...parallel, ...shared];
      const body = dice.chance(0.5) && combine === "add" ? this.product(axes, dtype) : this.value(dtype, axes, 3);
      this.results.push({ e: b.reduce(shared, combine, body), axes: [] });
    }
    let inner: readonly Axis[] = [];
    for (let store = dice.between(1, 3); store > 0; store--) {
      if (dice.chance(0.3)) inner = dice.chance(0.5) ? [] : [this.newAxis()];
      const axes = [...parallel, ...inner];
      const dtype = dice.pick<DType>(["float32", "float32", "int32", "bool"]);
      b.write(axes, this.value(dtype, axes, 4), inner);
    }
    return b.kernel("fuzz", parallel);
  }

  /** What contractions and windows look like. */
  private product(axes: readonly Axis[], dtype: DType): Expr {
    const factor = (): Expr => (this.dice.chance(0.5) ? this.window(dtype, axes) : this.load(dtype, axes));
    return this.b.pool.mul(factor(), this.dice.chance(0.2) ? this.value(dtype, axes, 1) : factor());
  }

  /** An image of two dimensions seen through taps: places ± taps − padding, some with a stride. */
  private window(dtype: DType, axes: readonly Axis[]): Expr {
    const { dice, b } = this;
    const { pool } = b;
    let guard: Expr = pool.bool(true);
    const shape = [dice.between(1, this.largest), dice.between(1, this.largest)];
    const indices = shape.map((size) => {
      if (axes.length === 0) return pool.int(0);
      const [place, tap] = [pool.axis(dice.pick(axes)), pool.axis(dice.pick(axes))];
      const shifted = pool.sub(
        pool.add(pool.mul(place, pool.int(dice.pick([1, 1, 1, 2]))), pool.mul(tap, pool.int(dice.pick([1, 1, -1, -1, 2])))),
        pool.int(dice.between(-2, 3)),
      );
      const stride = dice.pick([1, 1, 1, 2, 3]);
      const at = pool.idiv(shifted, pool.int(stride));
      guard = pool.and(guard, b.within(at, size), pool.eq(pool.mod(shifted, pool.int(stride)), pool.int(0)));
      return at;
    });
    return b.read(dtype, indices, shape, guard.op === "const" && guard.value === 1 ? null : guard);
  }

  private value(dtype: DType, axes: readonly Axis[], depth: number): Expr {
    const { dice, b } = this;
    const { pool } = b;
    const known = this.results.filter(({ e }) => e.dtype === dtype);
    if (known.length > 0 && dice.chance(0.3)) return dice.pick(known).e;
    if (depth === 0 || dice.chance(0.15)) return this.leaf(dtype, axes);
    const part = (type: DType = dtype): Expr => this.value(type, axes, depth - 1);
    if (dice.chance(0.15)) return pool.where(this.condition(axes, depth - 1), part(), part());
    if (dtype === "bool") return this.condition(axes, depth);
    if (dtype === "int32") return this.integer(part);
    if (dice.chance(0.1)) return pool.cast(part("int32"), dtype);
    if (dice.chance(0.3)) return this.unary(part());
    const shared = part();
    const result = pool.call(dice.pick(floatBinary), [shared, dice.chance(0.2) ? shared : part()]);
    return result;
  }

  /** Divisors never 0 or −1 by chance: those have cases of their own. */
  private integer(part: () => Expr): Expr {
    const { pool } = this.b;
    const fn = this.dice.pick(intBinary);
    if (fn === "idiv" || fn === "mod") return pool.call(fn, [part(), pool.int(this.dice.between(1, 9))]);
    return pool.call(fn, [part(), part()]);
  }

  private unary(e: Expr): Expr {
    const { pool } = this.b;
    const fn = this.dice.pick(floatUnary);
    // Small arguments, where every device's sine is good.
    if (fn === "sin") return pool.call("sin", [pool.call("tanh", [e])]);
    return pool.call(fn, [fn === "sqrt" ? pool.abs(e) : e]);
  }

  private leaf(dtype: DType, axes: readonly Axis[]): Expr {
    const { dice, b } = this;
    if (this.onResults && dtype !== "bool" && dice.chance(0.3)) return this.found(dtype, axes);
    if (dtype === "int32" && dice.chance(0.4)) return this.place(axes);
    if (dice.chance(0.2)) return b.pool.const(dtype === "bool" ? dice.below(2) : dice.between(-3, 3), dtype);
    return this.load(dtype, axes);
  }

  /** Some of the axes with small factors. */
  private place(axes: readonly Axis[]): Expr {
    const { dice, b } = this;
    const { pool } = b;
    return axes
      .filter(() => dice.chance(0.7))
      .reduce<Expr>(
        (sum, axis) => pool.add(sum, pool.mul(pool.axis(axis), pool.int(dice.pick([1, 1, 1, -1, 2, 3])))),
        pool.int(dice.between(-3, 3)),
      );
  }

  /** An array of up to three dimensions, indexed by axes plainly or through windows that a guard keeps inside. */
  private load(dtype: DType, axes: readonly Axis[]): Expr {
    const { dice, b } = this;
    const { pool } = b;
    const indices: Expr[] = [];
    const shape: number[] = [];
    let guard: Expr = pool.bool(true);
    for (const axis of axes.filter(() => dice.chance(0.6)).slice(0, 3)) {
      if (dice.chance(0.65)) {
        indices.push(pool.axis(axis));
        shape.push(Math.max(1, axis.size));
      } else {
        const at = dice.chance(0.7)
          ? pool.add(pool.axis(axis), this.place(axes))
          : pool.idiv(this.place(axes), pool.int(dice.between(2, 3)));
        const size = dice.between(1, this.largest);
        indices.push(at);
        shape.push(size);
        guard = pool.and(guard, b.within(at, size));
        if (dice.chance(0.15)) guard = pool.and(guard, pool.eq(pool.mod(at, pool.int(2)), pool.int(0)));
      }
    }
    if (dice.chance(0.5)) {
      indices.reverse();
      shape.reverse();
    }
    return b.read(dtype, indices, shape, guard.op === "const" && guard.value === 1 ? null : guard);
  }

  /** An element at a place that a stage found, or at one of the axes, where what it found allows that. */
  private found(dtype: DType, axes: readonly Axis[]): Expr {
    const { dice, b } = this;
    const known = this.results.filter(({ e }) => e.dtype === "int32");
    if (known.length === 0) return this.load(dtype, axes);
    const { e } = dice.pick(known);
    const size = dice.between(1, this.largest);
    const isPlace = dice.chance(0.5);
    const place = isPlace ? e : this.place(axes);
    const allowed = b.pool.and(
      b.pool.ge(e, b.pool.int(dice.between(-2, 2))),
      dice.chance(0.5) ? this.condition(axes, 0) : b.pool.bool(true),
    );
    const value = b.read(dtype, [place], [size], b.pool.and(b.within(place, size), allowed));
    return dice.chance(0.5) ? value : b.pool.where(allowed, value, b.pool.const(0, dtype));
  }

  /** Of integers: on floats a rounding error could tip a comparison. */
  private condition(axes: readonly Axis[], depth: number): Expr {
    const { dice, b } = this;
    const { pool } = b;
    if (depth > 0 && dice.chance(0.3)) {
      const [x, y] = [this.condition(axes, depth - 1), this.condition(axes, depth - 1)];
      return dice.pick([() => pool.and(x, y), () => pool.or(x, y), () => pool.not(x), () => pool.xor(x, y)])();
    }
    if (dice.chance(0.2)) return this.load("bool", axes);
    const fn = dice.pick<ScalarFn>(["lt", "le", "gt", "ge", "eq", "ne"]);
    if (this.onResults && dice.chance(0.4)) {
      const known = this.results.filter(({ e }) => e.dtype === "int32");
      if (known.length > 0) return b.pool.call(fn, [dice.pick(known).e, this.place(axes)]);
    }
    return pool.call(fn, [this.place(axes), dice.chance(0.7) ? this.place(axes) : this.load("int32", axes)]);
  }
}

/** float32 devices round every step; sums of a few hundred terms around 1. */
const tolerance: Tolerance = { relative: 1e-4, absolute: 1e-3 };

/** @throws with the seed and the printed kernel where the backend and the interpreter disagree. */
export async function checkRandomKernel(
  backend: Backend,
  seed: number,
  largest: number,
  { allowed = tolerance, onResults = false }: { readonly allowed?: Tolerance; readonly onResults?: boolean } = {},
): Promise<void> {
  const kernel: Kernel = new KernelMaker(seed, largest, onResults).make();
  if (kernel.buffers.length > backend.limits.maxBuffersPerKernel || kernel.stores.length > backend.limits.maxOutputs) return;
  try {
    await expectAgreement(backend, kernel, randomData(kernel, seed), allowed);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`seed ${seed}, largest ${largest}, on results ${onResults}: ${message}\n${printKernel(kernel)}`, { cause });
  }
}

/** Fixed seeds, so that every backend sees the same kernels. */
export const fuzzCases: readonly Case[] = Array.from(
  { length: 10 },
  (_, group): Case => ({
    name: `fuzz ${group}`,
    run: async (backend) => {
      for (let i = 0; i < 12; i++) await checkRandomKernel(backend, 1000 * group + i, i < 10 ? 5 : 9);
    },
  }),
);

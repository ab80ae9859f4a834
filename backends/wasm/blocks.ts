/**
 * Kernels in blocks: what is done for one block is a list of functions that hand values on through a small array of the step's own, which
 * stays in the caches. A step is a fixed run of blocks.
 */
import type { Axis, Expr } from "../../engine/kernel/ir.js";
import type { ExprPool } from "../../engine/kernel/simplify.js";
import { type Code, call, get, i32, int, Locals, type ModuleWriter, repeat, set, type ValueType, when } from "./binary.js";

/** At most this many steps: enough to share among threads, while there is an array for each. */
const mostSteps = 64;

/** Blocks 0 to count - 1, in steps. */
export class Blocks {
  readonly steps: number;
  private readonly perStep: number;
  readonly step: Axis;
  private readonly within: Axis;

  constructor(
    private readonly pool: ExprPool,
    readonly count: number,
  ) {
    this.perStep = Math.ceil(count / Math.min(count, mostSteps));
    this.steps = Math.ceil(count / this.perStep);
    this.step = pool.newAxis("step", this.steps);
    this.within = pool.newAxis("within", this.perStep);
  }

  /** The number of the block; bounded by the count. */
  get number(): Expr {
    const { pool } = this;
    const number = pool.add(pool.mul(pool.axis(this.step), pool.int(this.perStep)), pool.axis(this.within));
    return this.steps * this.perStep === this.count ? number : pool.min(number, pool.int(this.count - 1));
  }

  /** What the functions for one block take: the addresses, then the values of these. */
  get axes(): readonly [Axis, Axis] {
    return [this.step, this.within];
  }

  /** A function of addresses and a range of steps, which calls the given ones, of addresses, step and block within it, in turn. */
  run(module: ModuleWriter, addresses: number, functions: readonly number[]): number {
    const parameters = new Array<ValueType>(addresses + 2).fill(i32);
    const locals = new Locals(parameters.length);
    const within = locals.add(i32);
    const [first, end] = [addresses, addresses + 1];
    const all = Array.from({ length: addresses }, (_, i) => get(i));
    const calls: Code = functions.map((fn) => call(fn, ...all, get(first), get(within)));
    const block = int.add(int.mul(get(first), int.const(this.perStep)), get(within));
    const exact = this.steps * this.perStep === this.count;
    const next = (local: number): Code => set(local, int.add(get(local), int.const(1)));
    const inner = repeat(
      [exact ? calls : when(int.lt(block, int.const(this.count)), calls), next(within)],
      int.lt(get(within), int.const(this.perStep)),
    );
    const outer = repeat([set(within, int.const(0)), inner, next(first)], int.lt(get(first), get(end)));
    return module.addFunction(parameters, [], locals, outer);
  }
}

/** The values of the axes at a position in row-major order. */
export function pointOf(pool: ExprPool, axes: readonly Axis[], at: Expr): ReadonlyMap<Axis, Expr> {
  const point = new Map<Axis, Expr>();
  let rest = at;
  for (let i = axes.length - 1; i >= 0; i--) {
    const size = pool.int(axes[i].size);
    point.set(axes[i], i === 0 ? rest : pool.mod(rest, size));
    rest = pool.idiv(rest, size);
  }
  return point;
}

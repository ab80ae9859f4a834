/**
 * Expressions to instructions: each becomes a local, once, in the outermost block where all that it depends on is known. What depends
 * on a *lane axis* (four neighbouring points of a loop) is a vector, everything else a scalar.
 */
import { InternalError } from "../../engine/errors.js";
import { conjuncts, sumOf } from "../../engine/kernel/affine.js";
import type { Axis, BufferSpec, CallExpr, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { nodesOf, stagesOf } from "../loops/walk.js";
import { type Code, get, i32, int, ints, type Locals, select, v128, vector } from "./binary.js";
import type { Library, Scope } from "./math.js";
import { constant, isExpensive, laneOf, scalarCall, splat, typeOf, vectorCall, vectorConstant, withLane } from "./scalar.js";
import type { Block } from "./scopes.js";
import { StageWriter } from "./stages.js";

/** Functions written in place in one function of a module. */
const maxInlined = 16;

const isConjunction = (e: Expr): boolean => e.op === "call" && e.fn === "and" && e.args[0].dtype === "bool";
const isSum = (e: Expr): boolean =>
  e.op === "call" &&
  e.dtype === "int32" &&
  (e.fn === "add" || e.fn === "sub" || e.fn === "neg" || (e.fn === "mul" && e.args[1].op === "const"));

export class Writer extends StageWriter {
  constructor(
    pool: ExprPool,
    buffers: readonly BufferSpec[],
    weakened: ReadonlySet<LoadExpr>,
    lanes: ReadonlySet<Axis>,
    locals: Locals,
    private readonly library: Library,
    quads: readonly (readonly LoadExpr[])[],
  ) {
    super(pool, buffers, weakened, lanes, locals, quads);
  }

  isVector(e: Expr): boolean {
    for (const axis of axesOf(e)) if (this.lanes.has(axis)) return true;
    for (const stage of stagesOf(e)) if (this.results.get(stage)?.kind === "vector") return true;
    return false;
  }

  protected madd(a: Code, b: Code, c: Code): Code {
    return this.library.madd(a, b, c);
  }

  /** The value of `e`: a vector where it depends on a lane axis, else a scalar. */
  value(e: Expr): Code {
    if (e.op === "const") return constant(e.value, e.dtype);
    if (e.op === "axis") {
      if (!this.lanes.has(e.axis)) {
        this.counted.add(e.axis);
        return get(this.axisLocals.get(e.axis) as number);
      }
      return this.remembered("lanes", this.root(), v128, () => vector.ints([0, 1, 2, 3]));
    }
    if (e.op === "acc") return this.result(e.stage);
    const type = this.isVector(e) ? v128 : typeOf(e.dtype);
    return this.remembered(e, this.home(e), type, () => this.print(e));
  }

  /** The value of `e` in four lanes. */
  vector(e: Expr): Code {
    if (this.isVector(e)) return this.value(e);
    if (e.op === "const") {
      const key = `const ${e.dtype} ${Object.is(e.value, -0) ? "-0" : e.value}`;
      return this.remembered(key, this.root(), v128, () => vectorConstant(e.value, e.dtype));
    }
    return this.remembered(`splat ${e.id}`, this.home(e), v128, () => {
      if (e.op === "load" && e.dtype === "float32" && e.guard === null && !this.lookUp(e)) {
        const { code, offset } = this.address(e.buffer, e.index);
        return vector.loadSplat(code, offset);
      }
      return splat(this.value(e), e.dtype);
    });
  }

  /** The value under a local that later writes do not change. */
  hold(e: Expr, guard: Expr | null): Code {
    if (guard === null || this.isVector(guard)) return this.value(e);
    const type = this.isVector(e) ? v128 : typeOf(e.dtype);
    const zero = type === v128 ? vectorConstant(0, e.dtype) : constant(0, e.dtype);
    return this.branches(
      this.value(guard),
      type,
      () => this.value(e),
      () => zero,
    );
  }

  private print(e: Expr): Code {
    if (e.op === "load") return this.load(e);
    if (e.op !== "call") throw new InternalError(`wasm cannot compile a ${e.op}`);
    if (isSum(e)) return this.isVector(e) ? this.vectorSum(e) : this.sum(sumOf(e).constant, sumOf(e).terms);
    if (isConjunction(e)) return this.conjunction(e);
    if (e.fn === "where" && !this.isVector(e.args[0])) return this.choose(e);
    if (!this.isVector(e)) {
      return scalarCall(
        e,
        e.args.map((arg) => this.value(arg)),
        this.keep,
        this.library,
      );
    }
    const args = e.args.map((arg) => this.vector(arg));
    return vectorCall(e, args, this.library, this.scope) ?? this.eachLane(e, args);
  }

  private inlinedCalls = 0;

  /** For a function written in place; null where there are many of them already. */
  private readonly scope = (args: readonly Code[]): Scope | null => {
    if (this.inlinedCalls++ >= maxInlined) return null;
    return {
      args,
      keep: (value, type = v128) => this.keep(value, type),
      floats: (value) => this.shared(value, "float32"),
      ints: (value) => this.shared(value, "int32"),
    };
  };

  /** A constant before the loop that uses it, if that has no loops inside, whose registers it would take. */
  private shared(value: number, dtype: "float32" | "int32"): Code {
    let loop: Block | null = this.block;
    while (loop !== null && !loop.isLoop) loop = loop.parent;
    let home = loop === null || loop.holdsLoop ? this.block : (loop.parent as Block);
    while (home.isStrip) home = home.parent as Block;
    const code = dtype === "float32" ? this.library.constants.floats(value) : this.library.constants.ints(value);
    return this.remembered(`table ${dtype} ${Object.is(value, -0) ? "-0" : value}`, home, v128, () => code);
  }

  private eachLane(e: CallExpr, args: readonly Code[]): Code {
    let result = vectorConstant(0, e.dtype);
    for (let lane = 0; lane < 4; lane++) {
      const scalars = args.map((arg, i) => laneOf(arg, lane, e.args[i].dtype));
      result = this.keep(withLane(result, scalarCall(e, scalars, this.keep, this.library), lane, e.dtype), v128);
    }
    return result;
  }

  /** `where` on a condition that is the same for all lanes. */
  private choose(e: CallExpr): Code {
    const [condition, a, b] = e.args;
    const wide = this.isVector(e);
    const evaluate = (part: Expr) => (): Code => (wide ? this.vector(part) : this.value(part));
    const cheap = (part: Expr): boolean => {
      const nodes = nodesOf([part]);
      return nodes.size <= 12 && ![...nodes].some((node) => node.op === "call" && isExpensive(node.fn)) && this.isHarmless(part);
    };
    const test = this.value(condition);
    if (cheap(a) && cheap(b)) return select(evaluate(a)(), evaluate(b)(), test);
    return this.branches(test, wide ? v128 : typeOf(e.dtype), evaluate(a), evaluate(b));
  }

  private vectorSum(e: Expr): Code {
    const { constant: fixed, terms } = sumOf(e);
    const plain = terms.filter(({ factor }) => !this.isVector(factor));
    let code: Code | null = null;
    for (const { coefficient, factor } of terms) {
      if (!this.isVector(factor)) continue;
      const value = this.value(factor);
      const part = coefficient === 1 ? value : ints.mul(value, vectorConstant(coefficient, "int32"));
      code = code === null ? part : ints.add(code, part);
    }
    if (plain.length === 0) return fixed === 0 ? (code as Code) : ints.add(code as Code, vectorConstant(fixed, "int32"));
    return ints.add(code as Code, ints.splat(this.sum(fixed, plain)));
  }

  private conjunction(e: Expr): Code {
    const wide = this.isVector(e);
    const parts = conjuncts(e);
    const both = (a: Code | null, b: Code): Code => (a === null ? b : wide ? vector.and(a, b) : int.and(a, b));
    let code: Code | null = null;
    let key = `and ${wide}`;
    for (const [home, group] of this.byHome(parts, (part) => part)) {
      key += group.map((part) => ` ${part.id}`).join("");
      const outer = code;
      code = this.remembered(
        key,
        home,
        wide ? v128 : i32,
        () => group.reduce<Code | null>((sum, part) => both(sum, wide ? this.vector(part) : this.value(part)), outer) as Code,
      );
    }
    return code as Code;
  }
}

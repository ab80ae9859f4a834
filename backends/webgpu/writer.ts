/** Expressions to WGSL. */
import type { DType } from "../../engine/dtype.js";
import type { Term } from "../../engine/kernel/affine.js";
import type { Axis, BufferSpec, CallExpr, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { Block, TextWriter } from "../loops/text-writer.js";
import { nodesOf } from "../loops/walk.js";
import { atom, binary, isExpensive, literal, prefix, printCall, stored, type Text, typeOf } from "./scalar.js";

/** What would hide a type. */
const typeNames: ReadonlySet<string> = new Set(["i32", "u32", "f32", "f16"]);

export class Writer extends TextWriter<Text> {
  /** Helpers of the library that the text calls. */
  readonly helpers = new Set<string>();
  /** Extensions of WGSL that the text uses. */
  readonly extensions = new Set<string>();
  private readonly axisNames = new Map<Axis, string>();
  private readonly taken = new Map<string, number>();
  private readonly specials = new Map<number, string>();

  constructor(
    private readonly buffers: readonly BufferSpec[],
    weakened: ReadonlySet<LoadExpr> = new Set(),
  ) {
    super(buffers, weakened, /^\w[\w.]*$/);
  }

  readonly use = (helper: string): void => {
    this.helpers.add(helper);
  };

  name(prefix: string): string {
    const count = this.taken.get(prefix) ?? 0;
    this.taken.set(prefix, count + 1);
    const name = `${prefix}${count}`;
    return typeNames.has(name) ? this.name(prefix) : name;
  }

  override finish(): string {
    // A value that the compiler knew to be NaN or infinite would be an error.
    const specials = [...this.specials].map(([bits, name]) => `let ${name}Bits = ${hex(bits)};\nlet ${name} = bitcast<f32>(${name}Bits);`);
    return [...specials, super.finish()].join("\n");
  }

  /** Declares a parallel axis, known everywhere. */
  defineAxis(axis: Axis, code: string): void {
    this.line(`let ${this.axisName(axis)} = ${code};`);
    this.axisBlocks.set(axis, this.block);
  }

  /** Declares an axis outside of all loops. */
  defineRootAxis(axis: Axis, code: string): void {
    this.inside(this.root(), () => this.defineAxis(axis, code));
  }

  /** Opens `for (…) {` over an axis. */
  openLoop(axis: Axis, lower: Text, upper: Text, step: number, mayBeEmpty: boolean): void {
    const name = this.axisName(axis);
    const end = this.isName.test(upper.code) ? upper.code : this.name("end");
    if (end !== upper.code) this.line(`let ${end} = ${upper.code};`);
    const advance = step === 1 ? `${name}++` : `${name} += ${step}`;
    this.open(`for (var ${name} = ${lower.code}; ${name} < ${end}; ${advance}) {`, true, mayBeEmpty);
    this.axisBlocks.set(axis, this.block);
  }

  /** Made up, as many a plain word is reserved in WGSL; the axis's own name is kept for the reader. */
  axisName(axis: Axis): string {
    let name = this.axisNames.get(axis);
    if (name === undefined) {
      name = this.name(`${axis.name.replace(/\W/g, "")}_`);
      if (!/^[A-Za-z]/.test(name)) name = this.name("x_");
      this.axisNames.set(axis, name);
    }
    return name;
  }

  literal(value: number, dtype: DType): Text {
    return literal(value, dtype, (bits) => {
      let name = this.specials.get(bits);
      if (name === undefined) {
        name = `special${this.specials.size}`;
        this.specials.set(bits, name);
      }
      return name;
    });
  }

  protected read(name: string): Text {
    return atom(name);
  }

  protected constant(text: Text, _: DType, prefix: string): Text {
    const name = this.name(prefix);
    this.line(`let ${name} = ${text.code};`);
    return atom(name);
  }

  protected isExpensive(e: Expr): boolean {
    return isExpensive(e);
  }

  protected expression(e: LoadExpr | CallExpr): Text {
    if (e.op === "load") return e.guard === null ? this.element(e) : this.choose(e.guard, e.dtype, e, null);
    const { fn, args, dtype } = e;
    if (fn === "where") return this.choose(args[0], dtype, args[1], args[2]);
    return printCall(
      e,
      args.map((arg) => this.value(arg)),
      this.use,
    );
  }

  protected guarded(e: Expr, guard: Expr): Text {
    return this.choose(guard, e.dtype, e, null);
  }

  private element(e: LoadExpr): Text {
    const code = atom(`b${e.buffer}[${this.value(e.index).code}]`);
    return e.dtype === "bool" ? binary(code, "!=", atom("0u")) : code;
  }

  /** The statement that stores a value. */
  assign(buffer: number, index: Expr, value: Text): void {
    this.line(`b${buffer}[${this.value(index).code}] = ${stored(value, this.buffers[buffer].dtype).code};`);
  }

  /** A choice: by `select`, which evaluates both sides, where that is cheap and can do no harm; else by a branch. A null is zero. */
  private choose(condition: Expr, dtype: DType, a: Expr, b: Expr | null): Text {
    const test = this.value(condition);
    const first = (): Text => (a.op === "load" && a.guard === condition ? this.element(a) : this.value(a));
    const second = (): Text => (b === null ? this.literal(0, dtype) : this.value(b));
    if (this.isCheap(a, condition) && (b === null || this.isCheap(b, null))) {
      const [x, y] = [first(), second()];
      return atom(`select(${y.code}, ${x.code}, ${test.code})`);
    }
    const name = this.name("t");
    // Both sides are written before either is put in its place: what they hoist comes first.
    const assigned = (value: () => Text): readonly string[] => {
      const block = new Block(this.block, false, true);
      const text = this.inside(block, value);
      return [...block.lines, `${name} = ${text.code};`].map((line) => `  ${line}`);
    };
    const [then, otherwise] = [assigned(first), b === null ? [] : assigned(second)];
    // Said for loops, where Dawn's compiler does not begin each round with zero.
    this.line(`var ${name}: ${typeOf(dtype)}${b === null ? ` = ${this.literal(0, dtype).code}` : ""};`);
    this.line(`if (${test.code}) {`);
    for (const line of then) this.line(line);
    if (b !== null) {
      this.line("} else {");
      for (const line of otherwise) this.line(line);
    }
    this.line("}");
    return atom(name);
  }

  /** Whether both sides of a choice may be evaluated. A load may be out of bounds: WGSL then gives some element, which is not chosen. */
  private isCheap(e: Expr, guard: Expr | null): boolean {
    // Its index is computed in either case, or on the way to a neighbour's.
    if (e.op === "load") return (e.guard === null || e.guard === guard) && this.isPlain(e.index);
    let count = 0;
    for (const node of nodesOf([e])) {
      if (isExpensive(node) && this.lookUp(node) === undefined) return false;
      if (node.op === "load") return false;
      if (++count > 12) return false;
    }
    return true;
  }

  /** Whether an index is computed from coordinates alone. */
  private isPlain(index: Expr): boolean {
    for (const node of nodesOf([index])) if (node.op === "load" || (isExpensive(node) && this.lookUp(node) === undefined)) return false;
    return true;
  }

  protected addTerm(sum: Text | null, { coefficient }: Term, text: Text): Text {
    // The smallest int32 has no positive counterpart.
    const negative = coefficient < 0 && coefficient !== -(2 ** 31);
    const size = negative ? -coefficient : coefficient;
    const part = size === 1 ? text : binary(text, "*", this.literal(size, "int32"));
    if (sum === null) return negative ? prefix("-", part) : part;
    return binary(sum, negative ? "-" : "+", part);
  }

  protected addConstant(sum: Text, constant: number): Text {
    return binary(sum, "+", this.literal(constant, "int32"));
  }

  protected and(parts: readonly Text[]): Text {
    return parts.reduce((all, part) => binary(all, "&&", part));
  }
}

const hex = (bits: number): string => `0x${bits.toString(16).padStart(8, "0")}u`;

/** Names in printed code: an axis keeps its own where it can, everything else is a letter and a number. */
import type { Axis } from "../../engine/kernel/ir.js";

const words =
  "break case catch class const continue debugger default delete do else enum eval export extends false finally for function if implements " +
  "import in instanceof interface let new null package private protected public return static super switch this throw true try typeof var " +
  "void while with yield await arguments undefined Infinity NaN Math Number input output transform";

/** JavaScript's own words, and those of the text around an expression. */
export const javaScriptWords: readonly string[] = words.split(" ");

/** What {@link Names.fresh} makes up, and the functions of a kernel in parts. */
const madeUp = /^([a-z]|part)\d+$/;

export class Names {
  private readonly counts = new Map<string, number>();
  private readonly axes = new Map<Axis, string>();

  /** `reserved`: what an axis must not be called. */
  constructor(private readonly reserved: ReadonlySet<string>) {}

  /** A new name that begins with `prefix`. */
  fresh(prefix: string): string {
    const count = this.counts.get(prefix) ?? 0;
    this.counts.set(prefix, count + 1);
    return `${prefix}${count}`;
  }

  axis(axis: Axis): string {
    let name = this.axes.get(axis);
    if (name === undefined) {
      const plain = axis.name.replace(/\W/g, "_");
      const usable = /^[A-Za-z_]/.test(plain) && !madeUp.test(plain) && !this.reserved.has(plain);
      name = usable && !this.counts.has(plain) ? plain : this.fresh(usable ? `${plain}_` : "x");
      this.counts.set(plain, this.counts.get(plain) ?? 0);
      this.axes.set(axis, name);
    }
    return name;
  }
}

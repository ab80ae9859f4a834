/** Transforms of four lines at once, one a lane: Fourier transforms by Stockham's passes of small radices, and running sums. */
import type { Template } from "../../engine/kernel/ir.js";
import { factors, rootsOfUnity } from "../loops/fft.js";
import { lineLengths } from "../loops/lines.js";
import { type Code, doubles, floats, get, i32, int, ints, Locals, repeat, set, v128, vector } from "./binary.js";
import type { Library } from "./math.js";

const bytes = 16;
/** Beyond this a radix costs too much to be written out. */
const largestRadix = 31;
/** Multiplications in a written-out transform. */
const mostTerms = 6000;
const longestScan = 2 ** 16;

/** A vector; null is zero. */
type Value = Code | null;
interface Complex {
  readonly re: Value;
  readonly im: Value;
}

/** Elements of each lane that a line takes: those read, those written, and those in between. */
export interface LineSpace {
  readonly input: number;
  readonly output: number;
  readonly work: number;
}

const radicesOf = (n: number): readonly number[] => (n === 1 ? [1] : factors(n));

/** Null where the transform is left to JavaScript: very long lines, and lengths with large prime factors. */
export function lineSpace(template: Template): LineSpace | null {
  const [input, output] = lineLengths(template);
  if (template.name === "scan") return template.length <= longestScan ? { input, output, work: 0 } : null;
  const radices = radicesOf(template.n);
  let terms = template.name === "fft" ? 0 : template.n * radices[0];
  let done = 1;
  for (const radix of radices) {
    terms += done * radix * radix;
    done *= radix;
  }
  if (Math.max(...radices) > largestRadix || terms > mostTerms) return null;
  return { input, output, work: radices.length === 1 ? 0 : radices.length === 2 ? 2 * template.n : 4 * template.n };
}

/** The body of a function that transforms the line at `at`: input, output and work one after the other. */
export function writeTransform(template: Template, space: LineSpace, at: Code, parameters: number, library: Library, isInt: boolean) {
  const locals = new Locals(parameters);
  const writer = new TransformWriter(library, locals, at, space);
  if (template.name === "scan") writer.scan(template.length, template.reverse, isInt);
  else writer.fourier(template);
  return { locals, code: writer.code };
}

class TransformWriter {
  readonly code: Code[] = [];
  private readonly start: number;

  constructor(
    private readonly library: Library,
    private readonly locals: Locals,
    at: Code,
    private readonly space: LineSpace,
  ) {
    this.start = this.local(at);
  }

  private local(value: Code): number {
    const local = this.locals.add(i32);
    this.code.push(set(local, value));
    return local;
  }

  private keep(value: Code, into: Code[] = this.code): Code {
    const local = this.locals.add(v128);
    into.push(set(local, value));
    return get(local);
  }

  /** In double precision, in order. */
  scan(length: number, reverse: boolean, isInt: boolean): void {
    const step = reverse ? -bytes : bytes;
    const from = this.local(int.add(get(this.start), int.const(reverse ? (length - 1) * bytes : 0)));
    const end = this.local(int.add(get(from), int.const(length * step)));
    const sums = [this.locals.add(v128), this.locals.add(v128)];
    for (const sum of sums) this.code.push(set(sum, vector.ints([0, 0, 0, 0])));
    const [low, high] = sums;
    const body: Code[] = [];
    const x = this.keep(vector.load(get(from), 0), body);
    const out = this.space.input * bytes;
    if (isInt) {
      body.push(set(low, ints.add(get(low), x)), vector.store(get(from), get(low), out));
    } else {
      body.push(set(low, doubles.add(get(low), doubles.fromFloats(x))));
      body.push(set(high, doubles.add(get(high), doubles.fromFloats(vector.shuffle(x, x, [2, 3, 2, 3])))));
      const both = vector.shuffle(doubles.toFloats(get(low)), doubles.toFloats(get(high)), [0, 1, 4, 5]);
      body.push(vector.store(get(from), both, out));
    }
    body.push(set(from, int.add(get(from), int.const(step))));
    this.code.push(repeat(body, int.ne(get(from), get(end))));
  }

  fourier(template: Exclude<Template, { name: "scan" }>): void {
    const { n } = template;
    const { input, output } = this.space;
    const radices = radicesOf(n);
    const roots = rootsOfUnity(n);
    const inverse = template.name === "irfft" || (template.name === "fft" && template.sign === 1);
    const work = [input + output, input + output + 2 * n];
    let done = 1;
    radices.forEach((radix, pass) => {
      const last = pass === radices.length - 1;
      const groups = n / (done * radix);
      // With real and imaginary parts swapped on both sides, the transform is the inverse one.
      const plain = pass > 0 || template.name === "fft";
      const swap = pass === 0 && inverse;
      const from = pass === 0 ? 0 : work[(pass - 1) % 2];
      const to = last ? input : work[pass % 2];
      const load = (at: Code, offset: number, into: Code[]): Complex => {
        const [a, b] = [0, 1].map((part) => this.keep(vector.load(at, (from + 2 * offset + part) * bytes), into));
        return swap ? { re: b, im: a } : { re: a, im: b };
      };
      const store = (at: Code, offset: number, value: Complex, into: Code[]): void => {
        const put = (element: number, part: Value): void => {
          into.push(vector.store(at, part ?? vector.floats(0), (to + element) * bytes));
        };
        const parts = last && inverse ? [value.im, value.re] : [value.re, value.im];
        if (last && template.name === "irfft") put(offset, parts[0]);
        else if (!last || template.name === "fft" || 2 * offset <= n) for (const i of [0, 1]) put(2 * offset + i, parts[i]);
      };
      const butterflies = (source: Code, target: Code, s: number, into: Code[], get: (at: Code, offset: number) => Complex): void => {
        for (let k = 0; k < done; k++) {
          const terms = Array.from({ length: radix }, (_, r) => {
            const x = get(source, (s + r * groups) * done + k);
            return this.times(x, roots, (r * k * groups) % n, into);
          });
          butterfly(this, terms, into).forEach((value, j) => {
            store(target, s * done * radix + k + done * j, value, into);
          });
        }
      };
      if (!plain) {
        for (let s = 0; s < groups; s++) {
          butterflies(get(this.start), get(this.start), s, this.code, (_, j) => this.half(template.name === "rfft", j, n));
        }
      } else if (groups === 1) {
        butterflies(get(this.start), get(this.start), 0, this.code, (at, offset) => load(at, offset, this.code));
      } else {
        const source = this.local(get(this.start));
        const target = this.local(get(this.start));
        const count = this.local(int.const(groups));
        const body: Code[] = [];
        butterflies(get(source), get(target), 0, body, (at, offset) => load(at, offset, body));
        body.push(set(source, int.add(get(source), int.const(2 * done * bytes))));
        body.push(set(target, int.add(get(target), int.const(2 * done * radix * bytes))));
        body.push(set(count, int.sub(get(count), int.const(1))));
        this.code.push(repeat(body, get(count)));
      }
      done *= radix;
    });
  }

  /** Element j of a real line; or of a whole spectrum of which half is there, its parts swapped. */
  private half(real: boolean, j: number, n: number): Complex {
    const read = (element: number): Code => this.keep(vector.load(get(this.start), element * bytes));
    if (real) return { re: read(j), im: null };
    const [bin, mirrored] = 2 * j <= n ? [j, false] : [n - j, true];
    const re = read(2 * bin);
    if (bin === 0 || 2 * bin === n) return { re: null, im: re };
    const im = read(2 * bin + 1);
    return { re: mirrored ? this.keep(floats.neg(im)) : im, im: re };
  }

  /** x · e^(-2πi k/n). */
  private times({ re, im }: Complex, roots: Float64Array, k: number, into: Code[]): Complex {
    const [c, d] = [roots[2 * k], roots[2 * k + 1]];
    return {
      re: this.sum([this.scaled(re, c, into), this.scaled(im, -d, into)], into),
      im: this.sum([this.scaled(re, d, into), this.scaled(im, c, into)], into),
    };
  }

  scaled(x: Value, by: number, into: Code[]): Value {
    if (x === null || by === 0) return null;
    if (by === 1) return x;
    return this.keep(by === -1 ? floats.neg(x) : floats.mul(x, this.library.constants.floats(by)), into);
  }

  /** sum + x · by */
  plus(sum: Value, x: Value, by: number, into: Code[]): Value {
    if (x === null || by === 0) return sum;
    if (sum === null) return this.scaled(x, by, into);
    if (by === 1) return this.keep(floats.add(sum, x), into);
    if (by === -1) return this.keep(floats.sub(sum, x), into);
    return this.keep(this.library.madd(x, this.library.constants.floats(by), sum), into);
  }

  sum(parts: readonly Value[], into: Code[]): Value {
    return parts.reduce<Value>((sum, part) => this.plus(sum, part, 1, into), null);
  }
}

/** The sums over terms t_r · e^(-2πi jr/radix), for all j; partners j and radix - j share their products. */
function butterfly(writer: TransformWriter, terms: readonly Complex[], into: Code[]): readonly Complex[] {
  const radix = terms.length;
  const add = (a: Value, b: Value): Value => writer.plus(a, b, 1, into);
  const sub = (a: Value, b: Value): Value => writer.plus(a, b, -1, into);
  if (radix === 4) {
    const [a, b, c, d] = terms;
    const pairs = (first: Complex, second: Complex, fn: (x: Value, y: Value) => Value): Complex => ({
      re: fn(first.re, second.re),
      im: fn(first.im, second.im),
    });
    const [even, difference] = [pairs(a, c, add), pairs(a, c, sub)];
    const [odd, oddDifference] = [pairs(b, d, add), pairs(b, d, sub)];
    return [
      pairs(even, odd, add),
      { re: add(difference.re, oddDifference.im), im: sub(difference.im, oddDifference.re) },
      pairs(even, odd, sub),
      { re: sub(difference.re, oddDifference.im), im: add(difference.im, oddDifference.re) },
    ];
  }
  const results: Complex[] = new Array(radix);
  const total = (part: "re" | "im"): Value =>
    writer.sum(
      terms.map((term) => term[part]),
      into,
    );
  results[0] = { re: total("re"), im: total("im") };
  if (radix === 2) {
    results[1] = { re: sub(terms[0].re, terms[1].re), im: sub(terms[0].im, terms[1].im) };
    return results;
  }
  const half = (radix - 1) / 2;
  const roots = rootsOfUnity(radix);
  const sums: Complex[] = [];
  const differences: Complex[] = [];
  for (let r = 1; r <= half; r++) {
    const [a, b] = [terms[r], terms[radix - r]];
    sums.push({ re: add(a.re, b.re), im: add(a.im, b.im) });
    differences.push({ re: sub(a.re, b.re), im: sub(a.im, b.im) });
  }
  for (let j = 1; j <= half; j++) {
    let even = terms[0];
    let odd: Complex = { re: null, im: null };
    for (let r = 1; r <= half; r++) {
      const at = (j * r) % radix;
      const [c, d] = [roots[2 * at], roots[2 * at + 1]];
      const [s, t] = [sums[r - 1], differences[r - 1]];
      even = { re: writer.plus(even.re, s.re, c, into), im: writer.plus(even.im, s.im, c, into) };
      odd = { re: writer.plus(odd.re, t.im, -d, into), im: writer.plus(odd.im, t.re, d, into) };
    }
    results[j] = { re: add(even.re, odd.re), im: add(even.im, odd.im) };
    results[radix - j] = { re: sub(even.re, odd.re), im: sub(even.im, odd.im) };
  }
  return results;
}

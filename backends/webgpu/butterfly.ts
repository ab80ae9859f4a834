/** Discrete Fourier transforms of few values as straight-line code: products with 0 and ±1 are left out, and so is what nobody asked for. */
import { factors } from "../loops/fft.js";

/** A number in a node of the code; null is zero. */
type Value = Node | null;
interface Node {
  readonly code: string;
  readonly operands: readonly Node[];
  name: string | null;
}
export interface Complex {
  readonly re: Value;
  readonly im: Value;
}

export const leaf = (code: string): Value => ({ code, operands: [], name: code });

const make = (code: (names: readonly string[]) => string, ...operands: readonly Node[]): Node => {
  const text = code(operands.map((_, i) => `$${i}`));
  return { code: text, operands, name: null };
};

function add(a: Value, b: Value): Value {
  if (a === null || b === null) return a ?? b;
  return make(([x, y]) => `${x} + ${y}`, a, b);
}

function sub(a: Value, b: Value): Value {
  if (b === null) return a;
  return a === null ? make(([y]) => `-${y}`, b) : make(([x, y]) => `${x} - ${y}`, a, b);
}

function scale(a: Value, by: number): Value {
  if (a === null || by === 0) return null;
  if (by === 1) return a;
  return by === -1 ? make(([x]) => `-${x}`, a) : make(([x]) => `${x} * ${number(by)}`, a);
}

const number = (x: number): string => {
  const text = String(Math.fround(x));
  return `${x < 0 ? `(${text}` : text}f${x < 0 ? ")" : ""}`;
};

const plus = (a: Complex, b: Complex): Complex => ({ re: add(a.re, b.re), im: add(a.im, b.im) });
const minus = (a: Complex, b: Complex): Complex => ({ re: sub(a.re, b.re), im: sub(a.im, b.im) });
const times = ({ re, im }: Complex, [c, d]: readonly [number, number]): Complex => ({
  re: sub(scale(re, c), scale(im, d)),
  im: add(scale(re, d), scale(im, c)),
});

/** e^(sign · 2πi k/n), exact where it is a multiple of an eighth turn's symmetry. */
export function root(n: number, k: number, sign: -1 | 1): readonly [number, number] {
  const at = ((k % n) + n) % n;
  const quarter = (Math.floor((8 * at) / n) + 1) >> 1;
  const angle = (2 * Math.PI * (at - (quarter * n) / 4)) / n;
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const [re, im] = [
    [c, s],
    [-s, c],
    [-c, -s],
    [s, -c],
  ][quarter & 3];
  return [re + 0, sign * im + 0];
}

/** X_k = Σ_j x_j e^(sign · 2πi jk/n). */
export function transform(x: readonly Complex[], sign: -1 | 1): readonly Complex[] {
  const n = x.length;
  if (n === 1) return x;
  const first = factors(n)[0];
  const p = first === 4 ? 2 : first;
  if (p === n) return p === 2 ? [plus(x[0], x[1]), minus(x[0], x[1])] : prime(x, sign);
  const m = n / p;
  const parts = Array.from({ length: p }, (_, r) =>
    transform(
      Array.from({ length: m }, (_, j) => x[r + p * j]),
      sign,
    ),
  );
  const out: Complex[] = [];
  for (let k = 0; k < m; k++) {
    const terms = parts.map((part, r) => times(part[k], root(n, r * k, sign)));
    transform(terms, sign).forEach((value, q) => {
      out[k + m * q] = value;
    });
  }
  return out;
}

/** Terms r and p − r are conjugate partners, which halves the products. */
function prime(x: readonly Complex[], sign: -1 | 1): readonly Complex[] {
  const p = x.length;
  const half = (p - 1) / 2;
  const sums = Array.from({ length: half }, (_, r) => plus(x[r + 1], x[p - r - 1]));
  const differences = Array.from({ length: half }, (_, r) => minus(x[r + 1], x[p - r - 1]));
  const out: Complex[] = [];
  out[0] = sums.reduce(plus, x[0]);
  for (let j = 1; j <= half; j++) {
    let even = x[0];
    let odd: Complex = { re: null, im: null };
    for (let r = 1; r <= half; r++) {
      const [c, d] = root(p, j * r, sign);
      even = plus(even, { re: scale(sums[r - 1].re, c), im: scale(sums[r - 1].im, c) });
      odd = plus(odd, { re: scale(differences[r - 1].im, -d), im: scale(differences[r - 1].re, d) });
    }
    out[j] = plus(even, odd);
    out[p - j] = minus(even, odd);
  }
  return out;
}

/** Statements that compute the values; `name` makes new names. Afterwards {@link nameOf} knows them. */
export function statements(values: readonly Value[], name: () => string): readonly string[] {
  const lines: string[] = [];
  const visit = (node: Node): string => {
    if (node.name === null) {
      const operands = node.operands.map(visit);
      node.name = name();
      lines.push(`let ${node.name} = ${node.code.replace(/\$(\d)/g, (_, i: string) => operands[Number(i)])};`);
    }
    return node.name;
  };
  for (const value of values) if (value !== null) visit(value);
  return lines;
}

export const nameOf = (value: Value): string => value?.name ?? "0.0f";

const cost = (n: number): number => n * factors(n).reduce((sum, factor) => sum + factor, 0);

/** Whether all of a transform may be written out. */
export const isShort = (n: number): boolean => n <= 32 && cost(n) <= 330;

/** Radices of passes, the product of which is n. */
export function radicesOf(n: number): readonly number[] {
  const radices: number[] = [];
  for (const factor of factors(n).sort((a, b) => b - a)) {
    const i = radices.findIndex((radix) => radix * factor <= 16);
    if (i === -1) radices.push(factor);
    else radices[i] *= factor;
  }
  return radices;
}

/** Functions that kernels call, as gpu.js source: it has no `erf`, and JavaScript's own differ from the IR's meaning at the edges. */
import { horner } from "../loops/polynomials.js";

export interface Helper {
  /** Other helpers that it calls. */
  readonly uses: readonly string[];
  readonly code: string;
}

export const helper = (code: string, ...uses: readonly string[]): Helper => ({ code: code.trim(), uses });

/** The divisor doubled up to the dividend, then subtracted on its way back: every step is exact, in every precision. */
export const remainderText = (name: string, undefinedWhere: string, nan: string): string => `
function ${name}(a, b) {
  const d = Math.abs(b);
  let r = Math.abs(a);
  if (${undefinedWhere}) { return ${nan}; }
  if (r < d) { return a; }
  let t = d;
  for (let i = 0; i < 300; i++) {
    if (r - t >= t) { t = t + t; }
  }
  for (let j = 0; j < 300; j++) {
    if (t >= d) {
      if (r >= t) { r = r - t; }
      t = t * 0.5;
    }
  }
  if (a < 0) { return -r; }
  return r;
}`;

/** erf(x) / x − 1 in x², for |x| < 0.93: a closer fit than that of `polynomials.ts`, as a call costs more here than what it computes. */
const erfNear = [
  8.292817801702768e-5, -8.124891319312155e-4, 5.199517589062452e-3, -2.6858817785978317e-2, 1.1283686012029648e-1, -3.7612631916999817e-1,
  1.28379167e-1,
];
/** log(1 − erf(x)), beyond. */
const logErfc = [
  -2.0908653823425993e-5, 4.324463661760092e-4, -4.1619050316512585e-3, 2.5096770375967026e-2, -1.0824708640575409e-1,
  -6.333752274513245e-1, -1.1295017004013062, 1.7206616757903248e-4,
];

/** Within 2e-7 of the function. */
export const erfText = (name: string, isUnordered: string, exp: string): string => `
function ${name}(x) {
  const t = Math.abs(x);
  if (${isUnordered}) { return x; }
  if (t < 0.93) {
    const z = x * x;
    return ${horner("z", erfNear)} * x + x;
  }
  let r = 1.0;
  if (t < 4) {
    const y = ${horner("t", logErfc)};
    r = 1 - ${exp}(y);
  }
  if (x < 0) { return -r; }
  return r;
}`;

export const helpers: Readonly<Record<string, Helper>> = {
  isNotANumber: helper(`
function isNotANumber(x) { return x !== x; }`),
  signOf: helper(`
function signOf(x) {
  if (x > 0) { return 1; }
  if (x < 0) { return -1; }
  return 0;
}`),
  /** Keeps −0, and what is whole already. */
  roundHalfEven: helper(`
function roundHalfEven(x) {
  const a = Math.abs(x);
  let r = Math.floor(a);
  const d = a - r;
  if (!(d > 0)) { return x; }
  if (d > 0.5) { r = r + 1; }
  if (d === 0.5 && r - 2 * Math.floor(r * 0.5) === 1) { r = r + 1; }
  if (x < 0) { return -r; }
  return r;
}`),
  floorDivide: helper(`
function floorDivide(a, b) {
  if (b === 0) { return 0; }
  return Math.floor(a / b);
}`),
  floorModulo: helper(`
function floorModulo(a, b) {
  if (b === 0) { return 0; }
  return a - b * Math.floor(a / b);
}`),
  remainder: helper(remainderText("remainder", "a !== a || b !== b || d === 0 || r === 1 / 0", "0 / 0")),
  /** Logical: what an arithmetic shift fills with ones is added back. */
  shiftRight: helper(`
function shiftRight(a, n) {
  const count = n & 31;
  if (a < 0 && count > 0) { return (a >> count) + Math.pow(2, 32 - count); }
  return a >> count;
}`),
  /** To an integer: toward zero, 0 for NaN. What float32 does not hold exactly is {@link exactly}'s business. */
  truncate: helper(`
function truncate(x) {
  if (x !== x) { return 0; }
  return Math.trunc(x);
}`),
  /** An int32 result as it is stored: NaN where a float32 would not be exact, which downloads refuse. */
  exactly: helper(`
function exactly(x) {
  if (Math.abs(x) <= 16777215) { return x; }
  return 0 / 0;
}`),
  power: helper(`
function power(a, b) {
  if (a === 1 || b === 0) { return 1; }
  if (a === -1 && Math.abs(b) === 1 / 0) { return 1; }
  return Math.pow(a, b);
}`),
  erf: helper(erfText("erf", "x !== x", "Math.exp")),
};

/** The sources of the helpers that a text calls, and of those that they call, callees first. */
export function helpersIn(source: string, table: Readonly<Record<string, Helper>>): readonly string[] {
  const seen = new Set<string>();
  const found: string[] = [];
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const used of table[name].uses) visit(used);
    found.push(table[name].code);
  };
  for (const name of Object.keys(table)) if (new RegExp(`\\b${name}\\(`).test(source)) visit(name);
  return found;
}

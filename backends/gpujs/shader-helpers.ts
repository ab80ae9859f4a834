/**
 * Functions that kernels of the shader modes call. A shader's own functions assume that there are no NaNs and infinities, and are as inexact as
 * the driver likes. Quotients of integers are corrected, as division may be a unit off.
 */
import { type Helper, helper, helpers, remainderText } from "./helpers.js";
import { realHelpers } from "./shader-reals.js";
import { notANumber } from "./specials.js";

/** 24 bits of two numbers, one by one: what gpu.js makes of & and its kin is wrong for negative numbers in some modes. */
const bitwise = (name: string, isSet: string, isNegative: string): Helper =>
  helper(`
function ${name}(a, b) {
  let u = a;
  let v = b;
  if (a < 0) { u = a + 16777216; }
  if (b < 0) { v = b + 16777216; }
  let y = 0;
  let w = 1;
  for (let i = 0; i < 24; i++) {
    const s = Math.floor(u * 0.5);
    const t = Math.floor(v * 0.5);
    const ones = u - 2 * s + (v - 2 * t);
    if (${isSet}) { y = y + w; }
    u = s;
    v = t;
    w = w + w;
  }
  if (${isNegative}) { return y - 16777216; }
  return y;
}`);

export const shaderHelpers: Readonly<Record<string, Helper>> = {
  signOf: helpers.signOf,
  /** 1 or 0: functions return numbers. */
  unordered: helper(`
function unordered(x) {
  if (x >= 0 || x < 0) { return 0; }
  return 1;
}`),
  /** Compilers take x · 0 for 0, whatever x is. */
  timesZero: helper(
    `
function timesZero(x) {
  if (unordered(x) > 0 || Math.abs(x) > 3.4028234e38) { return ${notANumber}; }
  return 0;
}`,
    "unordered",
  ),
  larger: helper(
    `
function larger(a, b) {
  if (unordered(a) > 0) { return a; }
  if (unordered(b) > 0) { return b; }
  if (a > b) { return a; }
  return b;
}`,
    "unordered",
  ),
  smaller: helper(
    `
function smaller(a, b) {
  if (unordered(a) > 0) { return a; }
  if (unordered(b) > 0) { return b; }
  if (a < b) { return a; }
  return b;
}`,
    "unordered",
  ),
  roundHalfEven: helpers.roundHalfEven,
  /** The whole part of a / b for whole a ≥ 0, b > 0 below 2^24. */
  quotient: helper(`
function quotient(a, b) {
  let q = Math.floor(a / b);
  if (q * b > a) { q = q - 1; }
  if (a - q * b >= b) { q = q + 1; }
  return q;
}`),
  remainder: helper(
    `
function remainder(a, b) { return a - b * quotient(a, b); }`,
    "quotient",
  ),
  floorDivide: helper(
    `
function floorDivide(a, b) {
  if (b === 0) { return 0; }
  const q = quotient(Math.abs(a), Math.abs(b));
  if ((a < 0 && b > 0) || (a > 0 && b < 0)) {
    if (q * Math.abs(b) < Math.abs(a)) { return -q - 1; }
    return -q;
  }
  return q;
}`,
    "quotient",
  ),
  floorModulo: helper(
    `
function floorModulo(a, b) {
  if (b === 0) { return 0; }
  return a - b * floorDivide(a, b);
}`,
    "floorDivide",
  ),
  remainderOf: helper(
    remainderText("remainderOf", "unordered(a) > 0 || unordered(b) > 0 || d === 0 || r > 3.4028234e38", notANumber),
    "unordered",
  ),
  bitwiseAnd: bitwise("bitwiseAnd", "ones === 2", "a < 0 && b < 0"),
  bitwiseOr: bitwise("bitwiseOr", "ones > 0", "a < 0 || b < 0"),
  bitwiseXor: bitwise("bitwiseXor", "ones === 1", "(a < 0 && b >= 0) || (a >= 0 && b < 0)"),
  shiftLeft: helper(
    `
function shiftLeft(a, n) {
  const count = n - 32 * Math.floor(n * 0.03125);
  const period = scaled(1, 32 - count);
  let r = a;
  if (Math.abs(a) * 2 >= period) {
    r = a - period * Math.floor(a / period);
    if (r * 2 >= period) { r = r - period; }
  }
  return scaled(r, count);
}`,
    "scaled",
  ),
  /** Logical: what an arithmetic shift fills with ones is added back. */
  shiftRight: helper(
    `
function shiftRight(a, n) {
  const count = n - 32 * Math.floor(n * 0.03125);
  const y = Math.floor(scaled(a, -count));
  if (a < 0 && count > 0) { return y + scaled(1, 32 - count); }
  return y;
}`,
    "scaled",
  ),
  truncate: helper(
    `
function truncate(x) {
  if (unordered(x) > 0) { return 0; }
  return wholePart(x);
}`,
    "unordered",
    "wholePart",
  ),
  wholePart: helper(`
function wholePart(x) {
  if (x < 0) { return -Math.floor(-x); }
  return Math.floor(x);
}`),
  exactly: helper(`
function exactly(x) {
  if (Math.abs(x) <= 16777215) { return x; }
  return ${notANumber};
}`),
  ...realHelpers,
};

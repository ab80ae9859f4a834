/**
 * Functions that kernels of the shader modes call. A shader's own functions assume that there are no NaNs and infinities, are as inexact as
 * the driver likes, and gpu.js has no bits of a float: so these take numbers apart by comparing and scaling with powers of two, which is
 * exact. None counts on the order in which constants are added. Quotients of integers are corrected, as division may be a unit off.
 *
 * The polynomials are those of the Cephes library, single precision (S. L. Moshier); that of erf is our own.
 */
import { type Helper, helper, helpers, horner } from "./helpers.js";

/** NaN, infinity and its negative, as a kernel finds them: no literal says them, and dividing by zero is folded or refused. */
export const specials = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
export const notANumber = "this.constants.specials[0]";
export const infinity = "this.constants.specials[1]";
export const negativeInfinity = "this.constants.specials[2]";

const exponents = [64, 32, 16, 8, 4, 2, 1];

/** Lines that multiply `y` by 2^n for whole n from -252 to 252; without rounding as long as the result is a normal number. */
const scaling = `
  const m = Math.abs(n);
  let up = m;
  let y = x;
  if (n > 0) {
    ${[64, ...exponents].map((e) => `if (up >= ${e}) { y = y * ${2 ** e}; up = up - ${e}; }`).join("\n    ")}
  }
  if (n < 0) {
    ${[64, ...exponents].map((e) => `if (up >= ${e}) { y = y * ${2 ** -e}; up = up - ${e}; }`).join("\n    ")}
  }
  return y;`;

/** Lines that bring `m`, positive and finite, to between 1 and 2, and count in `e` by how many powers of two. */
const normalizing = `
  ${exponents.map((e) => `if (m >= ${2 ** e}) { m = m * ${2 ** -e}; e = e + ${e}; }`).join("\n  ")}
  ${exponents.map((e) => `if (m < ${2 ** (1 - e)}) { m = m * ${2 ** e}; e = e - ${e}; }`).join("\n  ")}`;

/** Exponent and mantissa from √½ to √2 cannot both be returned: two functions that do the same. */
const split = `
  let e = 0;
  let m = x;${normalizing}
  if (m > 1.41421356) { m = m * 0.5; e = e + 1; }`;

const expPoly = horner(
  "r",
  "1.9875691500e-4",
  "1.3981999507e-3",
  "8.3334519073e-3",
  "4.1665795894e-2",
  "1.6666665459e-1",
  "5.0000001201e-1",
);
const logPoly = horner(
  "m",
  "7.0376836292e-2",
  "-1.1514610310e-1",
  "1.1676998740e-1",
  "-1.2420140846e-1",
  "1.4249322787e-1",
  "-1.6668057665e-1",
  "2.0000714765e-1",
  "-2.4999993993e-1",
  "3.3333331174e-1",
);

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
  /** The divisor doubled up to the dividend, then subtracted on its way back: every step is exact. */
  remainderOf: helper(
    `
function remainderOf(a, b) {
  const d = Math.abs(b);
  let r = Math.abs(a);
  if (unordered(a) > 0 || unordered(b) > 0 || d === 0 || r > 3.4028234e38) { return ${notANumber}; }
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
}`,
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
  squareRoot: helper(
    `
function squareRoot(x) {
  if (unordered(x) > 0 || x > 3.4028234e38 || x === 0) { return x; }
  if (x < 0) { return ${notANumber}; }
  return Math.sqrt(x);
}`,
    "unordered",
  ),
  scaled: helper(`
function scaled(x, n) {${scaling}
}`),
  /** e^r − 1 for |r| ≤ 0.35. */
  expm1Near: helper(`
function expm1Near(r) { return ${expPoly} * (r * r) + r; }`),
  expOf: helper(
    `
function expOf(x) {
  if (unordered(x) > 0) { return x; }
  if (x > 88.72284) { return ${infinity}; }
  if (x < -104) { return 0; }
  const n = Math.floor(x * 1.4426950408889634 + 0.5);
  const r = (x - n * 0.693359375) - n * -2.12194440e-4;
  return scaled(1 + expm1Near(r), n);
}`,
    "unordered",
    "scaled",
    "expm1Near",
  ),
  expm1Of: helper(
    `
function expm1Of(x) {
  if (Math.abs(x) < 0.34657359) { return expm1Near(x); }
  return expOf(x) - 1;
}`,
    "expOf",
    "expm1Near",
  ),
  /** log(1 + m) for m from √½ − 1 to √2 − 1. */
  log1pNear: helper(`
function log1pNear(m) {
  const z = m * m;
  return m - (0.5 * z - ${logPoly} * (m * z));
}`),
  exponentOf: helper(`
function exponentOf(x) {${split}
  return e;
}`),
  mantissaOf: helper(`
function mantissaOf(x) {${split}
  return m;
}`),
  logOf: helper(
    `
function logOf(x) {
  if (unordered(x) > 0 || x > 3.4028234e38) { return x; }
  if (x < 0) { return ${notANumber}; }
  if (x < 1.1754943e-38) { return ${negativeInfinity}; }
  const e = exponentOf(x);
  return (log1pNear(mantissaOf(x) - 1) + e * -2.12194440e-4) + e * 0.693359375;
}`,
    "unordered",
    "exponentOf",
    "mantissaOf",
    "log1pNear",
  ),
  log1pOf: helper(
    `
function log1pOf(x) {
  if (x > -0.29 && x < 0.41) { return log1pNear(x); }
  return logOf(1 + x);
}`,
    "logOf",
    "log1pNear",
  ),
  /** π/2 is subtracted in three parts; so arguments up to some thousands keep their accuracy. */
  quadrantOf: helper(`
function quadrantOf(x) { return Math.floor(x * 0.63661977 + 0.5); }`),
  reduced: helper(`
function reduced(x, n) { return ((x - n * 1.5703125) - n * 4.837512969970703125e-4) - n * 7.54978995489188e-8; }`),
  sinNear: helper(`
function sinNear(x) {
  const z = x * x;
  return ${horner("z", "-1.9515295891e-4", "8.3321608736e-3", "-1.6666654611e-1")} * (z * x) + x;
}`),
  cosNear: helper(`
function cosNear(x) {
  const z = x * x;
  return 1 - (0.5 * z - ${horner("z", "2.443315711809948e-5", "-1.388731625493765e-3", "4.166664568298827e-2")} * (z * z));
}`),
  /** The sine of x + n · π/2. */
  sinFrom: helper(
    `
function sinFrom(x, quarter) {
  const n = quadrantOf(x);
  const r = reduced(x, n);
  const turns = n + quarter;
  const q = turns - 4 * Math.floor(turns * 0.25);
  let y = sinNear(r);
  if (q === 1 || q === 3) { y = cosNear(r); }
  if (q >= 2) { return -y; }
  return y;
}`,
    "quadrantOf",
    "reduced",
    "sinNear",
    "cosNear",
  ),
  sinOf: helper(
    `
function sinOf(x) {
  if (unordered(x) > 0 || Math.abs(x) > 3.4028234e38) { return ${notANumber}; }
  return sinFrom(x, 0);
}`,
    "unordered",
    "sinFrom",
  ),
  cosOf: helper(
    `
function cosOf(x) {
  if (unordered(x) > 0 || Math.abs(x) > 3.4028234e38) { return ${notANumber}; }
  return sinFrom(x, 1);
}`,
    "unordered",
    "sinFrom",
  ),
  tanOf: helper(
    `
function tanOf(x) {
  if (unordered(x) > 0 || Math.abs(x) > 3.4028234e38) { return ${notANumber}; }
  return sinFrom(x, 0) / sinFrom(x, 1);
}`,
    "unordered",
    "sinFrom",
  ),
  asinNear: helper(`
function asinNear(x) {
  const z = x * x;
  return ${horner("z", "4.2163199048e-2", "2.4181311049e-2", "4.5470025998e-2", "7.4953002686e-2", "1.6666752422e-1")} * (z * x) + x;
}`),
  asinOf: helper(
    `
function asinOf(x) {
  const a = Math.abs(x);
  if (unordered(x) > 0 || a > 1) { return ${notANumber}; }
  if (a <= 0.5) { return asinNear(x); }
  const y = 1.57079633 - 2 * asinNear(Math.sqrt(0.5 * (1 - a)));
  if (x < 0) { return -y; }
  return y;
}`,
    "unordered",
    "asinNear",
  ),
  acosOf: helper(
    `
function acosOf(x) {
  const a = Math.abs(x);
  if (unordered(x) > 0 || a > 1) { return ${notANumber}; }
  if (a <= 0.5) { return 1.57079633 - asinNear(x); }
  const y = 2 * asinNear(Math.sqrt(0.5 * (1 - a)));
  if (x < 0) { return 3.14159265 - y; }
  return y;
}`,
    "unordered",
    "asinNear",
  ),
  atanOf: helper(
    `
function atanOf(x) {
  if (unordered(x) > 0) { return x; }
  let a = Math.abs(x);
  let base = 0.0;
  if (a > 2.41421356) {
    base = 1.57079633;
    a = -1 / Math.min(a, 1e30);
  } else {
    if (a > 0.41421356) {
      base = 0.785398163;
      a = (a - 1) / (a + 1);
    }
  }
  const z = a * a;
  const y = base + (${horner("z", "8.05374449538e-2", "-1.38776856032e-1", "1.99777106478e-1", "-3.33329491539e-1")} * (z * a) + a);
  if (x < 0) { return -y; }
  return y;
}`,
    "unordered",
  ),
  sinhOf: helper(
    `
function sinhOf(x) {
  const a = Math.abs(x);
  if (unordered(x) > 0) { return x; }
  if (a < 1) {
    const z = x * x;
    return ${horner("z", "2.03721912945e-4", "8.33028376239e-3", "1.66667160211e-1")} * (z * x) + x;
  }
  const h = expOf(0.5 * a);
  let y = (0.5 * h) * h;
  if (a < 20) {
    const w = expOf(a);
    y = 0.5 * w - 0.5 / w;
  }
  if (x < 0) { return -y; }
  return y;
}`,
    "unordered",
    "expOf",
  ),
  coshOf: helper(
    `
function coshOf(x) {
  const a = Math.abs(x);
  if (a > 20) {
    const h = expOf(0.5 * a);
    return (0.5 * h) * h;
  }
  const w = expOf(a);
  return 0.5 * w + 0.5 / w;
}`,
    "expOf",
  ),
  tanhOf: helper(
    `
function tanhOf(x) {
  const a = Math.abs(x);
  if (unordered(x) > 0) { return x; }
  if (a < 0.625) {
    const z = x * x;
    return ${horner("z", "-5.70498872745e-3", "2.06390887954e-2", "-5.37397155531e-2", "1.33314422036e-1", "-3.33332819422e-1")} * (z * x) + x;
  }
  let y = 1.0;
  if (a < 9.1) { y = 1 - 2 / (expOf(2 * a) + 1); }
  if (x < 0) { return -y; }
  return y;
}`,
    "unordered",
    "expOf",
  ),
  erfOf: helper(
    `
function erfOf(x) {
  const t = Math.abs(x);
  if (unordered(x) > 0) { return x; }
  if (t < 0.93) {
    const z = x * x;
    return ${horner("z", "8.292817801702768e-5", "-8.124891319312155e-4", "5.199517589062452e-3", "-2.6858817785978317e-2", "1.1283686012029648e-1", "-3.7612631916999817e-1", "1.28379167e-1")} * x + x;
  }
  let r = 1.0;
  if (t < 4) {
    const y = ${horner("t", "-2.0908653823425993e-5", "4.324463661760092e-4", "-4.1619050316512585e-3", "2.5096770375967026e-2", "-1.0824708640575409e-1", "-6.333752274513245e-1", "-1.1295017004013062", "1.7206616757903248e-4")};
    r = 1 - expOf(y);
  }
  if (x < 0) { return -r; }
  return r;
}`,
    "unordered",
    "expOf",
  ),
  /** As IEEE's. The exponent of the result is added up from exact parts, so that large powers keep their accuracy. */
  powOf: helper(
    `
function powOf(a, b) {
  if (b === 0 || a === 1) { return 1; }
  if (unordered(a) > 0 || unordered(b) > 0) { return ${notANumber}; }
  const size = Math.abs(b);
  const base = Math.abs(a);
  let sign = 1.0;
  if ((a < 0 || (a === 0 && 1 / a < 0)) && Math.floor(size) === size && size < 16777216 && size - 2 * Math.floor(size * 0.5) === 1) { sign = -1.0; }
  if (size > 3.4028234e38 && base === 1) { return 1; }
  if (size > 3.4028234e38 || base === 0 || base > 3.4028234e38) {
    if ((base > 1 && b > 0) || (base < 1 && b < 0)) { return sign * ${infinity}; }
    return 0;
  }
  if (a < 0 && !(Math.floor(size) === size)) { return ${notANumber}; }
  const e = exponentOf(base);
  let grain = 256.0;
  if (size >= 256) { grain = 1.0; }
  if (size > 65536) { grain = 0.00390625; }
  const high = Math.floor(b * grain) / grain;
  const first = high * e;
  const rest = (b - high) * e + b * (log1pNear(mantissaOf(base) - 1) * 1.4426950408889634);
  const sum = first + rest;
  if (sum > 129) { return sign * ${infinity}; }
  if (sum < -151) { return 0; }
  const n = Math.floor(first + 0.5);
  const left = (first - n) + rest;
  const k = Math.floor(left + 0.5);
  return sign * scaled(1 + expm1Near((left - k) * 0.6931471805599453), n + k);
}`,
    "unordered",
    "exponentOf",
    "mantissaOf",
    "log1pNear",
    "expm1Near",
    "scaled",
  ),
};

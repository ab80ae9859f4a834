/**
 * Functions of reals for the shader modes. gpu.js has no bits of a float: these take numbers apart by comparing and scaling with powers of two,
 * which is exact. None counts on the order in which constants are added.
 */
import { horner, polynomials } from "../loops/polynomials.js";
import { erfText, type Helper, helper } from "./helpers.js";
import { infinity, negativeInfinity, notANumber } from "./specials.js";

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

const expPoly = horner("r", polynomials.exp);
const logPoly = horner("m", polynomials.log);

export const realHelpers: Readonly<Record<string, Helper>> = {
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
  return ${horner("z", polynomials.sin)} * (z * x) + x;
}`),
  cosNear: helper(`
function cosNear(x) {
  const z = x * x;
  return 1 - (0.5 * z - ${horner("z", polynomials.cos)} * (z * z));
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
  return ${horner("z", polynomials.asin)} * (z * x) + x;
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
  const y = base + (${horner("z", polynomials.atan)} * (z * a) + a);
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
    return ${horner("z", polynomials.sinh)} * (z * x) + x;
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
    return ${horner("z", polynomials.tanh)} * (z * x) + x;
  }
  let y = 1.0;
  if (a < 9.1) { y = 1 - 2 / (expOf(2 * a) + 1); }
  if (x < 0) { return -y; }
  return y;
}`,
    "unordered",
    "expOf",
  ),
  erfOf: helper(erfText("erfOf", "unordered(x) > 0", "expOf"), "unordered", "expOf"),
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

/**
 * WGSL functions that kernels call. What WGSL has built in may assume that there are no NaNs and infinities, and is as inexact as an adapter
 * likes; these have one meaning everywhere. Tests for NaN look at bits. No function counts on the order in which constants are
 * added, or on `x * 0` carrying a NaN: compilers may change both.
 *
 * The polynomials of exp, log and the circular and hyperbolic functions are those of the Cephes library, single precision (S. L. Moshier);
 * that of erf is our own.
 */
import { horner, polynomials } from "../loops/polynomials.js";
import { circular } from "./circular.js";
import { type Helper, helper } from "./helper.js";

const expPoly = horner("r", polynomials.exp, "f");
const logPoly = horner("m", polynomials.log, "f");

export const helpers: Readonly<Record<string, Helper>> = {
  fromBits: helper(`
fn fromBits(bits: u32) -> f32 { return bitcast<f32>(bits); }`),
  special: helper(
    `
fn notANumber() -> f32 { let bits = 0x7fc00000u; return fromBits(bits); }
fn infinity() -> f32 { let bits = 0x7f800000u; return fromBits(bits); }`,
    "fromBits",
  ),
  isNaN: helper(`
fn isNaN(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }`),
  isFinite: helper(`
fn isFinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u; }`),
  maximum: helper(
    `
fn maximum(a: f32, b: f32) -> f32 { return select(b, a, (a > b) | isNaN(a)); }`,
    "isNaN",
  ),
  minimum: helper(
    `
fn minimum(a: f32, b: f32) -> f32 { return select(b, a, (a < b) | isNaN(a)); }`,
    "isNaN",
  ),
  signOf: helper(`
fn signOf(x: f32) -> f32 { return select(select(0.0f, -1.0f, x < 0.0f), 1.0f, x > 0.0f); }`),
  withSign: helper(`
fn withSign(x: f32, s: f32) -> f32 { return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(s) & 0x80000000u)); }`),
  negated: helper(`
fn negated(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u); }`),
  /** A product with a zero that the compiler can see, which it would take for 0 whatever the other factor. */
  timesZero: helper(
    `
fn timesZero(x: f32) -> f32 { return select(notANumber(), 0.0f, isFinite(x)); }`,
    "special",
    "isFinite",
  ),
  /** To int32: toward zero, saturating, 0 for NaN. */
  truncateToInt: helper(
    `
fn truncateToInt(x: f32) -> i32 {
  if (isNaN(x)) { return 0; }
  if (x >= 2147483648.0f) { return 2147483647; }
  if (x <= -2147483648.0f) { return -2147483648; }
  return i32(x);
}`,
    "isNaN",
  ),
  floorDivide: helper(`
fn floorDivide(a: i32, b: i32) -> i32 {
  if (b == 0) { return 0; }
  let q = a / b;
  let r = a - q * b;
  return select(q, q - 1, r != 0 && ((r < 0) != (b < 0)));
}`),
  floorModulo: helper(`
fn floorModulo(a: i32, b: i32) -> i32 {
  if (b == 0) { return 0; }
  let r = a - (a / b) * b;
  return select(r, r + b, r != 0 && ((r < 0) != (b < 0)));
}`),
  /** The divisor doubled up to the dividend, then subtracted on its way back: every step is exact. */
  remainderOf: helper(
    `
fn remainderOf(a: f32, b: f32) -> f32 {
  let d = abs(b);
  var r = abs(a);
  if (isNaN(b) || d == 0.0f || !isFinite(a)) { return notANumber(); }
  if (r < d) { return a; }
  var t = d;
  for (var i = 0; i < 300; i++) {
    if (!(r - t >= t)) { break; }
    t = t + t;
  }
  for (var i = 0; i < 300; i++) {
    if (t < d) { break; }
    if (r >= t) { r = r - t; }
    t = t * 0.5f;
  }
  return select(r, -r, (bitcast<u32>(a) >> 31u) == 1u);
}`,
    "isNaN",
    "isFinite",
    "special",
  ),
  /** First word of Threefry-2x32 with 20 rounds. */
  threefry: helper(`
fn threefry(key0: i32, key1: i32, counter0: i32, counter1: i32) -> i32 {
  var keys = array<u32, 3>(bitcast<u32>(key0), bitcast<u32>(key1), 0u);
  keys[2] = keys[0] ^ keys[1] ^ 0x1bd11bdau;
  var rotations = array<u32, 8>(13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u);
  var x = bitcast<u32>(counter0) + keys[0];
  var y = bitcast<u32>(counter1) + keys[1];
  for (var round = 0u; round < 20u; round++) {
    let r = rotations[round & 7u];
    x += y;
    y = ((y << r) | (y >> (32u - r))) ^ x;
    if ((round & 3u) == 3u) {
      let step = (round + 1u) / 4u;
      x += keys[step % 3u];
      y += keys[(step + 1u) % 3u] + step;
    }
  }
  return bitcast<i32>(x);
}`),
  /** A product of complex numbers. */
  rotated: helper(`
fn rotated(a: vec2f, w: vec2f) -> vec2f { return vec2f(a.x * w.x - a.y * w.y, a.x * w.y + a.y * w.x); }`),
  /** x · 2^n for |n| ≤ 252, in two steps as 2^n itself may not be a float. */
  scaled: helper(`
fn scaled(x: f32, n: i32) -> f32 {
  let half = n >> 1u;
  return x * bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(n - half + 127) << 23u);
}`),
  /** e^r − 1 for |r| ≤ 0.35. */
  expm1Near: helper(`
fn expm1Near(r: f32) -> f32 { return ${expPoly} * (r * r) + r; }`),
  /** Without branches, as neighbours seldom take the same. */
  // The sum's last bits are its rounded integer; what the scale makes of x out of range is not chosen.
  expOf: helper(
    `
fn expOf(x: f32) -> f32 {
  let n = bitcast<i32>(x * 1.44269504088896341f + 12582912.0f) - 1262485504;
  let whole = f32(n);
  let r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
  let y = bitcast<f32>(bitcast<i32>(1.0f + expm1Near(r)) + (n << 23u));
  return select(select(select(y, 0.0f, x < -87.33654f), infinity(), x > 88.72283f), x, isNaN(x));
}`,
    "isNaN",
    "special",
    "expm1Near",
  ),
  expm1Of: helper(
    `
fn expm1Of(x: f32) -> f32 {
  if (abs(x) < 0.34657359f) { return expm1Near(x); }
  return expOf(x) - 1.0f;
}`,
    "expOf",
    "expm1Near",
  ),
  /** log(1 + m) for m from √½ − 1 to √2 − 1. */
  log1pNear: helper(`
fn log1pNear(m: f32) -> f32 {
  let z = m * m;
  return m - (0.5f * z - ${logPoly} * (m * z));
}`),
  /** A positive finite number as (1 + m) · 2^e with 1 + m from √½ to √2. The bits of a subnormal one are a whole number of 2^-149. */
  Parts: helper(`
struct Parts { m: f32, e: f32 }
fn partsOf(x: f32) -> Parts {
  var bits = bitcast<u32>(x);
  var e = -126;
  if (bits < 0x00800000u) {
    bits = bitcast<u32>(f32(bits));
    e = -275;
  }
  e += i32(bits >> 23u);
  var mantissa = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u);
  if (mantissa < 0.70710678f) {
    e -= 1;
    mantissa = mantissa + mantissa;
  }
  return Parts(mantissa - 1.0f, f32(e));
}`),
  logOf: helper(
    `
fn logOf(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) == 0u) { return negated(infinity()); }
  if (bits >= 0x7f800000u) { return select(notANumber(), x, bits == 0x7f800000u); }
  let parts = partsOf(x);
  return (log1pNear(parts.m) + parts.e * -2.12194440e-4f) + parts.e * 0.693359375f;
}`,
    "special",
    "negated",
    "Parts",
    "log1pNear",
  ),
  log1pOf: helper(
    `
fn log1pOf(x: f32) -> f32 {
  if (x > -0.29f && x < 0.41f) { return log1pNear(x); }
  return logOf(1.0f + x);
}`,
    "logOf",
    "log1pNear",
  ),
  /**
   * Finite x as quadrant · π/2 + r with |r| ≤ π/4. Small numbers subtract π/2 in three parts, large ones multiply by the bits of 2/π: p1, p0 is the
   * product modulo 4, as a fixed-point number of 2 + 62 bits.
   */
  ...circular,
  sinhOf: helper(
    `
fn sinhOf(x: f32) -> f32 {
  let a = abs(x);
  if (a < 1.0f) {
    let z = x * x;
    return ${horner("z", polynomials.sinh, "f")} * (z * x) + x;
  }
  if (a > 88.0f) {
    let w = expOf(0.5f * a);
    return withSign((0.5f * w) * w, x);
  }
  let w = expOf(a);
  return select(withSign(0.5f * w - 0.5f / w, x), x, isNaN(x));
}`,
    "expOf",
    "withSign",
    "isNaN",
  ),
  coshOf: helper(
    `
fn coshOf(x: f32) -> f32 {
  let a = abs(x);
  if (a > 88.0f) {
    let w = expOf(0.5f * a);
    return (0.5f * w) * w;
  }
  let w = expOf(a);
  return 0.5f * w + 0.5f / w;
}`,
    "expOf",
  ),
  tanhOf: helper(
    `
fn tanhOf(x: f32) -> f32 {
  let a = abs(x);
  if (a < 0.625f) {
    let z = x * x;
    return ${horner("z", polynomials.tanh, "f")} * (z * x) + x;
  }
  if (isNaN(x)) { return x; }
  if (a > 9.1f) { return withSign(1.0f, x); }
  return withSign(1.0f - 2.0f / (expOf(2.0f * a) + 1.0f), x);
}`,
    "isNaN",
    "expOf",
    "withSign",
  ),
  erfOf: helper(
    `
fn erfOf(x: f32) -> f32 {
  let t = abs(x);
  let z = x * x;
  let near = ${horner("z", polynomials.erf, "f")} * x + x;
  let root = ${horner("t", polynomials.erfcRoot, "f")};
  let fourth = (root * root) * (root * root);
  let far = withSign(1.0f - select(fourth * fourth, 0.0f, t > 4.0f), x);
  return select(select(far, near, t < 1.0f), x, isNaN(x));
}`,
    "isNaN",
    "withSign",
  ),
  /** As IEEE's. The exponent of the result is added up from exact parts, so that large powers keep their accuracy. */
  powOf: helper(
    `
fn powOf(a: f32, b: f32) -> f32 {
  if (b == 0.0f || a == 1.0f) { return 1.0f; }
  if (isNaN(a) || isNaN(b)) { return notANumber(); }
  let size = abs(b);
  let whole = size >= 16777216.0f || floor(b) == b;
  let odd = size < 16777216.0f && whole && (i32(b) & 1) != 0;
  let negative = (bitcast<u32>(a) >> 31u) != 0u;
  let base = abs(a);
  var y = 0.0f;
  if (!isFinite(b)) {
    if (base == 1.0f) { return 1.0f; }
    y = select(0.0f, infinity(), (base > 1.0f) == (b > 0.0f));
  } else if (base == 0.0f || !isFinite(base)) {
    y = select(0.0f, infinity(), (base == 0.0f) == (b < 0.0f));
  } else {
    if (negative && !whole) { return notANumber(); }
    let parts = partsOf(base);
    let high = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
    let first = high * parts.e;
    let rest = (b - high) * parts.e + b * (log1pNear(parts.m) * 1.44269504088896341f);
    let sum = first + rest;
    if (sum > 129.0f) {
      y = infinity();
    } else if (sum >= -151.0f) {
      let n = round(first);
      let remainder = (first - n) + rest;
      let k = round(remainder);
      y = scaled(1.0f + expm1Near((remainder - k) * 0.693147180559945f), i32(n) + i32(k));
    }
  }
  return select(y, negated(y), negative && odd);
}`,
    "isNaN",
    "isFinite",
    "special",
    "Parts",
    "log1pNear",
    "expm1Near",
    "scaled",
    "negated",
  ),
};

/** The text of these helpers and of all that they call, each once, callees first. */
export function libraryOf(names: Iterable<string>): string {
  const seen = new Set<string>();
  const text: string[] = [];
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const { uses, code } = helpers[name];
    for (const used of uses) visit(used);
    text.push(code);
  };
  for (const name of names) visit(name);
  return text.join("\n");
}

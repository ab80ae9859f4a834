/** The circular functions in WGSL, and their inverses: a part of the library. */
import { horner, polynomials } from "../loops/polynomials.js";
import { type Helper, helper } from "./helper.js";

const sinPoly = horner("z", polynomials.sin, "f");
const cosPoly = horner("z", polynomials.cos, "f");

export const circular: Readonly<Record<string, Helper>> = {
  Quadrant: helper(
    `
struct Reduced { r: f32, quadrant: i32 }
fn mulHigh(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let low = al * bl;
  let middle = ah * bl + (low >> 16u);
  let cross = al * bh + (middle & 0xffffu);
  return ah * bh + (middle >> 16u) + (cross >> 16u);
}
fn reduced(x: f32) -> Reduced {
  if (abs(x) < 4000.0f) {
    let n = round(x * 0.63661977f);
    let r = ((x - n * 1.5703125f) - n * 4.837512969970703125e-4f) - n * 7.54978995489188e-8f;
    return Reduced(r, i32(n));
  }
  var table = array<u32, 7>(0x00000000u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u);
  let bits = bitcast<u32>(x);
  let mantissa = ((bits & 0x007fffffu) | 0x00800000u) << 8u;
  let e = ((bits >> 23u) & 0xffu) - 126u;
  let i = e >> 5u;
  let s = e & 31u;
  var high = table[i];
  var middle = table[i + 1u];
  var low = table[i + 2u];
  if (s != 0u) {
    high = (high << s) | (middle >> (32u - s));
    middle = (middle << s) | (low >> (32u - s));
    low = (low << s) | (table[i + 3u] >> (32u - s));
  }
  var p0 = mantissa * middle;
  let carry = mulHigh(mantissa, low);
  p0 += carry;
  var p1 = mantissa * high + mulHigh(mantissa, middle) + select(0u, 1u, p0 < carry);
  var quadrant = i32(p1 >> 30u);
  p1 = p1 & 0x3fffffffu;
  var negative = false;
  if ((p1 & 0x20000000u) != 0u) {
    quadrant += 1;
    negative = true;
    p1 = 0x40000000u - p1;
    if (p0 != 0u) { p1 -= 1u; }
    p0 = ~p0 + 1u;
  }
  var r = (f32(p1) * 4294967296.0f + f32(p0)) * 3.4061215800e-19f;
  if (negative) { r = -r; }
  if (x < 0.0f) { return Reduced(-r, -quadrant); }
  return Reduced(r, quadrant);
}
fn sinNear(x: f32) -> f32 {
  let z = x * x;
  return ${sinPoly} * (z * x) + x;
}
fn cosNear(x: f32) -> f32 {
  let z = x * x;
  return 1.0f - (0.5f * z - ${cosPoly} * (z * z));
}`,
  ),
  sinOf: helper(
    `
fn sinOf(x: f32) -> f32 {
  if (!isFinite(x)) { return notANumber(); }
  let a = reduced(x);
  var y = sinNear(a.r);
  if ((a.quadrant & 1) != 0) { y = cosNear(a.r); }
  return select(y, -y, (a.quadrant & 2) != 0);
}`,
    "isFinite",
    "special",
    "Quadrant",
  ),
  cosOf: helper(
    `
fn cosOf(x: f32) -> f32 {
  if (!isFinite(x)) { return notANumber(); }
  let a = reduced(x);
  var y = cosNear(a.r);
  if ((a.quadrant & 1) != 0) { y = sinNear(a.r); }
  return select(y, -y, ((a.quadrant + 1) & 2) != 0);
}`,
    "isFinite",
    "special",
    "Quadrant",
  ),
  tanOf: helper(
    `
fn tanOf(x: f32) -> f32 {
  if (!isFinite(x)) { return notANumber(); }
  let a = reduced(x);
  let s = sinNear(a.r);
  let c = cosNear(a.r);
  if ((a.quadrant & 1) != 0) { return -c / s; }
  return s / c;
}`,
    "isFinite",
    "special",
    "Quadrant",
  ),
  asinNear: helper(`
fn asinNear(x: f32) -> f32 {
  let z = x * x;
  return ${horner("z", polynomials.asin, "f")} * (z * x) + x;
}`),
  asinOf: helper(
    `
fn asinOf(x: f32) -> f32 {
  let a = abs(x);
  if (!(a <= 1.0f)) { return notANumber(); }
  if (a <= 0.5f) { return asinNear(x); }
  return withSign(1.57079633f - 2.0f * asinNear(sqrt(0.5f * (1.0f - a))), x);
}`,
    "special",
    "asinNear",
    "withSign",
  ),
  acosOf: helper(
    `
fn acosOf(x: f32) -> f32 {
  let a = abs(x);
  if (!(a <= 1.0f)) { return notANumber(); }
  if (a <= 0.5f) { return 1.57079633f - asinNear(x); }
  let y = 2.0f * asinNear(sqrt(0.5f * (1.0f - a)));
  return select(y, 3.14159265f - y, x < 0.0f);
}`,
    "special",
    "asinNear",
  ),
  atanOf: helper(
    `
fn atanOf(x: f32) -> f32 {
  if (isNaN(x)) { return x; }
  var a = abs(x);
  var base = 0.0f;
  if (a > 2.41421356f) {
    base = 1.57079633f;
    a = -1.0f / a;
  } else if (a > 0.41421356f) {
    base = 0.785398163f;
    a = (a - 1.0f) / (a + 1.0f);
  }
  let z = a * a;
  let y = ${horner("z", polynomials.atan, "f")} * (z * a) + a;
  return withSign(base + y, x);
}`,
    "isNaN",
    "withSign",
  ),
};

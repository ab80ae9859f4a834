/*
 * erf after fdlibm's s_erf.c, whose notice reads:
 * Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
 * Developed at SunPro, a Sun Microsystems, Inc. business.
 * Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice is preserved.
 */

import { evaluate } from "./scalar.js";

/** Horner's rule, coefficients from the constant upwards. */
function polynomial(x: number, coefficients: readonly number[]): number {
  let sum = 0;
  for (let i = coefficients.length - 1; i >= 0; i--) sum = sum * x + coefficients[i];
  return sum;
}

// |x| < 0.84375: erf(x) = x + x·P(x²)/Q(x²)
const nearP = [
  1.28379167095512558561e-1, -3.2504210724700149937e-1, -2.84817495755985104766e-2, -5.77027029648944159157e-3, -2.37630166566501626084e-5,
];
const nearQ = [
  1, 3.97917223959155352819e-1, 6.50222499887672944485e-2, 5.08130628187576562776e-3, 1.32494738004321644526e-4, -3.9602282787753681232e-6,
];

// |x| < 1.25: erf(x) = c + P(|x| − 1)/Q(|x| − 1)
const middle = 8.45062911510467529297e-1;
const middleP = [
  -2.36211856075265944077e-3, 4.14856118683748331666e-1, -3.72207876035701323847e-1, 3.18346619901161753674e-1, -1.10894694282396677476e-1,
  3.54783043256182359371e-2, -2.166375594868790843e-3,
];
const middleQ = [
  1, 1.06420880400844228286e-1, 5.40397917702171048937e-1, 7.18286544141962662868e-2, 1.26171219808761642112e-1, 1.36370839120290507362e-2,
  1.1984499846799107417e-2,
];

// |x| < 1/0.35: erfc(x) = e^(−x² − 0.5625 + P(1/x²)/Q(1/x²)) / x
const farP = [
  -9.86494403484714822705e-3, -6.93858572707181764372e-1, -1.05586262253232909814e1, -6.23753324503260060396e1, -1.62396669462573470355e2,
  -1.84605092906711035994e2, -8.12874355063065934246e1, -9.81432934416914548592,
];
const farQ = [
  1, 1.96512716674392571292e1, 1.376577541435190426e2, 4.34565877475229228821e2, 6.45387271733267880336e2, 4.29008140027567833386e2,
  1.08635005541779435134e2, 6.57024977031928170135, -6.04244152148580987438e-2,
];

// |x| < 6, same form
const tailP = [
  -9.86494292470009928597e-3, -7.99283237680523006574e-1, -1.77579549177547519889e1, -1.60636384855821916062e2, -6.37566443368389627722e2,
  -1.02509513161107724954e3, -4.83519191608651397019e2,
];
const tailQ = [
  1, 3.03380607434824582924e1, 3.25792512996573918826e2, 1.53672958608443695994e3, 3.19985821950859553908e3, 2.55305040643316442583e3,
  4.74528541206955367215e2, -2.24409524465858183362e1,
];

/** What {@link erf} is made of, for those who print it in another language. */
export const erfParts = { nearP, nearQ, middle, middleP, middleQ, farP, farQ, tailP, tailQ, slope: 1.28379167095512586316e-1 } as const;

/** The error function to about one ulp of a double. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (!(a < 6)) return Number.isNaN(x) ? x : Math.sign(x);
  if (a < 2 ** -28) return x + x * erfParts.slope; // keeps −0
  if (a < 0.84375) return x + x * (polynomial(x * x, nearP) / polynomial(x * x, nearQ));
  if (a < 1.25) return Math.sign(x) * (middle + polynomial(a - 1, middleP) / polynomial(a - 1, middleQ));
  const s = 1 / (x * x);
  const ratio = a < 1 / 0.35 ? polynomial(s, farP) / polynomial(s, farQ) : polynomial(s, tailP) / polynomial(s, tailQ);
  const z = Math.fround(a); // z·z is exact, so that the large exponent loses no bits
  const complement = (Math.exp(-z * z - 0.5625) * Math.exp((z - a) * (z + a) + ratio)) / a;
  return Math.sign(x) * (1 - complement);
}

/** Any scalar function of already evaluated arguments, erf included. */
export const evaluateFn: typeof evaluate = (fn, args, ...dtypes) => (fn === "erf" ? erf(args[0]) : evaluate(fn, args, ...dtypes));

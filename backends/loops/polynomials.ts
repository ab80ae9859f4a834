/**
 * Coefficients of the polynomials that backends print in single precision, from the highest power down to the constant: those of the Cephes
 * library (S. L. Moshier), and of erf our own. What each is multiplied with stands where it is printed.
 */
export const polynomials = {
  exp: [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1],
  log: [
    7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
    -2.4999993993e-1, 3.3333331174e-1,
  ],
  sin: [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1],
  cos: [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2],
  asin: [4.2163199048e-2, 2.4181311049e-2, 4.5470025998e-2, 7.4953002686e-2, 1.6666752422e-1],
  atan: [8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1],
  sinh: [2.03721912945e-4, 8.33028376239e-3, 1.66667160211e-1],
  tanh: [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1],
  /** erf(x) / x − 1 in x², for |x| < 1. */
  erf: [-5.63143038e-4, 4.91755319e-3, -2.67113126e-2, 1.12801802e-1, -3.76123262e-1, 1.28379122e-1],
  /** The eighth root of 1 − erf(x), for x from 1 to 4. */
  erfcRoot: [1.49848424e-4, -2.46972224e-3, 1.29258269e-2, -1.13734831e-2, -6.14264336e-2, -1.45060539e-1, 1.0008347],
} as const;

/** A polynomial in `x` as text; `suffix` says the type of a literal. */
export const horner = (x: string, [first, ...rest]: readonly number[], suffix = ""): string =>
  rest.reduce((sum, c) => `(${sum} * ${x} + ${c}${suffix})`, `${first}${suffix}`);

/**
 * Fourier transforms of one line in double precision: `fft.js` for powers of two, a mixed-radix Stockham transform for other products
 * of small primes, and Bluestein's convolution where a prime factor is large. Complex lines are interleaved: [re, im, re, im, …].
 */
import FFT from "fft.js";

/** Transforms `input` (2n values) into `output` (2n values), sign −1, unnormalised. The two are different arrays; `input` may be spoilt. */
export type LineTransform = (output: Float64Array, input: Float64Array) => void;

/** A prime factor up to this is summed directly; beyond it n² costs more than three transforms of the next power of two. */
const largestDirectFactor = 31;

export function complexTransform(n: number): LineTransform {
  if (n === 1) {
    return (output, input) => {
      output[0] = input[0];
      output[1] = input[1];
    };
  }
  if ((n & (n - 1)) === 0) {
    const fft = new FFT(n);
    return (output, input) => fft.transform(output, input);
  }
  const radices = factors(n);
  return Math.max(...radices) > largestDirectFactor ? bluestein(n) : mixedRadix(n, radices);
}

/** Fours first, as one pass of radix 4 does the work of two of radix 2; then primes ascending. */
export function factors(n: number): number[] {
  const found: number[] = [];
  let rest = n;
  while (rest % 4 === 0) {
    found.push(4);
    rest /= 4;
  }
  for (let prime = 2; rest > 1; prime++) {
    while (rest % prime === 0) {
      found.push(prime);
      rest /= prime;
    }
  }
  return found;
}

/** e^(−2πi k/n) for k < n, the angle reduced to the first octant so that symmetric twiddles are exactly symmetric. */
export function rootsOfUnity(n: number): Float64Array {
  const roots = new Float64Array(2 * n);
  for (let k = 0; k < n; k++) {
    const eighth = Math.floor((8 * k) / n);
    const quarter = (eighth + 1) >> 1;
    const angle = (2 * Math.PI * (k - (quarter * n) / 4)) / n;
    const c = Math.cos(angle);
    const s = Math.sin(angle);
    const [re, im] = [
      [c, s],
      [-s, c],
      [-c, -s],
      [s, -c],
    ][quarter & 3];
    roots[2 * k] = re;
    roots[2 * k + 1] = -im;
  }
  return roots;
}

/**
 * Stockham's self-sorting transform: pass by pass, `radix` sub-spectra of length `done` are merged into one of length `done · radix`.
 * With p = done, q = n / (p·radix): out[(j·q' …)] is written in order, so no digit reversal is needed.
 */
function mixedRadix(n: number, radices: readonly number[]): LineTransform {
  const roots = rootsOfUnity(n);
  const scratch = new Float64Array(2 * n);
  const passes = radices.map((radix) => ({ radix, smallRoots: rootsOfUnity(radix), terms: new Float64Array(2 * radix) }));
  return (output, input) => {
    let from = input;
    // The last pass must write to `output`: with an odd number of passes begin there, else with the scratch line.
    let to = passes.length % 2 === 1 ? output : scratch;
    let done = 1;
    for (const { radix, smallRoots, terms } of passes) {
      mergePass(n, done, radix, roots, smallRoots, terms, from, to);
      done *= radix;
      from = to;
      to = to === output ? scratch : output;
    }
  };
}

/** from[(s + r·groups)·done + k] is bin k of sub-spectrum (s, r); bins k + done·j of spectrum s go to to[s·done·radix + …]. */
function mergePass(
  n: number,
  done: number,
  radix: number,
  roots: Float64Array,
  smallRoots: Float64Array,
  terms: Float64Array,
  from: Float64Array,
  to: Float64Array,
): void {
  const groups = n / (done * radix);
  for (let s = 0; s < groups; s++) {
    for (let k = 0; k < done; k++) {
      for (let r = 0; r < radix; r++) {
        const at = 2 * ((s + r * groups) * done + k);
        const twiddle = 2 * (r * k * groups);
        const c = roots[twiddle];
        const d = roots[twiddle + 1];
        terms[2 * r] = from[at] * c - from[at + 1] * d;
        terms[2 * r + 1] = from[at] * d + from[at + 1] * c;
      }
      const base = 2 * (s * done * radix + k);
      if (radix === 2) butterfly2(to, base, done, terms);
      else if (radix === 4) butterfly4(to, base, done, terms);
      else butterfly(to, base, done, terms, radix, smallRoots);
    }
  }
}

function butterfly2(to: Float64Array, base: number, done: number, t: Float64Array): void {
  to[base] = t[0] + t[2];
  to[base + 1] = t[1] + t[3];
  to[base + 2 * done] = t[0] - t[2];
  to[base + 2 * done + 1] = t[1] - t[3];
}

function butterfly4(to: Float64Array, base: number, done: number, t: Float64Array): void {
  const sumRe = t[0] + t[4];
  const sumIm = t[1] + t[5];
  const differenceRe = t[0] - t[4];
  const differenceIm = t[1] - t[5];
  const oddSumRe = t[2] + t[6];
  const oddSumIm = t[3] + t[7];
  const oddDifferenceRe = t[2] - t[6];
  const oddDifferenceIm = t[3] - t[7];
  const step = 2 * done;
  to[base] = sumRe + oddSumRe;
  to[base + 1] = sumIm + oddSumIm;
  to[base + step] = differenceRe + oddDifferenceIm;
  to[base + step + 1] = differenceIm - oddDifferenceRe;
  to[base + 2 * step] = sumRe - oddSumRe;
  to[base + 2 * step + 1] = sumIm - oddSumIm;
  to[base + 3 * step] = differenceRe - oddDifferenceIm;
  to[base + 3 * step + 1] = differenceIm + oddDifferenceRe;
}

/** Odd radices (3, 5, 7, and whatever small prime comes): terms j and radix − j are conjugate partners, which halves the products. */
function butterfly(to: Float64Array, base: number, done: number, t: Float64Array, radix: number, roots: Float64Array): void {
  let totalRe = t[0];
  let totalIm = t[1];
  for (let r = 1; r < radix; r++) {
    totalRe += t[2 * r];
    totalIm += t[2 * r + 1];
  }
  to[base] = totalRe;
  to[base + 1] = totalIm;
  const half = (radix - 1) / 2;
  for (let j = 1; j <= half; j++) {
    let evenRe = t[0];
    let evenIm = t[1];
    let oddRe = 0;
    let oddIm = 0;
    for (let r = 1; r <= half; r++) {
      const c = roots[2 * ((j * r) % radix)];
      const d = roots[2 * ((j * r) % radix) + 1];
      const mirror = radix - r;
      evenRe += c * (t[2 * r] + t[2 * mirror]);
      evenIm += c * (t[2 * r + 1] + t[2 * mirror + 1]);
      oddRe -= d * (t[2 * r + 1] - t[2 * mirror + 1]);
      oddIm += d * (t[2 * r] - t[2 * mirror]);
    }
    const at = base + 2 * done * j;
    to[at] = evenRe + oddRe;
    to[at + 1] = evenIm + oddIm;
    const mirrored = base + 2 * done * (radix - j);
    to[mirrored] = evenRe - oddRe;
    to[mirrored + 1] = evenIm - oddIm;
  }
}

/** jk = (j² + k² − (k − j)²) / 2 turns the transform into a convolution with a chirp, done by transforms of a power of two ≥ 2n − 1. */
function bluestein(n: number): LineTransform {
  let size = 2;
  while (size < 2 * n - 1) size *= 2;
  const transform = complexTransform(size);
  // e^(−πi k²/n); k² is reduced modulo 2n, else the angle of a long line loses its digits.
  const roots = rootsOfUnity(2 * n);
  const chirp = new Float64Array(2 * n);
  for (let k = 0; k < n; k++) {
    const square = (k * k) % (2 * n);
    chirp[2 * k] = roots[2 * square];
    chirp[2 * k + 1] = roots[2 * square + 1];
  }
  const line = new Float64Array(2 * size);
  const spectrum = new Float64Array(2 * size);
  const filter = new Float64Array(2 * size);
  for (let k = 0; k < n; k++) {
    for (const at of [k, (size - k) % size]) {
      line[2 * at] = chirp[2 * k];
      line[2 * at + 1] = -chirp[2 * k + 1];
    }
  }
  transform(filter, line);
  return (output, input) => {
    line.fill(0);
    multiply(line, input, chirp, n);
    transform(spectrum, line);
    multiply(spectrum, spectrum, filter, size);
    // The inverse is the forward transform with real and imaginary parts swapped on both sides, over the length.
    swapParts(spectrum, size);
    transform(line, spectrum);
    swapParts(line, n);
    for (let at = 0; at < 2 * n; at++) line[at] /= size;
    multiply(output, line, chirp, n);
  };
}

function multiply(output: Float64Array, a: Float64Array, b: Float64Array, count: number): void {
  for (let at = 0; at < 2 * count; at += 2) {
    const re = a[at] * b[at] - a[at + 1] * b[at + 1];
    output[at + 1] = a[at] * b[at + 1] + a[at + 1] * b[at];
    output[at] = re;
  }
}

export function swapParts(line: Float64Array, count: number): void {
  for (let at = 0; at < 2 * count; at += 2) {
    const re = line[at];
    line[at] = line[at + 1];
    line[at + 1] = re;
  }
}

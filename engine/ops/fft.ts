/**
 * Discrete Fourier transforms along the last dim, unnormalised. Complex numbers are pairs in a further dim of size 2.
 *
 * Each gradient is another transform, as the matrix of the transform is symmetric: with g = (∂L/∂re, ∂L/∂im) read as a complex number it
 * is the conjugate transform of g. `rfft` and `irfft` see half of a symmetric spectrum, so the bins that stand for two are weighed.
 */
import { type DType, hostArray, isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import { mul } from "../functional/elementwise.js";
import { matmul } from "../functional/linalg.js";
import { reshape } from "../functional/movement.js";
import { numel, type Shape, showShape } from "../shape.js";
import { apply, fromHost, type Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { eq, logicalOr, where } from "./elementwise-logic.js";
import { iota } from "./leaf.js";
import { defineOp, type Spec } from "./record.js";

/** Bins of the spectrum of a real line of length n that do not follow from the others. */
export const halfLength = (n: number): number => Math.floor(n / 2) + 1;

/** Throws unless the input is of floats and ends in `line`; gives what is before. */
function outerShape(op: string, { shape, dtype }: Spec, line: Shape): Shape {
  if (!isFloating(dtype)) throw new OpError(op, `the input has dtype ${dtype}; expected float32 or float64`);
  const outer = shape.slice(0, shape.length - line.length);
  if (shape.length < line.length || line.some((size, i) => size !== shape[outer.length + i])) {
    throw new OpError(op, `expected an input that ends in ${showShape(line)}; got ${showShape(shape)}`);
  }
  return outer;
}

/** The lines of `x` times a matrix [numbers in, numbers out], whose entries `fill` gives for (in, out). */
function timesMatrix(x: Tensor, lineIn: Shape, lineOut: Shape, fill: (from: number, to: number) => number): Tensor {
  const outer = x.shape.slice(0, x.ndim - lineIn.length);
  const [rows, columns] = [lineIn, lineOut].map(numel);
  const values = hostArray(x.dtype, rows * columns);
  for (let i = 0; i < values.length; i++) values[i] = fill(Math.floor(i / columns), i % columns);
  const matrix = fromHost(values, [rows, columns], x.dtype, x.device);
  return reshape(matmul(reshape(x, [...outer, rows]), matrix), [...outer, ...lineOut]);
}

/** cos or sin of 2π jk/n; the product is reduced first, as the angle of a long line would lose its digits. */
const cosine = (n: number, j: number, k: number): number => Math.cos((2 * Math.PI * ((j * k) % n)) / n);
const sine = (n: number, j: number, k: number): number => Math.sin((2 * Math.PI * ((j * k) % n)) / n);

/** How many bins of the full spectrum one of the half stands for. */
const share = (n: number, k: number): number => (k === 0 || 2 * k === n ? 1 : 2);

/** A tensor [bins, 2] of factors: `single` for the real parts of the bins 0 and n/2, 0 for their imaginary parts, `double` for the others. */
function binFactors(n: number, single: number, double: number, like: Tensor): Tensor {
  const shape = [halfLength(n), 2];
  const bin = iota(shape, 0, like.device);
  const alone = n % 2 === 0 ? logicalOr(eq(bin, 0), eq(bin, n / 2)) : eq(bin, 0);
  const real = eq(iota(shape, 1, like.device), 0);
  return cast(where(alone, where(real, single, 0), double), like.dtype);
}

export const fftOp = defineOp<{ readonly n: number; readonly sign: -1 | 1 }>({
  name: "fft",
  doc: "X_k = Σ_j x_j e^(sign · 2πi jk/n) along the last signal dim, unnormalised: [..., n, 2] → [..., n, 2].",
  reference: "torch.fft.fft",
  infer: ([x], { n }) => ({ shape: [...outerShape("fft", x, [n, 2]), n, 2], dtype: x.dtype }),
  lower: {
    kind: "line",
    template: ({ n, sign }) => ({ name: "fft", n, sign }),
    lineDimsIn: 2,
    lineDimsOut: 2,
    slow: ([x], { n, sign }) =>
      timesMatrix(x, [n, 2], [n, 2], (from, to) => {
        const [j, k] = [from >> 1, to >> 1];
        if (from % 2 === to % 2) return cosine(n, j, k);
        return (from % 2 === 0 ? 1 : -1) * sign * sine(n, j, k);
      }),
  },
  grad: ({ grad, attrs: { n, sign } }) => [fftLine(grad, n, sign === 1 ? -1 : 1)],
  samples: [1, 2, 3, 7, 8, 12].map((n) => ({ shapes: [[2, n, 2]], attrs: { n, sign: n % 2 === 0 ? -1 : 1 } })),
  cost: 8,
});

export const rfftOp = defineOp<{ readonly n: number }>({
  name: "rfft",
  doc: "The first ⌊n/2⌋ + 1 bins of X_k = Σ_j x_j e^(−2πi jk/n) for real x, unnormalised: [..., n] → [..., ⌊n/2⌋ + 1, 2].",
  reference: "torch.fft.rfft",
  infer: ([x], { n }) => ({ shape: [...outerShape("rfft", x, [n]), halfLength(n), 2], dtype: x.dtype }),
  lower: {
    kind: "line",
    template: ({ n }) => ({ name: "rfft", n }),
    lineDimsIn: 1,
    lineDimsOut: 2,
    slow: ([x], { n }) => timesMatrix(x, [n], [halfLength(n), 2], (j, to) => (to % 2 === 0 ? cosine(n, j, to >> 1) : -sine(n, j, to >> 1))),
  },
  grad: ({ grad, attrs: { n } }) => [irfftLine(mul(grad, binFactors(n, 1, 0.5, grad)), n)],
  samples: [1, 2, 3, 7, 8, 14].map((n) => ({ shapes: [[2, n]], attrs: { n } })),
  cost: 8,
});

export const irfftOp = defineOp<{ readonly n: number }>({
  name: "irfft",
  doc: "x_j = Σ_k X_k e^(2πi jk/n) over the full spectrum that the ⌊n/2⌋ + 1 given bins imply, unnormalised: [..., ⌊n/2⌋ + 1, 2] → [..., n]. The imaginary parts of the bins 0 and n/2 have no effect.",
  reference: "torch.fft.irfft",
  infer: ([x], { n }) => ({ shape: [...outerShape("irfft", x, [halfLength(n), 2]), n], dtype: x.dtype }),
  lower: {
    kind: "line",
    template: ({ n }) => ({ name: "irfft", n }),
    lineDimsIn: 2,
    lineDimsOut: 1,
    slow: ([x], { n }) =>
      timesMatrix(x, [halfLength(n), 2], [n], (from, j) => {
        const k = from >> 1;
        if (from % 2 === 0) return share(n, k) * cosine(n, j, k);
        return share(n, k) === 1 ? 0 : -2 * sine(n, j, k);
      }),
  },
  grad: ({ grad, attrs: { n } }) => [mul(rfftLine(grad, n), binFactors(n, 1, 2, grad))],
  samples: [1, 2, 3, 7, 8, 14].map((n) => ({ shapes: [[2, halfLength(n), 2]], attrs: { n } })),
  cost: 8,
});

/** Complex to complex along the last signal dim. */
export const fftLine = (x: Tensor, n: number, sign: -1 | 1): Tensor => apply(fftOp, [x], { n, sign });
/** Real to half a spectrum. */
export const rfftLine = (x: Tensor, n: number): Tensor => apply(rfftOp, [x], { n });
/** Half a spectrum to real. */
export const irfftLine = (x: Tensor, n: number): Tensor => apply(irfftOp, [x], { n });

/** float32 unless float64: Fourier transforms are never taken in anything shorter. */
export const signalType = (dtype: DType): DType => (dtype === "float64" ? "float64" : "float32");

/**
 * Fourier transforms as in `torch.fft`. A complex tensor is a real one with a last dim of size 2 (real, imaginary part); `dim` counts
 * without it. Always in float32 (float64 stays).
 */
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { fftLine, halfLength, irfftLine, rfftLine, signalType } from "../ops/fft.js";
import { padWith } from "../ops/view.js";
import { normalizeDim, numel, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { mul } from "./elementwise.js";
import { permute, roll } from "./movement.js";

/** Where the factor goes. backward: 1/n on the inverse; ortho: 1/√n on both; forward: 1/n on the forward transform. */
export type FftNorm = "backward" | "ortho" | "forward";

export interface FftOptions {
  /** Length of the transform; the signal is cut or filled up with zeros. Default: its length (for `irfft`: 2 · (bins − 1)). */
  readonly n?: number | null;
  /** Default −1. */
  readonly dim?: number;
  readonly norm?: FftNorm | null;
}

export interface FftNOptions {
  /** As `n`, one a dim. */
  readonly s?: number | readonly number[] | null;
  /** Default: the last two dims (of `fft2` and its kin), else as many as `s` has, else all. */
  readonly dim?: number | readonly number[] | null;
  readonly norm?: FftNorm | null;
}

type Domain = "real" | "complex";
interface Plan {
  readonly op: string;
  readonly input: Domain;
  readonly output: Domain;
  readonly inverse: boolean;
}

const plan = (op: string, input: Domain, output: Domain, inverse: boolean): Plan => ({ op, input, output, inverse });

/** Complex to complex. */
export const fft = (input: Tensor, options: FftOptions = {}): Tensor => along(plan("fft", "complex", "complex", false), input, options);

/** Complex to complex along one dim, the last by default: the inverse of `fft`. Reference: torch.fft.ifft. */
export const ifft = (input: Tensor, options: FftOptions = {}): Tensor => along(plan("ifft", "complex", "complex", true), input, options);
/** Real to the first ⌊n/2⌋ + 1 bins. */
export const rfft = (input: Tensor, options: FftOptions = {}): Tensor => along(plan("rfft", "real", "complex", false), input, options);
/** The first ⌊n/2⌋ + 1 bins to real. */
export const irfft = (input: Tensor, options: FftOptions = {}): Tensor => along(plan("irfft", "complex", "real", true), input, options);

const lastTwo = [-2, -1];

/** Complex to complex over two dims, the last two by default. Reference: torch.fft.fft2. */
export const fft2 = (input: Tensor, options: FftNOptions = {}): Tensor =>
  over(plan("fft2", "complex", "complex", false), input, options, lastTwo);

/** The inverse of `fft2`. Reference: torch.fft.ifft2. */
export const ifft2 = (input: Tensor, options: FftNOptions = {}): Tensor =>
  over(plan("ifft2", "complex", "complex", true), input, options, lastTwo);
/** Real to half a spectrum, which is halved along the last of the dims. */
export const rfft2 = (input: Tensor, options: FftNOptions = {}): Tensor =>
  over(plan("rfft2", "real", "complex", false), input, options, lastTwo);

/** The inverse of `rfft2`: half a spectrum to real. Reference: torch.fft.irfft2. */
export const irfft2 = (input: Tensor, options: FftNOptions = {}): Tensor =>
  over(plan("irfft2", "complex", "real", true), input, options, lastTwo);

/** Complex to complex over several dims, all by default. Reference: torch.fft.fftn. */
export const fftn = (input: Tensor, options: FftNOptions = {}): Tensor =>
  over(plan("fftn", "complex", "complex", false), input, options, null);

/** The inverse of `fftn`. Reference: torch.fft.ifftn. */
export const ifftn = (input: Tensor, options: FftNOptions = {}): Tensor =>
  over(plan("ifftn", "complex", "complex", true), input, options, null);

/** Real to half a spectrum over several dims, all by default; the last of them is halved. Reference: torch.fft.rfftn. */
export const rfftn = (input: Tensor, options: FftNOptions = {}): Tensor =>
  over(plan("rfftn", "real", "complex", false), input, options, null);

/** The inverse of `rfftn`: half a spectrum to real. Reference: torch.fft.irfftn. */
export const irfftn = (input: Tensor, options: FftNOptions = {}): Tensor =>
  over(plan("irfftn", "complex", "real", true), input, options, null);

function along(transform: Plan, input: Tensor, options: FftOptions): Tensor {
  checkOptions(transform.op, options, ["n", "dim", "norm"]);
  const { n = null, dim = -1, norm = null } = options;
  return run(transform, input, n === null ? null : [n], [dim], norm);
}

function over(transform: Plan, input: Tensor, options: FftNOptions, defaultDims: readonly number[] | null): Tensor {
  checkOptions(transform.op, options, ["s", "dim", "norm"]);
  const { s = null, dim = null, norm = null } = options;
  const list = (value: number | readonly number[] | null): readonly number[] | null => (typeof value === "number" ? [value] : value);
  return run(transform, input, list(s), list(dim) ?? defaultDims, norm);
}

function run(
  { op, input: from, output: to, inverse }: Plan,
  input: Tensor,
  s: readonly number[] | null,
  dim: readonly number[] | null,
  norm: FftNorm | null,
): Tensor {
  checkTensor(op, input);
  if (from === "complex" && (input.ndim === 0 || input.size(-1) !== 2)) {
    throw new OpError(
      op,
      `a complex tensor ends in a dim of size 2 (real, imaginary part); got ${showShape(input.shape)}; use complex(re, im)`,
    );
  }
  const rank = input.ndim - (from === "complex" ? 1 : 0);
  const dims = transformDims(op, s, dim, rank);
  if (dims.length === 0) throw new OpError(op, `a tensor of shape ${showShape(input.shape)} has no dim to transform along`);
  const sizes = dims.map((d, i) => {
    const given = s?.[i] ?? -1;
    const size = given !== -1 ? given : to === "real" && i === dims.length - 1 ? 2 * (input.shape[d] - 1) : input.shape[d];
    if (!Number.isInteger(size) || size < 1)
      throw new OpError(
        op,
        `the transform along dim ${d} would have ${size} points; expected 1 or more${to === "real" ? "; give their number with n or s" : ""}`,
      );
    return size;
  });
  let x = cast(input, signalType(input.dtype));
  const last = dims.length - 1;
  // The half spectrum is in the last of the dims: it is made first, and undone last.
  if (from === "real") x = line(x, dims[last], sizes[last], rank, "rfft");
  for (let i = 0; i < dims.length; i++) {
    if ((from === "complex" && to === "complex") || i !== last) x = line(x, dims[i], sizes[i], rank, inverse ? "ifft" : "fft");
  }
  if (to === "real") x = line(x, dims[last], sizes[last], rank, "irfft");
  const factor = scale(op, norm, inverse, numel(sizes));
  return factor === 1 ? x : mul(x, factor);
}

function transformDims(op: string, s: readonly number[] | null, dim: readonly number[] | null, rank: number): number[] {
  if (dim !== null && s !== null && dim.length !== s.length) {
    throw new OpError(op, `s ${showShape(s)} and dim ${showShape(dim)} differ in length; give one size a dim`);
  }
  if (dim === null && s !== null && s.length > rank)
    throw new OpError(op, `s ${showShape(s)} has more sizes than the input has dims, ${rank}`);
  const count = s?.length ?? rank;
  const dims = dim === null ? Array.from({ length: count }, (_, i) => rank - count + i) : dim.map((d) => normalizeDim(op, d, rank));
  if (new Set(dims).size !== dims.length) throw new OpError(op, `dim ${showShape(dim ?? dims)} names a dimension twice`);
  return dims.filter((d) => d < rank);
}

function scale(op: string, norm: FftNorm | null, inverse: boolean, n: number): number {
  switch (norm ?? "backward") {
    case "backward":
      return inverse ? 1 / n : 1;
    case "ortho":
      return 1 / Math.sqrt(n);
    case "forward":
      return inverse ? 1 : 1 / n;
    default:
      throw new OpError(op, `norm is "${norm}"; expected "backward", "ortho" or "forward"`);
  }
}

/** One transform along signal dim `dim`, by way of the last one. */
function line(x: Tensor, dim: number, n: number, rank: number, kind: "fft" | "ifft" | "rfft" | "irfft"): Tensor {
  const moved = dim === rank - 1 ? x : permute(x, swapped(x.ndim, dim, rank - 1));
  const wanted = kind === "irfft" ? halfLength(n) : n;
  const after = moved.shape.map((size, d) => (d === rank - 1 ? wanted - size : 0));
  const fitted = padWith(
    moved,
    after.map(() => 0),
    after,
    0,
  );
  const out = kind === "rfft" ? rfftLine(fitted, n) : kind === "irfft" ? irfftLine(fitted, n) : fftLine(fitted, n, kind === "fft" ? -1 : 1);
  return dim === rank - 1 ? out : permute(out, swapped(out.ndim, dim, rank - 1));
}

function swapped(ndim: number, a: number, b: number): number[] {
  return Array.from({ length: ndim }, (_, i) => (i === a ? b : i === b ? a : i));
}

export interface ShiftOptions {
  /** Default: all dims. */
  readonly dim?: number | readonly number[] | null;
  /** Whether the last dim holds real and imaginary parts and does not count. Default false. */
  readonly complex?: boolean;
}

/** Moves the bin of frequency 0 from the front to the middle. */
export const fftshift = (input: Tensor, options: ShiftOptions = {}): Tensor => shift("fftshift", input, options, (n) => Math.floor(n / 2));
/** Undoes `fftshift`. */
export const ifftshift = (input: Tensor, options: ShiftOptions = {}): Tensor => shift("ifftshift", input, options, (n) => Math.ceil(n / 2));

function shift(op: string, input: Tensor, options: ShiftOptions, by: (n: number) => number): Tensor {
  checkTensor(op, input);
  checkOptions(op, options, ["dim", "complex"]);
  const rank = input.ndim - (options.complex ? 1 : 0);
  const asked = options.dim ?? Array.from({ length: rank }, (_, i) => i);
  const dims = (typeof asked === "number" ? [asked] : asked).map((d) => normalizeDim(op, d, rank)).filter((d) => d < rank);
  return dims.length === 0
    ? input
    : roll(
        input,
        dims.map((d) => by(input.shape[d])),
        { dims },
      );
}

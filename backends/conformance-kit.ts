/** What the cases of the conformance suite are made with: kernels in few words, data, a run on a backend, a comparison. */
import { type DType, hostArray, isFloating, type TypedArray } from "../engine/dtype.js";
import { interpretKernel } from "../engine/kernel/interpret.js";
import type { AnyKernel, Axis, BufferSpec, Combine, Expr, LoopKernel, Stage, Store, Structure } from "../engine/kernel/ir.js";
import { ExprPool } from "../engine/kernel/simplify.js";
import { verifyKernel } from "../engine/kernel/verify.js";
import type { Backend } from "./backend.js";

/** One test of a backend. Fails by throwing. */
export interface Case {
  readonly name: string;
  readonly run: (backend: Backend) => Promise<void>;
}

/** |got − want| ≤ absolute + relative · |want|. */
export interface Tolerance {
  readonly relative: number;
  readonly absolute: number;
}

export const exact: Tolerance = { relative: 0, absolute: 0 };

/** A few rounding errors of the dtype: backends may round where the interpreter does not, and add in another width. */
export function defaultTolerance(dtype: DType): Tolerance {
  if (dtype === "float32") return { relative: 1e-5, absolute: 1e-6 };
  return dtype === "float64" ? { relative: 1e-12, absolute: 1e-13 } : exact;
}

type Index = Axis | Expr;

/** Makes a kernel step by step. */
export class Builder {
  readonly pool = new ExprPool();
  readonly buffers: BufferSpec[] = [];
  private readonly stages: Stage[] = [];
  private readonly stores: Store[] = [];

  axis(name: string, size: number): Axis {
    return this.pool.newAxis(name, size);
  }

  /** The number of a new buffer. */
  buffer(dtype: DType, length: number, access: BufferSpec["access"] = "read"): number {
    this.buffers.push({ dtype, length, access });
    return this.buffers.length - 1;
  }

  expr(index: Index): Expr {
    return "op" in index ? index : this.pool.axis(index);
  }

  /** Row-major place of an index in an array of this shape. */
  at(indices: readonly Index[], shape: readonly number[]): Expr {
    const { pool } = this;
    return indices.reduce<Expr>((sum, index, i) => pool.add(pool.mul(sum, pool.int(shape[i])), this.expr(index)), pool.int(0));
  }

  load(buffer: number, index: Index, guard: Expr | null = null): Expr {
    return this.pool.load(buffer, this.expr(index), this.buffers[buffer].dtype, guard);
  }

  /** Declares an array and gives its element. */
  read(dtype: DType, indices: readonly Index[], shape: readonly number[], guard: Expr | null = null): Expr {
    const buffer = this.buffer(
      dtype,
      shape.reduce((product, size) => product * size, 1),
    );
    return this.load(buffer, this.at(indices, shape), guard);
  }

  float(value: number, dtype: DType = "float32"): Expr {
    return this.pool.const(value, dtype);
  }

  /** 0 ≤ e < size. */
  within(e: Expr, size: number): Expr {
    return this.pool.and(this.pool.ge(e, this.pool.int(0)), this.pool.lt(e, this.pool.int(size)));
  }

  reduce(axes: readonly Axis[], combine: Combine, body: Expr, structure: Structure | null = null): Expr {
    this.stages.push({ axes, combine, body, structure });
    return this.pool.acc(this.stages.length - 1, body.dtype);
  }

  store(buffer: number, index: Index, value: Expr, axes: readonly Axis[] = [], guard: Expr | null = null): void {
    this.stores.push({ buffer, axes, index: this.expr(index), value, guard });
  }

  /** A new array that holds `value` at each point of the axes. */
  write(indices: readonly Axis[], value: Expr, axes: readonly Axis[] = []): void {
    const shape = indices.map((axis) => axis.size);
    const buffer = this.buffer(
      value.dtype,
      shape.reduce((product, size) => product * size, 1),
      "write",
    );
    this.store(buffer, this.at(indices, shape), value, axes);
  }

  kernel(name: string, axes: readonly Axis[]): LoopKernel {
    return { kind: "loops", name, buffers: this.buffers, axes, stages: this.stages, stores: this.stores };
  }

  /** The stores so far, for a template kernel. */
  get written(): readonly Store[] {
    return this.stores;
  }
}

/** Numbers in [0, 1) that are the same everywhere (mulberry32). */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Floats in [−1, 1), small integers, both booleans. */
export function randomArray(dtype: DType, length: number, seed: number): TypedArray {
  const next = random(seed);
  const array = hostArray(dtype, length);
  for (let i = 0; i < length; i++) {
    array[i] = isFloating(dtype) ? 2 * next() - 1 : dtype === "bool" ? Math.round(next()) : Math.floor(next() * 17) - 8;
  }
  return array;
}

export function arrayOf(dtype: DType, values: readonly number[]): TypedArray {
  const array = hostArray(dtype, values.length);
  array.set(values);
  return array;
}

/** Runs a kernel once; all its buffers come back. Buffers that are only written begin as `data` says, too. */
export async function runOn(backend: Backend, kernel: AnyKernel, data: readonly TypedArray[]): Promise<TypedArray[]> {
  if (kernel.kind === "template") {
    const verdict = backend.acceptsTemplate(kernel.template, kernel.input.dtype);
    if (verdict !== true) throw new Error(`${backend.name} refuses the template: ${verdict}`);
  }
  const verdict = backend.accepts(kernel);
  if (verdict !== true) throw new Error(`${backend.name} refuses ${kernel.name}: ${verdict}`);
  const executable = await backend.compile(kernel);
  const handles = kernel.buffers.map(({ dtype, length }) => backend.allocate(dtype, length));
  try {
    handles.forEach((handle, i) => {
      backend.upload(handle, data[i]);
    });
    backend.run([{ executable, buffers: handles }]);
    return await Promise.all(handles.map((handle, i) => backend.download(handle, kernel.buffers[i].length)));
  } finally {
    for (const handle of handles) backend.free(handle);
  }
}

export const randomData = (kernel: AnyKernel, seed = 1): TypedArray[] =>
  kernel.buffers.map(({ dtype, length }, i) => randomArray(dtype, length, seed + 101 * i));

/** The heart of most cases: the backend's result is the interpreter's. */
export async function expectAgreement(
  backend: Backend,
  kernel: AnyKernel,
  data: readonly TypedArray[] = randomData(kernel),
  tolerance?: Tolerance,
): Promise<void> {
  verifyKernel(kernel);
  const expected = data.map((array) => array.slice());
  interpretKernel(kernel, expected);
  const got = await runOn(backend, kernel, data);
  kernel.buffers.forEach((spec, i) => {
    expectEqual(got[i], expected[i], tolerance ?? defaultTolerance(spec.dtype), `${kernel.name}, buffer ${i}`);
  });
}

function agrees(got: number, want: number, { relative, absolute }: Tolerance): boolean {
  if (Number.isNaN(want)) return Number.isNaN(got);
  if (got === want) return true;
  return Number.isFinite(want) && Math.abs(got - want) <= absolute + relative * Math.abs(want);
}

/** NaN matches only NaN, infinities only themselves; the sign of zero is not looked at. */
export function expectEqual(got: TypedArray, want: ArrayLike<number>, tolerance: Tolerance, what: string): void {
  if (got.length !== want.length) throw new Error(`${what}: ${got.length} elements, expected ${want.length}`);
  const wrong: number[] = [];
  for (let i = 0; i < want.length; i++) if (!agrees(got[i], want[i], tolerance)) wrong.push(i);
  if (wrong.length === 0) return;
  const first = wrong.slice(0, 4).map((i) => `[${i}] is ${got[i]}, expected ${want[i]}`);
  throw new Error(`${what}: ${wrong.length} of ${want.length} elements differ: ${first.join("; ")}`);
}

export function expectTrue(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

/** The action throws or rejects with an error of this name; the error is given back. */
export async function expectFailure(errorName: string, action: () => unknown): Promise<Error> {
  let error: unknown;
  try {
    await action();
  } catch (caught) {
    error = caught;
  }
  if (!(error instanceof Error)) throw new Error(`expected a ${errorName}, but nothing was thrown`);
  expectTrue(error.name === errorName, `expected a ${errorName}, got ${error.name}: ${error.message}`);
  return error;
}

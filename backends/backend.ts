/**
 * The contract between the engine and a device's language. A backend never sees a tensor, an operation or a gradient: it allocates
 * buffers, compiles kernels of the IR and runs lists of them in order.
 */
import type { DType, TypedArray } from "../engine/dtype.js";
import type { AnyKernel, Template } from "../engine/kernel/ir.js";

/** A device buffer. Only its backend looks inside. */
export interface BufferHandle {
  readonly dtype: DType;
  /** In elements; at least what was asked for. */
  readonly length: number;
}

/** A compiled kernel. */
export interface Executable {
  readonly kernel: AnyKernel;
  /** The generated text, as the device's compiler gets it; where that is binary, a function that writes it as text. */
  readonly source: string | (() => Promise<string>);
}

/** An executable's source as text. Rejects with BackendError where the means to write it are not installed. */
export const sourceText = async ({ source }: Executable): Promise<string> => (typeof source === "string" ? source : source());

/** One run of a kernel on buffers. */
export interface Launch {
  readonly executable: Executable;
  /** In the order of the kernel's `buffers`. A handle appears twice only where all its uses are "read". */
  readonly buffers: readonly BufferHandle[];
}

/** What a device can hold and compute; the scheduler keeps to it. */
export interface BackendLimits {
  readonly dtypes: readonly DType[];
  /** Bytes an element takes on the device: a bool is 4 where shaders cannot address bytes. */
  readonly elementBytes: Readonly<Record<DType, number>>;
  /** Largest whole number that int32 values hold exactly: 2³¹ − 1, or 2²⁴ where integers are floats. */
  readonly maxExactInteger: number;
  /** Buffers bound to one kernel, outputs among them. */
  readonly maxBuffersPerKernel: number;
  /** Stores a kernel may have (1 on gpu.js). */
  readonly maxOutputs: number;
  readonly maxBufferBytes: number;
}

/** How long a launch took. */
export interface LaunchTime {
  readonly name: string;
  readonly milliseconds: number;
  /** When it began, in milliseconds after the first of its run; the launches of a run follow one another where this is left out. */
  readonly start?: number;
}

/** A kernel in a plan. */
export interface PlannedKernel {
  readonly kind: "kernel";
  readonly kernel: AnyKernel;
  /** The place of each of its buffers in the plan: equal numbers are one buffer. */
  readonly slots: readonly number[];
  /** For people. */
  readonly info: { readonly ops: readonly string[]; readonly modules: readonly string[]; readonly flops: number; readonly bytes: number };
}

/** A call of the host between kernels, and the places that it reads and writes. */
export interface PlannedCall {
  readonly kind: "host";
  readonly inputs: readonly { readonly slot: number }[];
  readonly outputs: readonly { readonly slot: number }[];
}

/** The places that a step touches. */
export const slotsOf = (step: PlannedKernel | PlannedCall): readonly number[] =>
  step.kind === "kernel" ? step.slots : [...step.inputs, ...step.outputs].map(({ slot }) => slot);

/** A device as the engine sees it: buffers, compiled kernels, and lists of launches. CONTRIBUTING.md says how to write one. */
export interface Backend {
  readonly name: string;
  readonly limits: BackendLimits;
  /** One line for people: what runs and on what. */
  describe(): string;
  /**
   * Contents undefined. `length` in elements; 0 is allowed. Throws BackendError with the bytes wanted and allowed when it exceeds a limit; where a
   * device tells only later that its memory is exhausted, the next download rejects with the same.
   */
  allocate(dtype: DType, length: number): BufferHandle;
  /** Safe while queued work still uses the buffer. */
  free(buffer: BufferHandle): void;
  /** Copies the host data in, ordered with `run`. */
  upload(buffer: BufferHandle, data: TypedArray): void;
  /** Copies the first `length` elements out, after all earlier runs. */
  download(buffer: BufferHandle, length: number): Promise<TypedArray>;
  /** Whether a template runs as such, or the reason why not; the scheduler asks before grouping and else schedules the slow definition. */
  acceptsTemplate(template: Template, dtype: DType): true | string;
  /**
   * Where several kernels can be one: the list anew, in an order that gives the same results, asked for before memory is planned. `temporary`
   * slots are wanted by these steps alone: those that no step names any more get no buffer.
   */
  combine?<S extends PlannedKernel | PlannedCall>(steps: readonly S[], temporary: ReadonlySet<number>): (S | PlannedKernel)[];
  /** True, or the reason why this kernel cannot be run here. */
  accepts(kernel: AnyKernel): true | string;
  /** May finish at once; rejects or throws BackendError that quotes the source. */
  compile(kernel: AnyKernel): Executable | Promise<Executable>;
  /** Queues the launches in order and never waits. A failure surfaces at the next download. With `times`, which is called once, one entry a launch, or none where the run failed. */
  run(launches: readonly Launch[], times?: (times: readonly LaunchTime[]) => void): void;
  /** Where runs are queued: null, or a promise of the moment when enough of them are done that the next may be queued. */
  room?(): Promise<void> | null;
  /** Frees everything. Later calls throw. */
  destroy(): void;
}

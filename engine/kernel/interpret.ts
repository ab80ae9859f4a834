/**
 * Runs kernels by walking them: the definition of what is right, slow and plain. Floats are doubles until they are stored.
 */
import { hostArray, isFloating, type TypedArray } from "../dtype.js";
import { InternalError } from "../errors.js";
import { evaluateFn } from "./erf.js";
import type { AnyKernel, Axis, ChainKernel, ChainPart, Combine, Expr, LoopKernel, Store, Template, TemplateKernel } from "./ir.js";
import { evaluate, identityOf } from "./scalar.js";

/** Where an expression is evaluated: the loop variables, the results of the stages so far, and the memory. */
export class Environment {
  private readonly axes = new Map<number, number>();
  readonly accumulators: number[] = [];
  /** Calls already evaluated at this point; expressions share parts. */
  private readonly known = new Map<Expr, number>();
  private readonly pending: { readonly buffer: number; readonly index: number; readonly value: number }[] = [];

  constructor(readonly buffers: readonly TypedArray[]) {}

  set(axis: Axis, value: number): void {
    this.axes.set(axis.id, value);
    this.known.clear();
  }

  setAccumulator(stage: number, value: number): void {
    this.accumulators[stage] = value;
    this.known.clear();
  }

  evaluate(e: Expr): number {
    switch (e.op) {
      case "const":
        return e.value;
      case "axis":
        return found(this.axes.get(e.axis.id), `axis ${e.axis.name}`);
      case "acc":
        return found(this.accumulators[e.stage], `stage ${e.stage}`);
      case "ref":
        throw new InternalError("a ref is left in a kernel");
      case "load":
        if (e.guard !== null && this.evaluate(e.guard) === 0) return 0;
        return this.element(e.buffer, this.evaluate(e.index));
      case "call": {
        const known = this.known.get(e);
        if (known !== undefined) return known;
        const value =
          e.fn === "where"
            ? this.evaluate(this.evaluate(e.args[0]) !== 0 ? e.args[1] : e.args[2])
            : evaluateFn(
                e.fn,
                e.args.map((arg) => this.evaluate(arg)),
                e.dtype,
                e.args[0].dtype,
              );
        this.known.set(e, value);
        return value;
      }
    }
  }

  /** Computes what a store writes at the current point; `flush` writes it, since all loads of a point come before its stores. */
  store(store: Store): void {
    if (store.guard !== null && this.evaluate(store.guard) === 0) return;
    const value = this.evaluate(store.value);
    const index = this.evaluate(store.index);
    this.element(store.buffer, index);
    this.pending.push({ buffer: store.buffer, index, value });
  }

  flush(): void {
    for (const { buffer, index, value } of this.pending) this.buffers[buffer][index] = value;
    this.pending.length = 0;
    this.known.clear();
  }

  private element(buffer: number, index: number): number {
    return found(this.buffers[buffer]?.[index], `element ${index} of buffer ${buffer}`);
  }
}

function found(value: number | undefined, what: string): number {
  if (value === undefined) throw new InternalError(`${what} does not exist`);
  return value;
}

/** Every point of the axes, the last one fastest. */
export function forEachPoint(axes: readonly Axis[], environment: Pick<Environment, "set">, visit: () => void, from = 0): void {
  if (from === axes.length) {
    visit();
    return;
  }
  for (let i = 0; i < axes[from].size; i++) {
    environment.set(axes[from], i);
    forEachPoint(axes, environment, visit, from + 1);
  }
}

/** The buffers in the order of the kernel's. */
export function interpretKernel(kernel: AnyKernel, buffers: readonly TypedArray[]): void {
  if (kernel.kind === "chain") {
    runChain(kernel, buffers);
    return;
  }
  const environment = new Environment(buffers);
  forEachPoint(kernel.axes, environment, () => {
    if (kernel.kind === "template") runLine(kernel, environment);
    else runLoops(kernel, environment);
  });
}

/** One point. A stage begins with what `before` has for it. */
function runLoops(
  { stages, stores }: Pick<LoopKernel, "stages" | "stores">,
  environment: Environment,
  before: readonly number[] = [],
): void {
  stages.forEach(({ axes, combine, body }, stage) => {
    let sum = before[stage] ?? identityOf(combine, body.dtype);
    forEachPoint(axes, environment, () => {
      sum = evaluate(combineFn[combine], [sum, environment.evaluate(body)], body.dtype, body.dtype);
    });
    environment.setAccumulator(stage, sum);
  });
  for (const store of stores) forEachPoint(store.axes, environment, () => environment.store(store));
  environment.flush();
}

function runChain({ axes, locals, parts }: ChainKernel, buffers: readonly TypedArray[]): void {
  const environment = new Environment([...buffers, ...locals.map(({ dtype, length }) => hostArray(dtype, length))]);
  const [outer, last] = [axes.slice(0, -1), axes.slice(-1)];
  forEachPoint(outer, environment, () => {
    /** What the sums came to so far, by their parts and points. */
    const sums = new Map<ChainPart, number[]>();
    forEachPoint(last, environment, () => {
      for (const part of parts) {
        const known = sums.get(part) ?? [];
        sums.set(part, known);
        let point = 0;
        forEachPoint(part.axes, environment, () => {
          runLoops(part, environment, part.sums ? known.slice(point, point + 1) : []);
          known[point++] = environment.accumulators[0];
        });
      }
    });
  });
}

const combineFn = { add: "add", mul: "mul", max: "max", min: "min" } as const satisfies Record<Combine, string>;

function runLine(kernel: TemplateKernel, environment: Environment): void {
  const line: number[] = [];
  forEachPoint(kernel.lineIn, environment, () => line.push(environment.evaluate(kernel.input)));
  const transformed = transformLine(kernel.template, line, isFloating(kernel.input.dtype));
  for (const store of kernel.stores) {
    let position = 0;
    forEachPoint(store.axes, environment, () => {
      environment.setAccumulator(0, transformed[position++]);
      environment.store(store);
    });
  }
  environment.flush();
}

function transformLine(template: Template, line: readonly number[], floating: boolean): number[] {
  switch (template.name) {
    case "scan":
      return runningSum(line, template.reverse, floating);
    case "fft":
      return fourier(line, template.n, template.sign).flat();
    case "rfft":
      return fourier(
        line.flatMap((x) => [x, 0]),
        template.n,
        -1,
      )
        .slice(0, Math.floor(template.n / 2) + 1)
        .flat();
    case "irfft":
      return fourier(mirrored(line, template.n), template.n, 1).map(([real]) => real);
  }
}

function runningSum(line: readonly number[], reverse: boolean, floating: boolean): number[] {
  const ordered = reverse ? [...line].reverse() : line;
  let sum = 0;
  const sums = ordered.map((x) => {
    sum = floating ? sum + x : (sum + x) | 0;
    return sum;
  });
  return reverse ? sums.reverse() : sums;
}

/** X_k = Σ_j x_j e^(sign 2πi jk/n) by its definition; `line` holds real and imaginary parts in turn. */
function fourier(line: readonly number[], n: number, sign: -1 | 1): [number, number][] {
  const angle = (turns: number): number => (sign * 2 * Math.PI * (turns % n)) / n;
  return Array.from({ length: n }, (_, k) => {
    let real = 0;
    let imaginary = 0;
    for (let j = 0; j < n; j++) {
      const c = Math.cos(angle(j * k));
      const s = Math.sin(angle(j * k));
      real += line[2 * j] * c - line[2 * j + 1] * s;
      imaginary += line[2 * j] * s + line[2 * j + 1] * c;
    }
    return [real, imaginary];
  });
}

/** The whole spectrum of a real signal from its first half: X_(n−k) is the conjugate of X_k, and what is its own mirror is real. */
function mirrored(half: readonly number[], n: number): number[] {
  return Array.from({ length: n }, (_, k) => {
    const mirror = n - k;
    if (k === 0 || k === mirror) return [half[2 * k], 0];
    return k < mirror ? [half[2 * k], half[2 * k + 1]] : [half[2 * mirror], -half[2 * mirror + 1]];
  }).flat();
}

/** Kernels as modules that run: compiled once for all backends of a process, instantiated over the memory of one. */
import { dtypeBytes } from "../../engine/dtype.js";
import { BackendError } from "../../engine/errors.js";
import { kernelKey } from "../../engine/kernel/canon.js";
import type { AnyKernel, ChainKernel, LoopKernel, TemplateKernel } from "../../engine/kernel/ir.js";
import { makeTransform } from "../loops/lines.js";
import { compileChain } from "./chain.js";
import { compileLoops, type LoopModule, type Target } from "./emit.js";
import { compileLines } from "./line-module.js";
import { lineKernels } from "./lines.js";
import { ConstantTable } from "./math.js";
import type { Heap } from "./memory.js";
import type { Pool } from "./pool.js";
import { arraysOf, type Loops } from "./program.js";
import { moduleText } from "./text.js";

type Run = (...addresses: number[]) => void;

export interface Runnable {
  /** Null where JavaScript does a part of it. */
  readonly loops: Loops | null;
  /** In the caller. */
  readonly run: Run;
}

interface Compiled extends Runnable {
  readonly loops: Loops;
}

const name = "wasm";
/** Modules kept for kernels of the same text. */
const maxCached = 4096;

/** What a kernel was compiled to, for every backend of the process: a module imports its memory. */
interface Made extends Pick<Loops, "phases" | "scratch" | "own"> {
  readonly module: WebAssembly.Module;
}
const made = new Map<string, Made>();

export class Kernels {
  private readonly compiled = new Map<string, Compiled>();
  private readonly target: Target;
  private count = 0;

  constructor(
    private readonly heap: Heap,
    relaxed: boolean,
    private readonly pool: Pool | null,
  ) {
    this.target = { relaxed, shared: pool !== null, constants: new ConstantTable(heap.memory) };
  }

  compile(kernel: AnyKernel): Runnable {
    return kernel.kind === "template" ? this.template(kernel) : this.loops(kernel);
  }

  clear(): void {
    this.compiled.clear();
  }

  /** The modules of a kernel as text: emitted once more, as nobody else needs their bytes. */
  async text(kernel: AnyKernel): Promise<string> {
    if (kernel.kind !== "template") return moduleText(this.emitted(kernel).bytes);
    const lines = compileLines(kernel, this.target);
    if (lines !== null) return moduleText(lines.bytes);
    const { gather, scatter } = lineKernels(kernel);
    return [
      await this.text(gather),
      `;; in JavaScript: ${JSON.stringify(kernel.template)}
`,
      await this.text(scatter),
    ].join("");
  }

  private emitted(kernel: LoopKernel | ChainKernel): LoopModule {
    return kernel.kind === "chain" ? compileChain(kernel, this.target) : compileLoops(kernel, this.target);
  }

  private loops(kernel: LoopKernel | ChainKernel): Compiled {
    return this.cached(kernel, () => this.emitted(kernel)) as Compiled;
  }

  /** Null where nothing is made. */
  private cached(kernel: AnyKernel, make: () => LoopModule | null): Compiled | null {
    // The name says nothing of what is computed.
    const source = kernelKey({ ...kernel, name: "kernel" });
    let known = this.compiled.get(source);
    if (known === undefined) {
      const loops = this.load(kernel, source, make);
      if (loops === null) return null;
      known = { loops, run: this.inCaller(loops) };
      if (this.compiled.size >= maxCached) this.evict();
      this.compiled.set(source, known);
    }
    return known;
  }

  private evict(): void {
    const [[source, { loops }]] = this.compiled;
    this.compiled.delete(source);
    this.pool?.drop(loops.id);
  }

  private load(kernel: AnyKernel, source: string, make: () => LoopModule | null): Loops | null {
    const key = `${this.target.relaxed} ${this.target.shared} ${source}`;
    let known = made.get(key);
    if (known === undefined) {
      try {
        const emitted = make();
        if (emitted === null) return null;
        const { bytes, ...rest } = emitted;
        known = { module: new WebAssembly.Module(bytes), ...rest };
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new BackendError(name, `${kernel.name} does not compile: ${reason}\n${source}`, { cause });
      }
      if (made.size >= maxCached) made.delete(made.keys().next().value as string);
      made.set(key, known);
    }
    this.target.constants.update();
    return { id: this.count++, buffers: kernel.buffers, ...known };
  }

  private inCaller(loops: Loops): Run {
    const { module, phases } = loops;
    const arrays = arraysOf(loops, 1);
    let exports: WebAssembly.Exports | null = null;
    return (...addresses) => {
      const math = Object.assign(Object.create(Math) as Record<string, () => number>, { rem: (a: number, b: number) => a % b });
      exports ??= new WebAssembly.Instance(module, { env: { memory: this.heap.memory }, math }).exports;
      const blocks: number[] = [];
      try {
        for (const elements of arrays) blocks.push(this.heap.scratch.take(elements));
        for (const [i, { steps }] of phases.entries()) (exports[`phase${i}`] as Run)(...addresses, ...blocks, 0, steps);
      } finally {
        blocks.forEach((address, i) => {
          this.heap.scratch.giveBack(address, arrays[i]);
        });
      }
    };
  }

  private template(kernel: TemplateKernel): Runnable {
    const compiled = this.cached(kernel, () => compileLines(kernel, this.target));
    if (compiled !== null) return compiled;
    const { gather, scatter, lines, lengthIn, lengthOut } = lineKernels(kernel);
    const { dtype } = kernel.input;
    const [before, after] = [this.loops(gather), this.loops(scatter)];
    if (lines === 0) return { loops: null, run: () => {} };
    const transform = makeTransform(kernel.template, dtype);
    const [input, output] = [new Float64Array(lengthIn), new Float64Array(lengthOut)];
    const bytes = dtypeBytes[dtype];
    const run: Run = (...addresses) => {
      const from = this.heap.allocate(lines * lengthIn * bytes);
      const to = this.heap.allocate(lines * lengthOut * bytes);
      before.run(...addresses, from);
      const [inputs, outputs] = [this.heap.view(dtype, from, lines * lengthIn), this.heap.view(dtype, to, lines * lengthOut)];
      for (let line = 0; line < lines; line++) {
        input.set(inputs.subarray(line * lengthIn, (line + 1) * lengthIn));
        transform(output, input);
        outputs.set(output, line * lengthOut);
      }
      after.run(...addresses, to);
      this.heap.free(from, lines * lengthIn * bytes);
      this.heap.free(to, lines * lengthOut * bytes);
    };
    return { loops: null, run };
  }
}

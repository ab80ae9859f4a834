/** Checks the promises that the IR makes to backends. A kernel that fails is a defect of whatever made it. */
import { InternalError } from "../errors.js";
import { axesOf, children } from "./affine.js";
import { Bounds } from "./bounds.js";
import { type Coverable, coverageProblem } from "./coverage.js";
import { Environment } from "./interpret.js";
import type { AnyKernel, Axis, BufferSpec, ChainKernel, Expr, LoadExpr, LoopKernel, Store, Template, TemplateKernel } from "./ir.js";
import { boxes, isClosed } from "./points.js";
import { printExpr } from "./print.js";
import { castValue } from "./scalar.js";
import { signatureProblem } from "./signatures.js";

/** Spaces up to this many points are tried out where bounds prove nothing; of larger ones, two corners. */
const boundsPoints = 4096;

/** Checks what the IR promises to backends. Throws InternalError that names the kernel and the rule it breaks. */
export function verifyKernel(kernel: AnyKernel): void {
  new Verifier(kernel).verify();
}

class Verifier {
  private readonly buffers: readonly BufferSpec[];

  constructor(private readonly kernel: AnyKernel) {
    this.buffers = kernel.kind === "chain" ? [...kernel.buffers, ...kernel.locals] : kernel.buffers;
  }

  verify(): void {
    const { kernel } = this;
    this.checkAxes(kernel.axes, []);
    for (const { length } of this.buffers) if (!isCount(length)) this.fail(`a buffer of ${length} elements`);
    if (kernel.kind === "chain") {
      this.checkChain(kernel);
      return;
    }
    if (kernel.stores.length === 0) this.fail("it stores nothing");
    if (kernel.kind === "loops") this.checkLoops(kernel);
    else this.checkTemplate(kernel);
    this.checkCoverage(kernel);
  }

  private checkCoverage(kernel: Coverable): void {
    const problem = coverageProblem(kernel);
    if (problem !== null) this.fail(problem);
  }

  private checkChain({ axes, parts, buffers }: ChainKernel): void {
    const last = axes[axes.length - 1];
    if (last === undefined) this.fail("a chain of one point");
    for (const { axes: own, stages, stores, sums } of parts) {
      this.checkAxes(own, axes);
      this.checkLoops({ axes: [...axes, ...own], stages, stores });
      const [inner, outer] = [true, false].map((local) => stores.filter(({ buffer }) => buffer >= buffers.length === local));
      this.checkCoverage({ axes: own, stores: inner });
      this.checkCoverage({ axes: [...(sums ? axes.slice(0, -1) : axes), ...own], stores: outer });
      if (!sums) continue;
      const [{ combine }, { value, index, guard, axes: along }] = [stages[0], stores[0]];
      const isTotal = stages.length === 1 && stores.length === 1 && combine === "add" && value.op === "acc" && along.length === 0;
      if (!isTotal || guard !== null || inner.length > 0) this.fail("a part that sums along the chain stores more than its sum");
      if (axesOf(index).has(last)) this.fail(`a sum along ${last.name} is stored at places along it`);
    }
  }

  private fail(rule: string): never {
    throw new InternalError(`kernel ${this.kernel.name}: ${rule}`);
  }

  private checkAxes(axes: readonly Axis[], outer: readonly Axis[]): void {
    const ids = new Set(outer.map((axis) => axis.id));
    for (const { id, name, size } of axes) {
      if (!isCount(size)) this.fail(`axis ${name} has size ${size}`);
      if (ids.has(id)) this.fail(`axis ${name} is looped over twice`);
      ids.add(id);
    }
  }

  private checkLoops({ axes, stages, stores }: Pick<LoopKernel, "axes" | "stages" | "stores">): void {
    const results: Expr[] = [];
    for (const stage of stages) {
      this.checkAxes(stage.axes, axes);
      if (stage.body.dtype === "bool" && (stage.combine === "add" || stage.combine === "mul")) this.fail(`${stage.combine} of bools`);
      this.checkExpr(stage.body, [...axes, ...stage.axes], results);
      results.push(stage.body);
    }
    for (const store of stores) {
      this.checkAxes(store.axes, axes);
      this.checkStore(store, [...axes, ...store.axes], results);
    }
  }

  private checkTemplate({ template, axes, lineIn, input, lineOut, stores }: TemplateKernel): void {
    this.checkAxes(lineIn, axes);
    this.checkAxes(lineOut, axes);
    const shapes = lineShapes(template);
    this.checkShape("lineIn", lineIn, shapes.in);
    this.checkShape("lineOut", lineOut, shapes.out);
    if (input.dtype === "bool" || (input.dtype === "int32" && template.name !== "scan")) this.fail(`${template.name} of ${input.dtype}`);
    this.checkExpr(input, [...axes, ...lineIn], []);
    for (const store of stores) {
      const same = store.axes.length === lineOut.length && store.axes.every((axis, i) => axis.id === lineOut[i].id);
      if (!same) this.fail("a template's stores loop over its lineOut");
      this.checkStore(store, [...axes, ...lineOut], [input]);
    }
  }

  private checkShape(name: string, axes: readonly Axis[], expected: readonly number[]): void {
    const given = axes.map((axis) => axis.size);
    if (given.join() !== expected.join()) this.fail(`${name} is [${given}], must be [${expected}]`);
  }

  private checkStore(store: Store, bound: readonly Axis[], results: readonly Expr[]): void {
    const spec = this.buffers[store.buffer];
    if (spec === undefined) this.fail(`a store into buffer ${store.buffer}, which does not exist`);
    if (spec.access === "read") this.fail(`a store into buffer ${store.buffer}, which is read only`);
    if (store.value.dtype !== spec.dtype) this.fail(`a ${store.value.dtype} stored into buffer ${store.buffer} of ${spec.dtype}`);
    for (const e of [store.index, store.value, ...(store.guard === null ? [] : [store.guard])]) this.checkExpr(e, bound, results);
    this.checkPlace(`the store into buffer ${store.buffer}`, store.index, store.guard, spec.length, bound);
  }

  /** `results` are the stages that may be asked for. */
  private checkExpr(root: Expr, bound: readonly Axis[], results: readonly Expr[]): void {
    const ids = new Set(bound.map((axis) => axis.id));
    const seen = new Set<Expr>();
    const visit = (e: Expr): void => {
      if (seen.has(e)) return;
      seen.add(e);
      for (const child of children(e)) visit(child);
      switch (e.op) {
        case "const":
          if (!Object.is(castValue(e.value, e.dtype), e.value)) this.fail(`${e.value} is no ${e.dtype}`);
          return;
        case "axis":
          if (!ids.has(e.axis.id)) this.fail(`axis ${e.axis.name} is used outside of its loop`);
          return;
        case "ref":
          this.fail(`ref ${e.value} is left`);
          break;
        case "acc":
          if (results[e.stage] === undefined) this.fail(`stage ${e.stage} is used before it is computed`);
          if (results[e.stage].dtype !== e.dtype) this.fail(`stage ${e.stage} is ${results[e.stage].dtype}, not ${e.dtype}`);
          return;
        case "call": {
          const problem = signatureProblem(e);
          if (problem !== null) this.fail(problem);
          return;
        }
        case "load":
          this.checkLoad(e, bound);
      }
    };
    visit(root);
  }

  private checkLoad(e: LoadExpr, bound: readonly Axis[]): void {
    const spec = this.buffers[e.buffer];
    if (spec === undefined) this.fail(`a load from buffer ${e.buffer}, which does not exist`);
    if (spec.access === "write") this.fail(`a load from buffer ${e.buffer}, which is write only`);
    if (spec.dtype !== e.dtype) this.fail(`a ${e.dtype} loaded from buffer ${e.buffer} of ${spec.dtype}`);
    this.checkPlace(`the load from buffer ${e.buffer}`, e.index, e.guard, spec.length, bound);
  }

  private checkPlace(what: string, index: Expr, guard: Expr | null, length: number, bound: readonly Axis[]): void {
    if (index.dtype !== "int32") this.fail(`${what} has an index of ${index.dtype}`);
    if (guard !== null && guard.dtype !== "bool") this.fail(`${what} has a guard of ${guard.dtype}`);
    if (bound.some((axis) => axis.size === 0)) return;
    const { lo, hi } = new Bounds(guard).of(index);
    if (lo >= 0 && hi < length) return;

    const where = `${what} at ${printExpr(index)}${guard === null ? "" : ` if ${printExpr(guard)}`}`;
    const closed = isClosed(index) && (guard === null || isClosed(guard));
    if (closed) {
      const axes = bound.filter((axis) => axesOf(index).has(axis) || (guard !== null && axesOf(guard).has(axis)));
      const environment = new Environment([]);
      const { complete, corners } = boxes(axes, boundsPoints);
      for (const corner of corners) {
        corner(environment, () => {
          if (guard !== null && environment.evaluate(guard) === 0) return;
          const at = environment.evaluate(index);
          if (at < 0 || at >= length) this.fail(`${where} reaches ${at}, outside of [0, ${length})`);
        });
      }
      if (complete) return;
    }
    // Without a guard the index alone must prove it; with one, the proof may be beyond us.
    if (guard === null) this.fail(`${where} may reach ${lo} … ${hi}, outside of [0, ${length})`);
  }
}

const isCount = (n: number): boolean => Number.isInteger(n) && n >= 0 && n < 2 ** 31;

/** The sizes of a template's lines, as `Template` documents them. */
export function lineShapes(template: Template): { readonly in: readonly number[]; readonly out: readonly number[] } {
  switch (template.name) {
    case "scan":
      return { in: [template.length], out: [template.length] };
    case "fft":
      return { in: [template.n, 2], out: [template.n, 2] };
    case "rfft":
      return { in: [template.n], out: [Math.floor(template.n / 2) + 1, 2] };
    case "irfft":
      return { in: [Math.floor(template.n / 2) + 1, 2], out: [template.n] };
  }
}

/**
 * Templates of whole lines. A short transform is straight-line code of one invocation; a longer one is done by a workgroup, pass by pass
 * through its shared memory (Stockham's order, which needs no reversal of digits). Running sums are sums of blocks, as other long sums are.
 */

import type { Axis, Expr, Template, TemplateKernel } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { Importer, storeExprs } from "../loops/nest.js";
import { type Complex, isShort, leaf, nameOf, radicesOf, root, statements, transform } from "./butterfly.js";
import { writeStoreGroup } from "./emit.js";
import { atom, typeOf } from "./scalar.js";
import { defineAxes, type Program, shader } from "./shader.js";
import type { Machine } from "./tile.js";
import { Writer } from "./writer.js";

/** Terms of a running sum that are added up by themselves. */
const block = 256;

/** Shared memory that a template takes, in bytes. */
export const sharedBytes = (template: Template): number => (template.name === "scan" || isShort(template.n) ? 0 : 16 * template.n);

/** A kernel in the pool of its shader. */
interface Line {
  readonly pool: ExprPool;
  readonly writer: Writer;
  readonly axes: readonly Axis[];
  readonly kernel: TemplateKernel;
  readonly lineIn: readonly Axis[];
  readonly lineOut: readonly Axis[];
  readonly input: Expr;
  readonly stores: TemplateKernel["stores"];
}

/** Null where there is nothing to do. */
export function emitLines(kernel: TemplateKernel, machine: Machine): Program | null {
  if ([...kernel.axes, ...kernel.lineIn].some((axis) => axis.size === 0)) return null;
  const pool = new ExprPool();
  const importer = new Importer(pool);
  // Axes of one step disappear from lists, but not from the transform's own.
  const line: Line = {
    pool,
    writer: new Writer(kernel.buffers),
    axes: importer.list(kernel.axes),
    kernel,
    lineIn: kernel.lineIn.map((axis) => importer.axis(axis)),
    lineOut: kernel.lineOut.map((axis) => importer.axis(axis)),
    input: importer.expr(kernel.input),
    stores: kernel.stores.map((store) => importer.store(store)),
  };
  const { template } = kernel;
  if (template.name === "scan") return emitScan(line, template, machine);
  return isShort(template.n) ? emitShort(line, template, machine) : emitPasses(line, template, machine);
}

type Fourier = Exclude<Template, { name: "scan" }>;

const signOf = (template: Fourier): -1 | 1 => (template.name === "fft" ? template.sign : template.name === "rfft" ? -1 : 1);

const at = (axes: readonly Axis[], pool: ExprPool, places: readonly Expr[]): ReadonlyMap<Axis, Expr> =>
  new Map(axes.map((axis, i) => [axis, places[i] ?? pool.int(0)]));

/** The stores for one element of the result, which is stage `result`. */
function storesAt({ pool, stores, lineOut }: Line, places: readonly Expr[], result: number): TemplateKernel["stores"] {
  const map = at(lineOut, pool, places);
  const move = (e: Expr): Expr =>
    pool.rewrite(pool.substitute(e, map), (node) => (node.op === "acc" ? pool.acc(result, node.dtype) : null));
  return stores.map((store) => ({
    ...store,
    axes: [],
    index: move(store.index),
    value: move(store.value),
    guard: store.guard && move(store.guard),
  }));
}

const countAll = (writer: Writer, exprs: Iterable<Expr>): void => {
  for (const e of exprs) writer.count(e);
};

/** Indices of the elements of a line: [k] or [k, part]. */
function* elements(axes: readonly Axis[]): Generator<readonly number[]> {
  for (let k = 0; k < axes[0].size; k++) {
    if (axes.length === 1) yield [k];
    else for (let part = 0; part < 2; part++) yield [k, part];
  }
}

function emitShort(line: Line, template: Fourier, machine: Machine): Program {
  const { pool, writer, lineIn, lineOut } = line;
  const ints = (places: readonly number[]): readonly Expr[] => places.map((place) => pool.int(place));
  const inputs = [...elements(lineIn)].map((places) => pool.substitute(line.input, at(lineIn, pool, ints(places))));
  const stores = [...elements(lineOut)].map((places, i) => storesAt(line, ints(places), i));
  countAll(writer, inputs);
  countAll(writer, stores.flat().flatMap(storeExprs));
  defineAxes(writer, line.axes);
  const names = inputs.map((e) => writer.hold(e, null).code);
  const result = transform(
    signalOf(template, (i) => leaf(names[i])),
    signOf(template),
  );
  const wanted = [...elements(lineOut)].map(([k, part]) => (part === 1 ? result[k].im : result[k].re));
  for (const text of statements(wanted, () => writer.name("f"))) writer.line(text);
  wanted.forEach((value, i) => {
    // A lone zero is a value too.
    writer.setResult(i, nameOf(value));
  });
  // All inputs are in registers by now, so that stores may overwrite them.
  for (const group of stores) writeStoreGroup(writer, group);
  return shader(line.kernel.buffers, writer, { points: pointCount(line.axes), fullGroups: machine.fullGroups });
}

/** The complex line of a template whose element `i` is `element(i)`. */
function signalOf(template: Fourier, element: (i: number) => Complex["re"]): readonly Complex[] {
  const { n } = template;
  switch (template.name) {
    case "fft":
      return Array.from({ length: n }, (_, k) => ({ re: element(2 * k), im: element(2 * k + 1) }));
    case "rfft":
      return Array.from({ length: n }, (_, k) => ({ re: element(k), im: null }));
    case "irfft":
      return Array.from({ length: n }, (_, k) => {
        const bin = Math.min(k, n - k);
        const re = element(2 * bin);
        if (bin === 0 || 2 * bin === n) return { re, im: null };
        const im = element(2 * bin + 1);
        return { re, im: k === bin ? im : negated(im) };
      });
  }
}

function negated(value: Complex["re"]): Complex["re"] {
  return value === null ? null : { code: "-$0", operands: [value], name: null };
}

function emitPasses(line: Line, template: Fourier, machine: Machine): Program {
  const { pool, writer, lineIn, lineOut } = line;
  const { n } = template;
  const radices = radicesOf(n);
  const size = Math.min(machine.groupLanes, 2 ** Math.ceil(Math.log2(n / radices[radices.length - 1])));
  const parts = (axes: readonly Axis[]): readonly number[] => (axes.length === 1 ? [0] : [0, 1]);
  const place = (axes: readonly Axis[], part: number): readonly Expr[] => [pool.axis(axes[0]), pool.int(part)];
  const inputs = parts(lineIn).map((part) => pool.substitute(line.input, at(lineIn, pool, place(lineIn, part))));
  const stores = parts(lineOut).map((part) => storesAt(line, place(lineOut, part), part));
  countAll(writer, inputs);
  countAll(writer, stores.flat().flatMap(storeExprs));
  defineAxes(writer, line.axes);

  const over = (axis: Axis, body: (index: string) => void): void => {
    writer.openLoop(axis, atom("i32(lane)"), atom(String(axis.size)), size, true);
    body(writer.value(pool.axis(axis)).code);
    writer.close();
  };
  over(lineIn[0], (k) => {
    const [re, im] = inputs.map((e) => writer.hold(e, null).code);
    if (template.name !== "irfft") {
      writer.line(`line[${k}] = vec2f(${re}, ${im ?? "0.0f"});`);
      return;
    }
    const own = `select(${im}, 0.0f, ${k} == 0 || 2 * ${k} == ${n})`;
    writer.line(`line[${k}] = vec2f(${re}, ${own});`);
    writer.line(`if (${k} != 0) { line[${n} - ${k}] = vec2f(${re}, -(${own})); }`);
  });
  // In the order in which sub-spectra grow, and from one half of the memory to the other.
  let done = 1;
  let from = 0;
  for (const radix of radices) {
    writer.line("workgroupBarrier();");
    writePass(writer, template, { radix, done, from, to: n - from, size });
    done *= radix;
    from = n - from;
  }
  writer.line("workgroupBarrier();");
  over(lineOut[0], (k) => {
    const name = writer.name("r");
    writer.line(`let ${name} = line[${from === 0 ? k : `${k} + ${from}`}];`);
    stores.forEach((group, part) => {
      writer.setResult(part, `${name}.${part === 0 ? "x" : "y"}`);
      writeStoreGroup(writer, group);
    });
  });
  const sign = signOf(template);
  const roots = Float32Array.from({ length: 2 * n }, (_, i) => root(n, i >> 1, sign)[i & 1]);
  return shader(line.kernel.buffers, writer, {
    points: pointCount(line.axes),
    groupPerPoint: size,
    declarations: [`var<workgroup> line: array<vec2f, ${2 * n}>;`],
    constants: { key: `roots ${n} ${sign}`, values: roots },
  });
}

interface Pass {
  readonly radix: number;
  /** Length of the spectra that are merged. */
  readonly done: number;
  readonly from: number;
  readonly to: number;
  /** Invocations of the workgroup. */
  readonly size: number;
}

const offset = (text: string, by: number): string => (by === 0 ? text : `${text} + ${by}u`);

/** Bin k of sub-spectrum s + r · groups is at from + u + r · n/radix with u = s · done + k; bins k + done · j of spectrum s follow one another. */
function writePass(writer: Writer, template: Fourier, { radix, done, from, to, size }: Pass): void {
  const { n } = template;
  const groups = n / (done * radix);
  const stride = n / radix;
  if (radix > 16) {
    const sum = writer.name("sum");
    writer.line(`for (var o = lane; o < ${n}u; o += ${size}u) {`);
    writer.line(`  let bin = o % ${done * radix}u;`);
    writer.line(`  let u = (o / ${done * radix}u) * ${done}u + bin % ${done}u;`);
    writer.line(`  var ${sum} = vec2f();`);
    writer.line(`  for (var r = 0u; r < ${radix}u; r++) {`);
    writer.line(`    ${sum} += rotated(line[${offset(`u + r * ${stride}u`, from)}], roots[(r * ${groups}u * bin) % ${n}u]);`);
    writer.line("  }");
    writer.line(`  line[${offset("o", to)}] = ${sum};`);
    writer.line("}");
    writer.use("rotated");
    return;
  }
  writer.line(`for (var u = lane; u < ${stride}u; u += ${size}u) {`);
  if (done > 1) writer.line(`  let k = u % ${done}u;`);
  const terms = Array.from({ length: radix }, (_, r): Complex => {
    const name = writer.name("x");
    const value = `line[${offset("u", from + r * stride)}]`;
    const turned = done > 1 && r > 0;
    if (turned) writer.use("rotated");
    writer.line(`  let ${name} = ${turned ? `rotated(${value}, roots[${r * groups}u * k])` : value};`);
    return { re: leaf(`${name}.x`), im: leaf(`${name}.y`) };
  });
  const result = transform(terms, signOf(template));
  const flat = result.flatMap(({ re, im }) => [re, im]);
  for (const text of statements(flat, () => writer.name("f"))) writer.line(`  ${text}`);
  // u · radix − k · (radix − 1) is s · done · radix + k.
  writer.line(`  let o = ${done > 1 ? `u * ${radix}u - k * ${radix - 1}u` : `u * ${radix}u`};`);
  result.forEach(({ re, im }, j) => {
    writer.line(`  line[${offset("o", to + j * done)}] = vec2f(${nameOf(re)}, ${nameOf(im)});`);
  });
  writer.line("}");
}

function emitScan(line: Line, template: Extract<Template, { name: "scan" }>, machine: Machine): Program {
  const { pool, writer, lineIn, input } = line;
  const { length, reverse } = template;
  const blocks = pool.newAxis("block", Math.ceil(length / block));
  const within = pool.newAxis("k", Math.min(block, length));
  const step = pool.add(pool.mul(pool.axis(blocks), pool.int(block)), pool.axis(within));
  const place = reverse ? pool.sub(pool.int(length - 1), step) : step;
  const value = pool.substitute(input, at(lineIn, pool, [place]));
  const stores = storesAt(line, [place], 0);
  const type = typeOf(input.dtype);
  const upper =
    length % block === 0 || length < block
      ? pool.int(within.size)
      : pool.min(pool.int(block), pool.sub(pool.int(length), pool.mul(pool.axis(blocks), pool.int(block))));
  countAll(writer, [value, upper, ...stores.flatMap(storeExprs)]);
  defineAxes(writer, line.axes);
  writer.line(`var before: ${type} = 0;`);
  writer.openLoop(blocks, atom("0"), atom(String(blocks.size)), 1, false);
  writer.line(`var part: ${type} = 0;`);
  writer.openLoop(within, atom("0"), writer.value(upper), 1, false);
  writer.line(`part += ${writer.value(value).code};`);
  writer.line("let sum = before + part;");
  writer.setResult(0, "sum");
  writeStoreGroup(writer, stores);
  writer.close();
  writer.line("before += part;");
  writer.close();
  return shader(line.kernel.buffers, writer, { points: pointCount(line.axes), fullGroups: machine.fullGroups });
}

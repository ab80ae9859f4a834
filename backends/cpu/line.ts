/** Template kernels: a line is gathered through the printed `input`, transformed as a whole, and written through the printed stores. */
import { type DType, isFloating } from "../../engine/dtype.js";
import type { Axis, Expr, Store, Template, TemplateKernel } from "../../engine/kernel/ir.js";
import { Importer } from "../../engine/kernel/loops/nest.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { countStores, memoryOf, returned, writeStores } from "./emit.js";
import { Writer } from "./expressions.js";
import { complexTransform, swapParts } from "./fft.js";
import { literal } from "./scalar.js";

/** Elements of the line before and after. */
export function lineLengths(template: Template): readonly [number, number] {
  if (template.name === "scan") return [template.length, template.length];
  const { n } = template;
  const half = 2 * (Math.floor(n / 2) + 1);
  return template.name === "fft" ? [2 * n, 2 * n] : template.name === "rfft" ? [n, half] : [half, n];
}

/** Position of a point of the axes in row-major order. */
function position(pool: ExprPool, axes: readonly Axis[]): Expr {
  return axes.reduce((sum, axis) => pool.add(pool.mul(sum, pool.int(axis.size)), pool.axis(axis)), pool.int(0));
}

/** As for loops; the text also uses the lines `input` and `output`, and `transform(output, input)`. */
export function emitTemplate(kernel: TemplateKernel): string {
  if ([...kernel.axes, ...kernel.lineIn].some((axis) => axis.size === 0)) return returned(kernel, "// an axis is empty: nothing to do");
  const pool = new ExprPool();
  const importer = new Importer(pool);
  const [lengthIn, lengthOut] = lineLengths(kernel.template);
  const memory = [...memoryOf(kernel.buffers), { name: "input", length: lengthIn }, { name: "output", length: lengthOut }];
  const [input, output] = [kernel.buffers.length, kernel.buffers.length + 1];

  const lineIn = importer.list(kernel.lineIn);
  const gather: Store = { buffer: input, axes: lineIn, index: position(pool, lineIn), value: importer.expr(kernel.input), guard: null };
  const stores = kernel.stores.map((store) => {
    const own = importer.store(store);
    // The transformed element is one more array to read; a lone one is a result, as its index would not hold it inside of the loops.
    const element = (e: Expr): Expr | null =>
      e.op === "acc" && lengthOut > 1 ? pool.load(output, position(pool, own.axes), e.dtype) : null;
    return { ...own, value: pool.rewrite(own.value, element) };
  });

  const writer = new Writer(memory);
  countStores(writer, [gather, ...stores]);
  const axes = importer.list(kernel.axes);
  for (const axis of axes) writer.openLoop(axis, literal(0, "int32"), literal(axis.size, "int32"), 1, false);
  writeStores(writer, [gather]);
  writer.line("transform(output, input);");
  if (lengthOut === 1) {
    const name = writer.name("r");
    writer.line(`const ${name} = output[0];`);
    writer.setResult(0, name);
  }
  writeStores(writer, stores);
  for (const _ of axes) writer.close();
  return returned(kernel, writer.finish());
}

/** What `transform` does in the text of {@link emitTemplate}; may spoil its input. */
export type Transform = (output: Float64Array, input: Float64Array) => void;

export function makeTransform(template: Template, dtype: DType): Transform {
  switch (template.name) {
    case "scan":
      return (output, input) => runningSum(output, input, template.reverse, isFloating(dtype));
    case "fft":
      return complexLine(template.n, template.sign);
    case "rfft":
      return realLine(template.n);
    case "irfft":
      return inverseRealLine(template.n);
  }
}

function runningSum(output: Float64Array, input: Float64Array, reverse: boolean, floating: boolean): void {
  let sum = 0;
  for (let step = 0; step < input.length; step++) {
    const at = reverse ? input.length - 1 - step : step;
    sum = floating ? sum + input[at] : (sum + input[at]) | 0;
    output[at] = sum;
  }
}

function complexLine(n: number, sign: -1 | 1): Transform {
  const transform = complexTransform(n);
  if (sign === -1) return transform;
  // With real and imaginary parts swapped on both sides, the transform is the other one.
  return (output, input) => {
    swapParts(input, n);
    transform(output, input);
    swapParts(output, n);
  };
}

function realLine(n: number): Transform {
  const transform = complexTransform(n);
  const line = new Float64Array(2 * n);
  const spectrum = new Float64Array(2 * n);
  return (output, input) => {
    for (let j = 0; j < n; j++) {
      line[2 * j] = input[j];
      line[2 * j + 1] = 0;
    }
    transform(spectrum, line);
    for (let at = 0; at < output.length; at++) output[at] = spectrum[at];
  };
}

/** Bins above the half are conjugates of those below; bins 0 and n/2 are their own, hence real. */
function inverseRealLine(n: number): Transform {
  const transform = complexTransform(n);
  const line = new Float64Array(2 * n);
  const signal = new Float64Array(2 * n);
  return (output, input) => {
    // Swapped parts, as sign +1 needs: the imaginary part first.
    for (let k = 0; 2 * k <= n; k++) {
      const real = input[2 * k];
      const imaginary = k === 0 || 2 * k === n ? 0 : input[2 * k + 1];
      const mirror = (n - k) % n;
      line[2 * mirror] = -imaginary;
      line[2 * mirror + 1] = real;
      line[2 * k] = imaginary;
      line[2 * k + 1] = real;
    }
    transform(signal, line);
    for (let j = 0; j < n; j++) output[j] = signal[2 * j + 1];
  };
}

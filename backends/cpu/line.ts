/** Template kernels: a line is gathered through the printed `input`, transformed as a whole, and written through the printed stores. */
import type { Expr, Store, TemplateKernel } from "../../engine/kernel/ir.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { lineLengths, position } from "../loops/lines.js";
import { Importer } from "../loops/nest.js";
import { Writer } from "../loops/writer.js";
import { countStores, memoryOf, returned, writeStores } from "./emit.js";
import { javaScript } from "./scalar.js";

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

  const writer = new Writer(javaScript, memory);
  countStores(writer, [gather, ...stores]);
  const axes = importer.list(kernel.axes);
  for (const axis of axes) writer.openLoop(axis, javaScript.literal(0, "int32"), javaScript.literal(axis.size, "int32"), 1, false);
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

/** Template kernels as modules: block by block, four lines are read into an array of the step's own, transformed and written out. */

import type { Axis, BufferSpec, Expr, Store, TemplateKernel } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { position } from "../loops/lines.js";
import { Importer, type Nest } from "../loops/nest.js";
import { get, i32, int, ModuleWriter, type ValueType } from "./binary.js";
import { Blocks, pointOf } from "./blocks.js";
import { blockFunction, blockParts, importsOf, type LoopModule, type Target } from "./emit.js";
import { Library } from "./math.js";
import { lineSpace, writeTransform } from "./transform.js";

const width = 4;
/** Of a point of a transform, in cycles, roughly. */
const workPerElement = 8;

/** Null where the transform is left to JavaScript. */
export function compileLines(kernel: TemplateKernel, { relaxed, shared, constants }: Target): LoopModule | null {
  const { dtype } = kernel.input;
  const native = dtype === "float32" || (dtype === "int32" && kernel.template.name === "scan");
  const space = native ? lineSpace(kernel.template) : null;
  if (space === null || (dtype !== "float32" && dtype !== "int32")) return null;
  const module = new ModuleWriter(shared);
  const lines = pointCount(kernel.axes);
  if (lines === 0) return { bytes: module.finish(), phases: [], scratch: [] };

  const pool = new ExprPool();
  const importer = new Importer(pool);
  const blocks = new Blocks(pool, Math.ceil(lines / width));
  const lane = pool.newAxis("lane", width);
  const free = pool.add(pool.mul(blocks.number, pool.int(width)), pool.axis(lane));
  const isExact = lines % width === 0;
  const line = isExact ? free : pool.min(free, pool.int(lines - 1));
  const point = pointOf(pool, importer.list(kernel.axes), line);

  const scratch = kernel.buffers.length;
  const size = space.input + space.output + space.work;
  const place = (first: number, inner: readonly Axis[]): Expr => {
    const element = pool.add(pool.int(first), position(pool, inner));
    const row = pool.add(pool.mul(pool.axis(blocks.step), pool.int(size)), element);
    return pool.add(pool.mul(row, pool.int(width)), pool.axis(lane));
  };
  const lineIn = importer.list(kernel.lineIn);
  const input = pool.substitute(importer.expr(kernel.input), point);
  const gather: Nest = {
    axes: [lane, ...lineIn],
    stages: [],
    stores: [{ buffer: scratch, axes: [], index: place(0, lineIn), value: input, guard: null }],
  };
  const stores = kernel.stores.map((store): Store => {
    const own = importer.store(store);
    const result = pool.load(scratch, place(space.input, own.axes), dtype);
    const moved = (e: Expr): Expr =>
      pool.substitute(
        pool.rewrite(e, (node) => (node.op === "acc" ? result : null)),
        point,
      );
    const guard = own.guard === null ? pool.bool(true) : moved(own.guard);
    const exists = isExact ? guard : pool.and(pool.lt(free, pool.int(lines)), guard);
    const isAlways = exists.op === "const" && exists.value !== 0;
    return { ...own, index: moved(own.index), value: moved(own.value), guard: isAlways ? null : exists };
  });
  const scatter: Nest = { axes: [lane], stages: [], stores };

  const used = new Set([...importsOf(gather), ...importsOf(scatter)]);
  const library = new Library(module, used, relaxed, constants);
  const elements = blocks.steps * size * width;
  const buffers: readonly BufferSpec[] = [...kernel.buffers, { dtype, length: elements, access: "readwrite" }];
  const parameters = [...buffers, ...blocks.axes].map((): ValueType => i32);
  const start = int.add(get(scratch), int.mul(get(buffers.length), int.const(4 * width * size)));
  const { locals, code } = writeTransform(kernel.template, space, start, parameters.length, library, dtype === "int32");
  const functions = (nest: Nest): readonly number[] =>
    blockParts(pool, nest).map((part) => blockFunction(module, library, pool, buffers, part, blocks.axes));
  const before = functions(gather);
  const transform = module.addFunction(parameters, [], locals, code);
  const after = functions(scatter);
  module.export("phase0", blocks.run(module, buffers.length, [...before, transform, ...after]));
  return { bytes: module.finish(), phases: [{ steps: blocks.steps, work: lines * size * workPerElement }], scratch: [elements] };
}

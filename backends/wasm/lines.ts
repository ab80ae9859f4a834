/** Template kernels as loops around a transform of the host: gather the lines, transform each, scatter them. */

import type { Axis, BufferSpec, Expr, LoopKernel, Store, TemplateKernel } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { lineLengths, position } from "../loops/lines.js";
import { Importer } from "../loops/nest.js";

export interface LineKernels {
  /** Takes the kernel's buffers and then the lines, as arrays of the input's dtype. */
  readonly gather: LoopKernel;
  readonly scatter: LoopKernel;
  readonly lines: number;
  readonly lengthIn: number;
  readonly lengthOut: number;
}

export function lineKernels(kernel: TemplateKernel): LineKernels {
  const pool = new ExprPool();
  const importer = new Importer(pool);
  const [lengthIn, lengthOut] = lineLengths(kernel.template);
  const axes = importer.list(kernel.axes);
  const lines = pointCount(kernel.axes);
  const { dtype } = kernel.input;
  const last = kernel.buffers.length;
  const place = (inner: readonly Axis[], length: number): Expr =>
    pool.add(pool.mul(position(pool, axes), pool.int(length)), position(pool, inner));
  const lineIn = importer.list(kernel.lineIn);
  const gathered: Store = { buffer: last, axes: lineIn, index: place(lineIn, lengthIn), value: importer.expr(kernel.input), guard: null };
  const stores = kernel.stores.map((store): Store => {
    const own = importer.store(store);
    const element = (e: Expr): Expr | null => (e.op === "acc" ? pool.load(last, place(own.axes, lengthOut), e.dtype) : null);
    return {
      ...own,
      index: pool.rewrite(own.index, element),
      value: pool.rewrite(own.value, element),
      guard: own.guard && pool.rewrite(own.guard, element),
    };
  });
  const loops = (name: string, access: BufferSpec["access"], length: number, list: readonly Store[]): LoopKernel => ({
    kind: "loops",
    name: `${kernel.name}_${name}`,
    buffers: [...kernel.buffers, { dtype, length: lines * length, access }],
    axes,
    stages: [],
    stores: list,
  });
  return {
    gather: loops("gather", "write", lengthIn, [gathered]),
    scatter: loops("scatter", "read", lengthOut, stores),
    lines,
    lengthIn,
    lengthOut,
  };
}

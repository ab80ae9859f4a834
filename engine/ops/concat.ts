/** Tensors side by side. */
import { OpError } from "../errors.js";
import { normalizeDim, showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { checkInteger, checkOptions, checkTensors } from "./check.js";
import { add } from "./elementwise.js";
import { resultType } from "./operands.js";
import { defineOp, type OpRecord } from "./record.js";
import { sumOver } from "./reduce.js";
import { alias, sliceOp } from "./view.js";

export const catOp: OpRecord<{ readonly dim: number }> = defineOp<{ readonly dim: number }>({
  name: "cat",
  doc: "Inputs one after the other along a dim.",
  reference: "torch.cat",
  infer: (inputs, { dim }) => {
    const [first] = inputs;
    inputs.forEach(({ shape, dtype }, i) => {
      if (shape.length !== first.shape.length || shape.some((n, d) => d !== dim && n !== first.shape[d])) {
        throw new OpError(
          "cat",
          `tensor ${i} has shape ${showShape(shape)}, tensor 0 ${showShape(first.shape)}; all sizes but that of dim ${dim} must agree`,
        );
      }
      if (dtype !== first.dtype) throw new OpError("cat", `tensor ${i} is ${dtype}, tensor 0 ${first.dtype}; cast one with to(dtype)`);
    });
    const length = inputs.reduce((n, { shape }) => n + shape[dim], 0);
    return { shape: first.shape.map((n, d) => (d === dim ? length : n)), dtype: first.dtype };
  },
  lower: { kind: "concat" },
  grad: ({ inputs, grad, attrs: { dim }, needs }) => {
    let offset = 0;
    return inputs.map((x, i) => {
      const start = x.shape.map((_, d) => (d === dim ? offset : 0));
      offset += x.shape[dim];
      return needs(i) ? apply(sliceOp, [grad], { start, size: x.shape, step: start.map(() => 1) }) : null;
    });
  },
  samples: [
    {
      shapes: [
        [2, 3],
        [2, 1],
      ],
      attrs: { dim: 1 },
    },
    {
      shapes: [
        [1, 2],
        [0, 2],
        [3, 2],
      ],
      attrs: { dim: 0 },
    },
  ],
});

/**
 * Tensors one after the other along `dim` (default 0); dtypes are promoted. Tensors of shape [0] fit anywhere and are left out.
 * Throws for an empty list, tensors of rank 0, and shapes that differ elsewhere. Reference: torch.cat.
 */
export function cat(tensors: readonly Tensor[], options?: { readonly dim?: number }): Tensor {
  checkTensors("cat", tensors);
  checkOptions("cat", options, ["dim"]);
  if (tensors.length === 0) throw new OpError("cat", "the list of tensors is empty; give at least one");
  const scalar = tensors.findIndex((t) => t.ndim === 0);
  if (scalar >= 0) throw new OpError("cat", `tensor ${scalar} has rank 0 and cannot be joined; use stack`);
  const full = tensors.filter((t) => t.ndim !== 1 || t.shape[0] !== 0);
  const parts = full.length === 0 ? tensors.slice(0, 1) : full;
  const wanted = options?.dim ?? 0;
  checkInteger("cat", wanted, "dim");
  const dim = normalizeDim("cat", wanted, parts[0].ndim);
  const dtype = resultType(tensors);
  const operands = parts.map((t) => cast(t, dtype));
  const joined = operands.length === 1 ? alias(operands[0]) : apply(catOp, operands, { dim });
  // What was left out still gets a gradient, if an empty one.
  return tensors.filter((t) => t.requiresGrad && !parts.includes(t)).reduce((sum, t) => add(sum, sumOver(t, [0])), joined);
}

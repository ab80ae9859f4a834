/** Running sums. */
import { type DType, isFloating, numbers } from "../dtype.js";
import { OpError } from "../errors.js";
import { normalizeDim } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { checkInteger, checkOptions, checkTensor } from "./check.js";
import { ge, le, where } from "./elementwise-logic.js";
import { iota } from "./leaf.js";
import { defineOp, type OpRecord } from "./record.js";
import { sumOver } from "./reduce.js";
import { alias, expandTo, permute, reshapeTo } from "./view.js";

interface ScanAttrs extends Record<string, unknown> {
  /** From the end towards the front. */
  readonly reverse: boolean;
}

export const cumsumOp: OpRecord<ScanAttrs> = defineOp<ScanAttrs>({
  name: "cumsum",
  doc: "The running sum along the last dim, in order; `reverse` starts at the end. The gradient is the running sum the other way.",
  reference: "torch.cumsum",
  infer: ([x]) => {
    if (x.shape.length === 0) throw new OpError("cumsum", "the record takes tensors of rank 1 or more");
    if (!numbers.includes(x.dtype)) throw new OpError("cumsum", `is not defined for ${x.dtype}; it takes ${numbers.join(", ")}`);
    return x;
  },
  lower: {
    kind: "line",
    template: ({ reverse }, [x]) => ({ name: "scan", combine: "add", reverse, length: x.shape[x.shape.length - 1] }),
    lineDimsIn: 1,
    lineDimsOut: 1,
    slow: ([x], { reverse }) => {
      const n = x.shape[x.ndim - 1];
      const outer = x.shape.slice(0, -1);
      const [row, column] = [iota([n, n], 0, x.device), iota([n, n], 1, x.device)];
      const reached = expandTo(reverse ? ge(column, row) : le(column, row), [...outer, n, n]);
      return sumOver(where(reached, expandTo(reshapeTo(x, [...outer, 1, n]), [...outer, n, n]), 0), [x.ndim]);
    },
  },
  grad: ({ grad, attrs }) => [apply(cumsumOp, [grad], { reverse: !attrs.reverse })],
  samples: [
    { shapes: [[2, 3]], attrs: { reverse: false } },
    { shapes: [[5]], attrs: { reverse: true } },
    { shapes: [[0, 3]], attrs: { reverse: false } },
    { shapes: [[3, 0]], attrs: { reverse: false } },
  ],
});

/** The running sum along `dim`, computed in `dtype`; integers and booleans give int32. Reference: torch.cumsum. */
export function cumsum(x: Tensor, dim: number, options?: { readonly dtype?: DType }): Tensor {
  checkTensor("cumsum", x);
  checkOptions("cumsum", options, ["dtype"]);
  checkInteger("cumsum", dim, "dim");
  const at = normalizeDim("cumsum", dim, x.ndim);
  const values = cast(x, options?.dtype ?? (isFloating(x.dtype) ? x.dtype : "int32"));
  if (x.ndim === 0) return alias(values);
  const order = x.shape.map((_, d) => (d === at ? x.ndim - 1 : d === x.ndim - 1 ? at : d));
  return permute(apply(cumsumOp, [permute(values, order)], { reverse: false }), order);
}

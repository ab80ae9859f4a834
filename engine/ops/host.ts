/** Functions on the host inside a graph: what no kernel can do (greedy suppression, matching, sampling), with shapes known beforehand. */
import type { TypedArray } from "../dtype.js";
import { InternalError, OpError } from "../errors.js";
import type { Node } from "../graph.js";
import { checkShape, numel } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { defineOp, nonDifferentiable, type Spec } from "./record.js";

/** Values of the inputs in row-major order → values of the outputs, likewise. Must not keep or change what it is given. */
export type HostFunction = (inputs: readonly TypedArray[]) => readonly TypedArray[] | Promise<readonly TypedArray[]>;

/**
 * One call, shared by the nodes of its outputs. It has no enumerable properties, so that as an attribute it adds nothing to a plan's key:
 * the same call in the next step is another object and the same structure.
 */
class HostCall {
  readonly #run: HostFunction;
  constructor(name: string, fn: HostFunction, outputs: readonly Spec[]) {
    this.#run = (inputs) => {
      const values = fn(inputs);
      return values instanceof Promise ? values.then((found) => checked(name, found, outputs)) : checked(name, values, outputs);
    };
  }
  get run(): HostFunction {
    return this.#run;
  }
}

function checked(name: string, values: readonly TypedArray[], outputs: readonly Spec[]): readonly TypedArray[] {
  if (values.length !== outputs.length)
    throw new OpError(name, `the host function gave ${values.length} outputs; ${outputs.length} were announced`);
  values.forEach((value, i) => {
    const length = numel(outputs[i].shape);
    if (value.length !== length)
      throw new OpError(name, `output ${i} of the host function has ${value.length} elements; announced were ${length}`);
  });
  return values;
}

type HostAttrs = {
  readonly name: string;
  readonly output: number;
  readonly call: HostCall;
  readonly shape: Spec["shape"];
  readonly dtype: Spec["dtype"];
};

export const hostOp = defineOp<HostAttrs>({
  name: "hostCall",
  doc: "One output of a named function that runs on the host, between two parts of a plan.",
  reference: "DESIGN.md, decision 5",
  infer: (_, { shape, dtype }) => ({ shape, dtype }),
  lower: { kind: "host" },
  grad: nonDifferentiable,
  samples: [],
});

/**
 * Calls `fn` on the host with the values of `inputs`, when they are there. No gradient flows through. `outputs` says what it returns; the
 * shapes must not depend on the values. `name` (default: the function's) is for errors and `explain`.
 *
 * ```ts
 * const [order] = hostCall(([x]) => [argsort(x)], [scores], [{ shape: scores.shape, dtype: "int32" }], { name: "order" });
 * ```
 */
export function hostCall(
  fn: HostFunction,
  inputs: readonly Tensor[],
  outputs: readonly Spec[],
  options: { readonly name?: string } = {},
): Tensor[] {
  const name = options.name ?? (fn.name || "hostCall");
  if (inputs.length === 0) throw new OpError(name, "a host function needs at least one input; make a tensor from values with tensor(…)");
  for (const { shape } of outputs) checkShape(name, shape);
  const call = new HostCall(name, fn, outputs);
  return outputs.map(({ shape, dtype }, output) => apply(hostOp, inputs, { name, output, call, shape: [...shape], dtype }));
}

/** The function behind a node of `hostCall`. */
export function hostFunctionOf(node: Node): HostFunction {
  const { call } = node.attrs;
  if (!(call instanceof HostCall)) throw new InternalError(`node ${node.op.name} holds no host function`);
  return call.run;
}

/**
 * What a network is made of: output shapes, parameters and multiply-adds of every layer, in the columns of torchinfo. Nothing is computed:
 * the network is called once on inputs without values, and the counts are read off the graph that this builds.
 */
import { noGrad } from "../autograd/grad-mode.js";
import { defaultDevice } from "../engine/device.js";
import type { Node } from "../engine/graph.js";
import { numel, type Shape, showShape } from "../engine/shape.js";
import { Tensor } from "../engine/tensor.js";
import { Conv2d } from "./nn/conv.js";
import type { Module } from "./nn/module.js";
import { type Parameter, withoutValues } from "./nn/parameter.js";

/** A layer of a network. */
export interface SummaryRow {
  /** Dotted path; "" for the network itself. */
  readonly path: string;
  readonly type: string;
  readonly depth: number;
  /** Position among the rows of its depth, from 1. */
  readonly index: number;
  /** Of the first input. Null for modules that are not called, and for what is no tensor. */
  readonly inputShape: Shape | null;
  readonly outputShape: Shape | null;
  /** Of convolutions. */
  readonly kernelShape: Shape | null;
  /** Parameters and multiply-adds of the module itself, without those of modules inside: the columns add up to the totals. */
  readonly params: number;
  readonly macs: number;
  /** The same with those of modules inside. */
  readonly totalParams: number;
  readonly totalMacs: number;
  /** Whether all of the parameters, those inside included, are trained, or none, or some; null without any. */
  readonly trainable: boolean | "partial" | null;
}

/** torchinfo's columns. */
export type SummaryColumn = keyof typeof columns;

interface ColumnContext {
  /** Rows below this one are not shown, so that it stands for all inside. */
  readonly deepest: boolean;
  readonly params: number;
}

const shape = (value: Shape | null): string => (value === null ? "--" : showShape(value));
const count = (value: number): string => (value === 0 ? "--" : value.toLocaleString("en-US"));
const paramsOf = (row: SummaryRow, { deepest }: ColumnContext): number => (deepest ? row.totalParams : row.params);

const columns = {
  inputShape: { title: "Input Shape", cell: (row: SummaryRow) => shape(row.inputShape) },
  outputShape: { title: "Output Shape", cell: (row: SummaryRow) => shape(row.outputShape) },
  params: { title: "Param #", cell: (row: SummaryRow, context: ColumnContext) => count(paramsOf(row, context)) },
  paramShare: {
    title: "Param %",
    cell: (row: SummaryRow, context: ColumnContext) => {
      const own = paramsOf(row, context);
      return own === 0 ? "--" : `${((100 * own) / context.params).toFixed(2)}%`;
    },
  },
  kernelShape: { title: "Kernel Shape", cell: (row: SummaryRow) => shape(row.kernelShape) },
  macs: { title: "Mult-Adds", cell: (row: SummaryRow, { deepest }: ColumnContext) => count(deepest ? row.totalMacs : row.macs) },
  trainable: {
    title: "Trainable",
    cell: ({ trainable }: SummaryRow) => (trainable === null ? "--" : trainable === "partial" ? "Partial" : trainable ? "True" : "False"),
  },
} as const;

/** Columns that `summary` can show. */
export const summaryColumns = Object.keys(columns) as readonly SummaryColumn[];

/** A network as a table of its layers, with totals. */
export interface Summary {
  readonly rows: readonly SummaryRow[];
  readonly params: number;
  readonly trainableParams: number;
  /** Multiply-adds of convolutions, linear layers and matrix products; all else counts as 0. */
  readonly macs: number;
  readonly inputBytes: number;
  /** Outputs of the innermost modules, twice: forward and backward. */
  readonly activationBytes: number;
  readonly paramBytes: number;
  /** A table as torchinfo prints it. */
  toString(): string;
}

export interface SummaryOptions {
  /** Deepest rows that `toString` prints; these count what is inside them. Default: 3. */
  readonly depth?: number;
  /** Columns that `toString` prints. Default: outputShape, params, macs. */
  readonly columns?: readonly SummaryColumn[];
}

/**
 * Calls the network in evaluation mode on inputs of these shapes: one shape for `forward(x)`, a list of shapes for `forward([x₀, x₁, …])`.
 * Works on models built with `meta: true`.
 *
 * ```ts
 * import { createModel, summary } from "crabro/models";
 *
 * const model = createModel("hornet_tiny_7x7", { meta: true });
 * console.log(String(summary(model, [1, 3, 224, 224], { depth: 2, columns: ["inputShape", "outputShape", "kernelShape", "params", "macs"] })));
 * ```
 */
export function summary(module: Module, input: Shape | readonly Shape[], options: SummaryOptions = {}): Summary {
  const several = typeof input[0] !== "number";
  const shapes = (several ? input : [input]) as readonly Shape[];
  const device = [...module.stateDict().values()][0]?.device ?? defaultDevice();
  const inputs = shapes.map((shape) => withoutValues(shape, "float32", device));
  const calls = new Map<Module, Call>();
  const seen: Tensor[] = [];
  const modules = [...module.namedModules()];
  const removals = modules.map(([, part]) =>
    part.registerForwardHook((at, given, output) => {
      calls.set(at, { input: tensorsIn(given)[0] ?? null, output });
      seen.push(...tensorsIn(output));
    }),
  );
  const modes = modules.map(([, part]) => part.training);
  try {
    module.eval();
    noGrad(() => (module.forward as (x: unknown) => unknown)(several ? inputs : inputs[0]));
  } finally {
    for (const remove of removals) remove();
    modules.forEach(([, part], i) => {
      part.training = modes[i];
    });
  }
  return new Counted(module, modules, calls, multiplyAdds(seen), shapes, options);
}

interface Call {
  readonly input: Tensor | null;
  readonly output: unknown;
}

const tensorsIn = (value: unknown): Tensor[] => (value instanceof Tensor ? [value] : Array.isArray(value) ? value.flatMap(tensorsIn) : []);

/** Multiply-adds by the path of the module that made the node, over everything that the tensors are computed from. */
function multiplyAdds(tensors: readonly Tensor[]): Map<string, number> {
  const counts = new Map<string, number>();
  const done = new Set<Node>();
  const constant = new Map<Node, boolean>();
  const left = tensors.map(({ node }) => node);
  while (left.length > 0) {
    const node = left.pop() as Node;
    if (done.has(node)) continue;
    done.add(node);
    left.push(...node.inputs);
    const macs = macsOf(node);
    if (macs > 0 && !node.inputs.some((input) => isConstant(input, constant)))
      counts.set(node.module, (counts.get(node.module) ?? 0) + macs);
  }
  return counts;
}

/** Multiply-adds of one node: of convolutions, transposed ones, matrix products, attention. */
function macsOf({ op, inputs, shape }: Node): number {
  const [a, b, c] = inputs.map((input) => input.shape);
  switch (op.name) {
    case "matmul":
      return numel(shape) * a[a.length - 1];
    case "conv2d":
      return numel(shape) * numel(b.slice(1));
    case "conv2dInputGrad":
      return numel(a) * numel(b.slice(1));
    case "attention":
      return numel(a.slice(0, -1)) * b[b.length - 2] * (a[a.length - 1] + c[c.length - 1]);
    default:
      return 0;
  }
}

/** Whether a node depends on neither inputs nor parameters. Resizing is a product with such a matrix, and not counted. */
function isConstant(node: Node, known: Map<Node, boolean>): boolean {
  let found = known.get(node);
  if (found === undefined) {
    found = node.inputs.length === 0 ? node.op.name !== "input" : node.inputs.every((input) => isConstant(input, known));
    known.set(node, found);
  }
  return found;
}

class Counted implements Summary {
  readonly rows: readonly SummaryRow[];
  readonly params: number;
  readonly trainableParams: number;
  readonly macs: number;
  readonly inputBytes: number;
  readonly activationBytes: number;
  readonly paramBytes: number;
  readonly #options: Required<SummaryOptions>;

  constructor(
    module: Module,
    modules: readonly (readonly [string, Module])[],
    calls: ReadonlyMap<Module, Call>,
    macs: ReadonlyMap<string, number>,
    inputs: readonly Shape[],
    { depth = 3, columns = ["outputShape", "params", "macs"] }: SummaryOptions,
  ) {
    const depths = new Map<string, number>();
    const counts: number[] = [];
    this.rows = modules.map(([path, part]) => {
      const at = path === "" ? 0 : depthOfParent(path, depths) + 1;
      depths.set(path, at);
      counts[at] = (counts[at] ?? 0) + 1;
      const { input = null, output = null } = calls.get(part) ?? {};
      const parameters = part.parameters();
      const trained = parameters.filter(({ requiresGrad }) => requiresGrad).length;
      const inside = [...macs].filter(([name]) => path === "" || name === path || name.startsWith(`${path}.`));
      return {
        path,
        type: part.constructor.name,
        depth: at,
        index: counts[at],
        inputShape: input?.shape ?? null,
        outputShape: output instanceof Tensor ? output.shape : null,
        kernelShape: part instanceof Conv2d ? part.weight.shape.slice(2) : null,
        params: total(ownParameters(part)),
        macs: macs.get(path) ?? 0,
        totalParams: total(parameters),
        totalMacs: inside.reduce((sum, [, own]) => sum + own, 0),
        trainable: parameters.length === 0 ? null : trained === parameters.length ? true : trained === 0 ? false : "partial",
      };
    });
    const parameters = module.parameters();
    this.params = total(parameters);
    this.trainableParams = total(parameters.filter(({ requiresGrad }) => requiresGrad));
    this.macs = [...macs.values()].reduce((sum, own) => sum + own, 0);
    this.inputBytes = 4 * inputs.reduce((sum, given) => sum + numel(given), 0);
    const innermost = modules.filter(([, part]) => part.namedChildren().next().done);
    this.activationBytes = 2 * 4 * innermost.reduce((sum, [, part]) => sum + total(tensorsIn(calls.get(part)?.output)), 0);
    this.paramBytes = 4 * this.params;
    this.#options = { depth, columns };
  }

  toString(): string {
    const chosen = this.#options.columns.map((name) => columns[name]);
    const cells = this.rows
      .filter(({ depth }) => depth <= this.#options.depth)
      .map((row) => {
        const { path, type, depth, index } = row;
        const label =
          path === "" ? type : `${"│    ".repeat(depth - 1)}├─${type} (${path.split(".").slice(-2).join(".")}): ${depth}-${index}`;
        const context = { deepest: depth === this.#options.depth, params: this.params };
        return [label, ...chosen.map(({ cell }) => cell(row, context))];
      });
    const header = ["Layer (type (name):depth-idx)", ...chosen.map(({ title }) => title)];
    const widths = header.map((text, i) => Math.max(text.length, ...cells.map((row) => row[i].length)) + 3);
    const line = (row: readonly string[]): string =>
      row
        .map((text, i) => text.padEnd(widths[i]))
        .join("")
        .trimEnd();
    const rule = "=".repeat(widths.reduce((a, b) => a + b));
    const mb = (bytes: number): string => (bytes / 1e6).toFixed(2);
    return [
      rule,
      line(header),
      rule,
      ...cells.map(line),
      rule,
      `Total params: ${this.params.toLocaleString("en-US")}`,
      `Trainable params: ${this.trainableParams.toLocaleString("en-US")}`,
      `Non-trainable params: ${(this.params - this.trainableParams).toLocaleString("en-US")}`,
      `Total mult-adds (G): ${(this.macs / 1e9).toFixed(2)}`,
      rule,
      `Input size (MB): ${mb(this.inputBytes)}`,
      `Forward/backward pass size (MB): ${mb(this.activationBytes)}`,
      `Params size (MB): ${mb(this.paramBytes)}`,
      `Estimated Total Size (MB): ${mb(this.inputBytes + this.activationBytes + this.paramBytes)}`,
      rule,
    ].join("\n");
  }
}

/** Names such as `stages.0` are one step down, so the parent is the longest path before this one that is a module's. */
function depthOfParent(path: string, depths: ReadonlyMap<string, number>): number {
  for (let end = path.lastIndexOf("."); end > 0; end = path.lastIndexOf(".", end - 1)) {
    const depth = depths.get(path.slice(0, end));
    if (depth !== undefined) return depth;
  }
  return 0;
}

const total = (tensors: readonly Tensor[]): number => tensors.reduce((sum, { numel: own }) => sum + own, 0);

function ownParameters(module: Module): Parameter[] {
  const inside = new Set([...module.namedChildren()].flatMap(([, child]) => child.parameters()));
  return module.parameters().filter((parameter) => !inside.has(parameter));
}

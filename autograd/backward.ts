/** The reverse pass: walks the graph from results to leaves and hands each node's gradient rule the sum of what arrived. */
import { isFloating } from "../engine/dtype.js";
import { OpError } from "../engine/errors.js";
import { onesLike } from "../engine/functional/creation.js";
import { building, type Node } from "../engine/graph.js";
import { identity } from "../engine/ops/identity.js";
import { nonDifferentiable, throughSlow } from "../engine/ops/record.js";
import { sameShape, showShape } from "../engine/shape.js";
import { Tensor } from "../engine/tensor.js";
import { accumulate } from "./accumulate.js";
import { enableGrad, withGradMode } from "./grad-mode.js";

interface PassOptions {
  /** Makes the gradients differentiable themselves. Default false. */
  readonly createGraph?: boolean;
  /** Allows another pass over the same graph. Default: `createGraph`. */
  readonly retainGraph?: boolean;
}

export interface BackwardOptions extends PassOptions {
  /** Gradient of the tensor itself: same shape and dtype. Needed unless the tensor has one element. */
  readonly gradient?: Tensor;
}

export interface GradientsOptions extends PassOptions {
  /** Null for an input that the outputs do not depend on, in place of an error. */
  readonly allowUnused?: boolean;
}

declare module "../engine/tensor.js" {
  interface Tensor {
    /** Adds the gradient of this tensor to the `grad` of every leaf behind it that requires one. */
    backward(options?: BackwardOptions): void;
  }
}

Tensor.prototype.backward = function (this: Tensor, options: BackwardOptions = {}): void {
  const { gradient, createGraph = false, retainGraph = createGraph } = options;
  const seed = seedOf("backward", this, gradient ?? null);
  const nodes = collect("backward", [this.node], null);
  withGradMode("backward", createGraph, () => {
    propagate(nodes, [[this.node, seed]], (node, total) => {
      const leaf = node.leafOf;
      if (leaf !== null) leaf.grad = leaf.grad === null ? total : accumulate([leaf.grad, total]);
    });
  });
  if (!retainGraph) spend(nodes);
};

/**
 * Gradients of the sum of `outputs`, each weighted by its entry of `gradOutputs` (ones where null; required unless the output has one
 * element), for `inputs`, which may be any tensors of the graph. Leaves the `grad` of leaves alone.
 */
export function gradients(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  gradOutputs: readonly (Tensor | null)[] | null,
  options: GradientsOptions & { readonly allowUnused: true },
): (Tensor | null)[];
export function gradients(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  gradOutputs?: readonly (Tensor | null)[] | null,
  options?: GradientsOptions,
): Tensor[];
export function gradients(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  gradOutputs: readonly (Tensor | null)[] | null = null,
  { createGraph = false, retainGraph = createGraph, allowUnused = false }: GradientsOptions = {},
): (Tensor | null)[] {
  const roots = outputs.flatMap((output, i): (readonly [Node, Tensor])[] => {
    if (allowUnused && !output.requiresGrad) return [];
    return [[output.node, seedOf("gradients", output, gradOutputs?.[i] ?? null)]];
  });
  const wanted = new Set(inputs.map((input) => input.node));
  const nodes = collect(
    "gradients",
    roots.map(([node]) => node),
    wanted,
  );
  const totals = totalsOf(nodes, roots, wanted, createGraph);
  if (!retainGraph) spend(nodes);
  return inputs.map((input, i) => {
    const total = totals.get(input.node) ?? null;
    if (total === null && !allowUnused) {
      throw new OpError(
        "gradients",
        `the outputs do not depend on input ${i}, a ${input.dtype} tensor of shape ${showShape(input.shape)}; does it require gradients? pass { allowUnused: true } to get null`,
      );
    }
    return total;
  });
}

function totalsOf(
  nodes: readonly Node[],
  roots: readonly (readonly [Node, Tensor])[],
  wanted: ReadonlySet<Node>,
  createGraph: boolean,
  ends?: ReadonlySet<Node>,
): Map<Node, Tensor> {
  const totals = new Map<Node, Tensor>();
  const note = (node: Node, total: Tensor): void => {
    if (wanted.has(node)) totals.set(node, total);
  };
  withGradMode("gradients", createGraph, () => propagate(nodes, roots, note, ends));
  return totals;
}

function seedOf(op: string, output: Tensor, given: Tensor | null): Tensor {
  if (!output.requiresGrad) {
    throw new OpError(
      op,
      "the tensor depends on no tensor that requires gradients; was it made under noGrad(), from detach(), or without a parameter?",
    );
  }
  if (given === null) {
    if (output.numel !== 1) {
      throw new OpError(
        op,
        `the tensor has shape ${showShape(output.shape)}, and only one element has an obvious gradient; reduce it with sum() or mean(), or pass its gradient`,
      );
    }
    return onesLike(output);
  }
  if (!sameShape(given.shape, output.shape) || given.dtype !== output.dtype) {
    throw new OpError(
      op,
      `the gradient given is ${given.dtype} ${showShape(given.shape)}; expected that of the tensor, ${output.dtype} ${showShape(output.shape)}`,
    );
  }
  return given;
}

/** Where gradients stop: parameters and other tensors that the user asked gradients for, and anything that has no inputs. */
const isLeaf = (node: Node): boolean => node.leafOf !== null || node.inputs.length === 0;

/** The nodes that the pass visits, results before what they are made of: those that lead to a wanted node, or all when null; none behind `ends`. */
function collect(op: string, roots: readonly Node[], wanted: ReadonlySet<Node> | null, ends: ReadonlySet<Node> = new Set()): Node[] {
  const seen = new Set<Node>();
  const stack = roots.filter((node) => node.requiresGrad);
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.leafOf !== null || ends.has(node)) continue;
    for (const input of node.inputs) if (input.requiresGrad && !seen.has(input)) stack.push(input);
  }
  // Inputs exist before what is made of them, so ids are a topological order.
  const ascending = [...seen].sort((a, b) => a.id - b.id);
  const needed = new Set<Node>();
  for (const node of ascending) {
    if (wanted === null || wanted.has(node) || (!isLeaf(node) && node.inputs.some((input) => needed.has(input)))) needed.add(node);
  }
  const spent = ascending.find((node) => node.spent && needed.has(node) && node.leafOf === null);
  if (spent !== undefined) {
    throw new OpError(
      op,
      `gradients have been taken through this graph before (at ${spent.op.name}${spent.module && ` in ${spent.module}`}), and it was let go; pass { retainGraph: true } the first time, or build it again`,
    );
  }
  return ascending.filter((node) => needed.has(node)).reverse();
}

function spend(nodes: readonly Node[]): void {
  for (const node of nodes) if (!isLeaf(node)) node.spent = true;
}

function propagate(
  nodes: readonly Node[],
  roots: readonly (readonly [Node, Tensor])[],
  arrived: (node: Node, total: Tensor) => void,
  ends: ReadonlySet<Node> = new Set(),
): void {
  const visited = new Set(nodes);
  const parts = new Map<Node, Tensor[]>();
  const add = (node: Node, part: Tensor): void => {
    const known = parts.get(node);
    if (known === undefined) parts.set(node, [part]);
    else known.push(part);
  };
  for (const [node, seed] of roots) if (visited.has(node)) add(node, seed);

  const module = building.module;
  try {
    for (const node of nodes) {
      const arriving = parts.get(node);
      if (arriving === undefined) continue;
      parts.delete(node);
      building.module = node.module;
      const total = accumulate(arriving);
      arrived(node, total);
      if (isLeaf(node) || ends.has(node) || !node.inputs.some((input) => visited.has(input))) continue;
      const found = inputGradients(node, total, (i) => visited.has(node.inputs[i]));
      found.forEach((part, i) => {
        if (part !== null && visited.has(node.inputs[i])) add(node.inputs[i], part);
      });
    }
  } finally {
    building.module = module;
  }
}

/** What the node's rule says, checked. */
function inputGradients(node: Node, grad: Tensor, needs: (i: number) => boolean): readonly (Tensor | null)[] {
  const { op, attrs } = node;
  if (op.grad === nonDifferentiable) return node.inputs.map(() => null);
  const inputs = node.inputs.map((input) => new Tensor(input));
  const context = { inputs, output: new Tensor(node), grad, attrs, needs };
  const found = op.grad === throughSlow ? slowGradients(node, inputs, grad, needs) : op.grad(context);
  checkGradients(op.name, found, inputs);
  return found;
}

/** Throws unless every gradient has the shape and dtype of its input. */
export function checkGradients(op: string, found: readonly (Tensor | null)[], inputs: readonly Tensor[]): void {
  if (found.length > inputs.length)
    throw new OpError(op, `its gradient rule returned ${found.length} gradients for ${inputs.length} inputs`);
  found.forEach((part, i) => {
    if (part === null || (sameShape(part.shape, inputs[i].shape) && part.dtype === inputs[i].dtype)) return;
    throw new OpError(
      op,
      `its gradient rule returned ${part.dtype} ${showShape(part.shape)} for input ${i}, which is ${inputs[i].dtype} ${showShape(inputs[i].shape)}`,
    );
  });
}

/** Gradients by way of the operation's slow definition, built anew from its inputs. */
function slowGradients(node: Node, inputs: readonly Tensor[], grad: Tensor, needs: (i: number) => boolean): (Tensor | null)[] {
  const { lower } = node.op;
  if (lower.kind !== "line" && lower.kind !== "composite") throw new OpError(node.op.name, "it has no slow definition to differentiate");
  return gradientsOf((probes) => lower.slow(probes, node.attrs), inputs, [], grad, needs);
}

/**
 * The gradients of `fn` at `inputs`, and for the tensors `captured` that it uses without being given them, when its output has gradient
 * `grad`. As rules want them: differentiable again while gradients are recorded, and null where `needs` says no.
 */
export function gradientsOf(
  fn: (inputs: readonly Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  captured: readonly Tensor[],
  grad: Tensor,
  needs: (i: number) => boolean,
): (Tensor | null)[] {
  const createGraph = building.gradEnabled;
  const probes = inputs.map((input, i) => (needs(i) && isFloating(input.dtype) ? probe(input) : input));
  const output = enableGrad(() => fn(probes));
  if (!output.requiresGrad) return [...inputs, ...captured].map(() => null);
  const places = [...probes, ...captured].map((x) => x.node);
  const wanted = new Set(places.filter((node, i) => needs(i) && node.requiresGrad));
  // One place may be made from another; what lies behind each is the business of the pass that asked.
  const nodes = collect("gradients", [output.node], wanted, wanted);
  const totals = totalsOf(nodes, [[output.node, grad]], wanted, createGraph, wanted);
  return places.map((node, i) => (needs(i) ? (totals.get(node) ?? null) : null));
}

/** `x` as a place of its own in the graph, where gradients are wanted whether or not `x` requires them. */
export function probe(x: Tensor): Tensor {
  const made = enableGrad(() => identity(x));
  (made.node as { requiresGrad: boolean }).requiresGrad = true;
  return made;
}

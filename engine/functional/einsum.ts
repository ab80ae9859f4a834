/** Einstein's summation: the letters name dims; letters missing from the result are summed over. */
import { OpError } from "../errors.js";
import { matmulNodes } from "../ops/matmul.js";
import { showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { mul } from "./elementwise.js";
import { diagonal, expand, permute, reshape, squeeze, unsqueeze } from "./movement.js";
import { sum } from "./reduction.js";

/** A tensor whose dims have names. Dims of an ellipsis are named by their distance from its end: "1" is its last. */
interface Labelled {
  readonly x: Tensor;
  readonly labels: readonly string[];
}

const fail = (message: string): OpError => new OpError("einsum", message);

/**
 * `einsum("bij,bjk->bik", x, y)`. `...` stands for any further dims, which broadcast; without `->` the result has the letters that occur
 * once, in order of the alphabet; a letter twice in one operand takes the diagonal. Operands are contracted from left to right.
 */
export function einsum(equation: string, ...operands: readonly (Tensor | readonly Tensor[])[]): Tensor {
  const tensors = operands.flat() as Tensor[];
  const { inputs, output } = parse(equation, tensors);
  const [first, ...rest] = tensors.map((x, i) => withoutOnes(diagonals(x, inputs[i]), sizesOf(tensors, inputs)));
  let result = first;
  rest.forEach((next, i) => {
    const later = new Set([...output, ...rest.slice(i + 1).flatMap(({ labels }) => labels)]);
    result = contract(result, next, later);
  });
  return arrange(result, output, sizesOf(tensors, inputs));
}

function parse(equation: string, tensors: readonly Tensor[]): { inputs: string[][]; output: string[] } {
  const text = equation.replaceAll(" ", "");
  const [left, right, more] = text.split("->");
  if (more !== undefined) throw fail(`"${equation}" has two arrows`);
  const terms = left.split(",");
  if (terms.length !== tensors.length) throw fail(`"${equation}" names ${terms.length} operands; got ${tensors.length}`);
  const inputs = terms.map((term, i) => labelsOf(term, tensors[i].ndim, `operand ${i} of shape ${showShape(tensors[i].shape)}`));
  const extra = Math.max(0, ...inputs.map((labels) => labels.filter(isExtra).length));
  const ellipsis = extraLabels(extra);
  if (right === undefined) {
    const letters = inputs.flat().filter((label) => !isExtra(label));
    const once = letters.filter((label) => letters.indexOf(label) === letters.lastIndexOf(label));
    return { inputs, output: [...ellipsis, ...once.sort()] };
  }
  const hasEllipsis = right.includes("...");
  const output = labelsOf(right, right.replace("...", "").length + (hasEllipsis ? extra : 0), "the result");
  for (const label of output) {
    if (output.indexOf(label) !== output.lastIndexOf(label)) throw fail(`"${equation}" has ${label} twice in the result`);
    if (!isExtra(label) && !inputs.some((labels) => labels.includes(label)))
      throw fail(`"${equation}" has ${label} in the result but in no operand`);
  }
  return { inputs, output };
}

const isExtra = (label: string): boolean => label >= "0" && label <= "99";
const extraLabels = (count: number): string[] => Array.from({ length: count }, (_, i) => String(count - i));

function labelsOf(term: string, rank: number, what: string): string[] {
  const [before, after, more] = term.split("...");
  if (more !== undefined) throw fail(`"${term}" has two ellipses`);
  for (const letter of before + (after ?? "")) {
    if (letter === ".") throw fail(`"${term}" has a dot that is not part of an ellipsis "..."`);
    if (!/[a-zA-Z]/.test(letter)) throw fail(`"${term}" has "${letter}" for a subscript; expected letters a-z and A-Z`);
  }
  const named = before.length + (after?.length ?? 0);
  if (after === undefined ? named !== rank : named > rank) throw fail(`"${term}" has ${named} subscripts; ${what} has ${rank} dims`);
  return [...before, ...extraLabels(after === undefined ? 0 : rank - named), ...(after ?? "")];
}

/** The size of each label, where 1 gives way to any other. */
function sizesOf(tensors: readonly Tensor[], inputs: readonly string[][]): Map<string, number> {
  const sizes = new Map<string, number>();
  inputs.forEach((labels, i) => {
    labels.forEach((label, dim) => {
      const size = tensors[i].shape[dim];
      const known = sizes.get(label) ?? 1;
      if (known !== 1 && size !== 1 && known !== size) {
        throw fail(
          `subscript ${isExtra(label) ? "..." : label} has size ${size} in operand ${i} of shape ${showShape(tensors[i].shape)}, and ${known} before`,
        );
      }
      sizes.set(label, known === 1 ? size : known);
    });
  });
  return sizes;
}

function diagonals(x: Tensor, labels: readonly string[]): Labelled {
  for (let second = 1; second < labels.length; second++) {
    const first = labels.indexOf(labels[second]);
    if (first === second) continue;
    if (x.shape[first] !== x.shape[second]) {
      throw fail(
        `subscript ${labels[second]} is repeated in an operand of shape ${showShape(x.shape)}, but the sizes ${x.shape[first]} and ${x.shape[second]} differ`,
      );
    }
    const rest = labels.filter((_, i) => i !== first && i !== second);
    return diagonals(diagonal(x, { dim1: first, dim2: second }), [...rest, labels[second]]);
  }
  return { x, labels };
}

/** Leaves out dims of size 1 that broadcast to more in other operands. */
function withoutOnes({ x, labels }: Labelled, sizes: ReadonlyMap<string, number>): Labelled {
  const kept = labels.filter((label, i) => !(x.shape[i] === 1 && sizes.get(label) !== 1));
  const dims = labels.flatMap((label, i) => (kept.includes(label) ? [] : [i]));
  return dims.length === 0 ? { x, labels } : { x: squeeze(x, { dim: dims }), labels: kept };
}

function sumOut({ x, labels }: Labelled, drop: readonly string[]): Labelled {
  if (drop.length === 0) return { x, labels };
  return { x: sum(x, { dim: drop.map((label) => labels.indexOf(label)) }), labels: labels.filter((label) => !drop.includes(label)) };
}

/** One operand out of two; labels not in `later` are summed over. */
function contract(left: Labelled, right: Labelled, later: ReadonlySet<string>): Labelled {
  const a = sumOut(
    left,
    left.labels.filter((label) => !later.has(label) && !right.labels.includes(label)),
  );
  const b = sumOut(
    right,
    right.labels.filter((label) => !later.has(label) && !left.labels.includes(label)),
  );
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const summed = shared.filter((label) => !later.has(label));
  const onlyA = a.labels.filter((label) => !shared.includes(label));
  const onlyB = b.labels.filter((label) => !shared.includes(label));
  const batch = shared.filter((label) => later.has(label));
  if (summed.length === 0) {
    const labels = [...batch, ...onlyA, ...onlyB];
    return { x: mul(place(a, labels), place(b, labels)), labels };
  }
  // A matrix product takes one row and one column dim; further ones become batch dims along which the other operand is expanded.
  const [rows, columns] = [onlyA.slice(-1), onlyB.slice(-1)];
  const outerLabels = [...batch, ...onlyA.slice(0, -1), ...onlyB.slice(0, -1)];
  const sizes = new Map([a, b].flatMap(({ x, labels }) => labels.map((label, i) => [label, x.shape[i]] as const)));
  const size = (labels: readonly string[]): number => labels.reduce((n, label) => n * (sizes.get(label) as number), 1);
  const outerShape = outerLabels.map((label) => sizes.get(label) as number);
  const matrix = (operand: Labelled, inner: readonly string[], shape: readonly number[]): Tensor => {
    const placed = place(operand, [...outerLabels, ...inner]);
    const joined = reshape(placed, [...placed.shape.slice(0, outerLabels.length), ...shape]);
    return expand(joined, [...outerShape, ...shape]);
  };
  const x = matmulNodes(
    matrix(a, [...rows, ...summed], [size(rows), size(summed)]),
    matrix(b, [...summed, ...columns], [size(summed), size(columns)]),
  );
  const labels = [...outerLabels, ...rows, ...columns];
  return { x: reshape(x, [...outerShape, ...[...rows, ...columns].map((label) => sizes.get(label) as number)]), labels };
}

/** The operand with dims in the order of `labels`; those that it lacks have size 1. */
function place({ x, labels }: Labelled, wanted: readonly string[]): Tensor {
  const order = wanted.filter((label) => labels.includes(label)).map((label) => labels.indexOf(label));
  let out = permute(x, order);
  wanted.forEach((label, dim) => {
    if (!labels.includes(label)) out = unsqueeze(out, dim);
  });
  return out;
}

function arrange(result: Labelled, output: readonly string[], sizes: ReadonlyMap<string, number>): Tensor {
  const summed = sumOut(
    result,
    result.labels.filter((label) => !output.includes(label)),
  );
  return expand(
    place(summed, output),
    output.map((label) => sizes.get(label) ?? 1),
  );
}

/** Random tensor programs: plain data that builds the same graph on any device, so that devices can be compared and failures shrink. */
import fc from "fast-check";
import { type Device, mul, sum, type Tensor, tensor } from "../../index.js";
import { steps as basic, leafData, type Step } from "./steps.js";
import { recordSteps, tableSteps } from "./table-steps.js";

export interface Instruction {
  readonly op: number;
  readonly a: number;
  readonly b: number;
  readonly p: number;
  readonly q: number;
}
export interface Program {
  readonly leaves: readonly (readonly number[])[];
  readonly instructions: readonly Instruction[];
}

const MAX_ELEMENTS = 400;

const instruction = fc.record({ op: fc.nat(1000), a: fc.nat(50), b: fc.nat(50), p: fc.nat(60), q: fc.nat(60) });
export const programs: fc.Arbitrary<Program> = fc.record({
  leaves: fc.array(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 0, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  instructions: fc.array(instruction, { minLength: 1, maxLength: 24 }),
});

/** New kinds go to the end: kept seeds name a kind by its place. Those of the records come last, in the order of the table. */
export const steps: readonly (readonly [string, Step])[] = [...basic, ...tableSteps, ...recordSteps];

const leaves = [
  [2, 3, 4, 5],
  [4, 1, 5],
  [6, 4],
];
const byHand = basic.length + tableSteps.length;

/** A program a kind, which uses it thrice, and programs of the records' own steps; together they draw every record, gradients included. */
export const singles: readonly Program[] = [
  ...steps.slice(0, byHand).map((_, op) => ({
    leaves,
    instructions: [
      { op, a: 2, b: 2, p: 1, q: 1 },
      { op, a: 0, b: 0, p: 1, q: 1 },
      { op, a: 2, b: 2, p: 2, q: 2 },
    ],
  })),
  ...Array.from({ length: Math.ceil(recordSteps.length / 8) }, (_, chunk) => ({
    leaves: [[2, 3]],
    instructions: recordSteps.slice(8 * chunk, 8 * chunk + 8).map((_, i) => ({ op: byHand + 8 * chunk + i, a: 0, b: 0, p: chunk, q: 0 })),
  })),
];

/** The tensors a program makes, in order, on a device. */
export function build(program: Program, device: Device, requiresGrad = false): Tensor[] {
  const made = program.leaves.map((shape, i) => tensor(leafData(shape, i), { shape, device, requiresGrad }));
  for (const { op, a, b, p, q } of program.instructions) {
    const x = made[made.length - 1 - (a % made.length)];
    const y = made[made.length - 1 - (b % made.length)];
    const result = steps[op % steps.length][1](x, y, p, q);
    if (result !== null && result.numel > 0 && result.numel <= MAX_ELEMENTS && result.ndim <= 5) made.push(result);
  }
  return made;
}

/** What is read: the last tensor and one from the middle, so that kernels have several outputs. */
export async function run(program: Program, device: Device): Promise<{ shape: readonly number[]; data: ArrayLike<number> }[]> {
  const made = build(program, device);
  const wanted = [...new Set([made[made.length - 1], made[made.length >> 1]])];
  const data = await Promise.all(wanted.map((t) => t.data()));
  return wanted.map((t, i) => ({ shape: t.shape, data: data[i] }));
}

/** A weighted sum of the last of the tensors; null where no gradient flows there. */
export function lossOf(made: readonly Tensor[], device: Device): Tensor | null {
  const last = made[made.length - 1];
  return last.requiresGrad ? sum(mul(last, tensor(leafData(last.shape, 5), { shape: last.shape, device }))) : null;
}

/** Gradients of `lossOf` with respect to every leaf that it depends on. */
export async function runGradients(program: Program, device: Device): Promise<{ shape: readonly number[]; data: ArrayLike<number> }[]> {
  const made = build(program, device, true);
  lossOf(made, device)?.backward();
  const gradients = made.slice(0, program.leaves.length).flatMap((leaf) => (leaf.grad === null ? [] : [leaf.grad]));
  const data = await Promise.all(gradients.map((g) => g.data()));
  return gradients.map((g, i) => ({ shape: g.shape, data: data[i] }));
}

/** How a program reads, for reports. */
export const show = (program: Program): string =>
  `${program.leaves.map((s) => `[${s}]`).join(" ")} ${program.instructions.map((i) => `${steps[i.op % steps.length][0]}(${i.a},${i.b};${i.p},${i.q})`).join(" ")}`;

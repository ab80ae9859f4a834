/**
 * Kernels as gpu.js source: one function for each store, which finds the point whose value its thread returns (`invert.ts`), runs the
 * stages for it, and returns the value. Names are made up and nothing is taken from outside, as gpu.js sees nothing but the text.
 */
import { isFloating } from "../../engine/dtype.js";
import type { Axis, Expr, LoopKernel, Stage, Store } from "../../engine/kernel/ir.js";
import { identityOf } from "../../engine/kernel/scalar.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { type ClampedNest, type ClampedStage, clampNest, type Loop, roundsOf } from "../loops/clamp.js";
import { type Group, groupStages, isTrue, stageExprs } from "../loops/groups.js";
import { Importer, mergeAxes, type Nest } from "../loops/nest.js";
import { stored, type Text } from "../loops/text.js";
import { loadsOf, nodesOf, stagesOf } from "../loops/walk.js";
import { Writer } from "../loops/writer.js";
import { type Digit, type Inverse, invert } from "./invert.js";
import type { Language } from "./language.js";

/** One gpu.js kernel: returns the elements of one buffer. */
export interface Program {
  readonly source: string;
  /** Functions that the source calls. */
  readonly functions: readonly string[];
  /** What it finds in `this.constants`. */
  readonly constants: Readonly<Record<string, readonly number[]>>;
  /** Buffers in the order of the parameters. */
  readonly parameters: readonly number[];
  /** The buffer that gets the result, and whether its old contents are one more parameter, the last. */
  readonly output: number;
  readonly keeps: boolean;
  /** Of the output: elements of a row (`this.thread.x`), and rows (`this.thread.y`), where there is more than one. */
  readonly shape: readonly [number] | readonly [number, number];
}

/** One program for each store that stores anything, in the order of the stores; or why gpu.js cannot run the kernel. */
export function emitLoops(kernel: LoopKernel, language: Language): readonly Program[] | string {
  const values = [...kernel.stages.map(({ body }) => body), ...kernel.stores.map(({ value }) => value)];
  if ([...nodesOf(values)].some((e) => e.op === "call" && e.fn === "threefry"))
    return "threefry's 32-bit words are beyond the integers that gpu.js holds; rand and its kin are filled on the host there";
  const programs: Program[] = [];
  for (let store = 0; store < kernel.stores.length; store++) {
    const program = emitStore(kernel, store, language);
    if (typeof program === "string") return program;
    if (program !== null) programs.push(program);
  }
  return programs;
}

function emitStore(kernel: LoopKernel, which: number, language: Language): Program | string | null {
  const pool = new ExprPool();
  const whole = new Importer(pool).nest({ ...kernel, stores: [kernel.stores[which]] });
  const [store] = whole.stores;
  if ([...whole.axes, ...store.axes].some((axis) => axis.size === 0)) return null;
  const nest = mergeAxes(pool, withoutUnused(pool, whole));
  const [merged] = nest.stores;
  const { buffer } = merged;
  const { length } = kernel.buffers[buffer];
  const inverse = invert(nest.axes, merged, length);
  if (typeof inverse === "string") return inverse;
  const clamped = language.freeLoops ? clampNest(pool, nest) : plainNest(pool, nest);
  const memory = kernel.buffers.map(({ length }, i) => ({ name: `b${i}`, length }));
  const writer = new Writer(language, memory, clamped.weakened);
  for (const stage of clamped.stages) for (const e of stageExprs(stage)) writer.count(e);
  const wanted = merged.guard === null ? [merged.value] : [merged.value, merged.guard];
  for (const e of wanted) writer.count(e);

  const keeps = !inverse.covers;
  const rows = language.leastRow === undefined || keeps ? null : inRows(inverse.digits, language.leastRow);
  if (rows === null) writePoint(writer, inverse, language);
  else {
    writePoint(writer, { ...inverse, digits: rows.digits }, language, "row", "this.thread.y");
    writePoint(writer, { ...inverse, digits: rows.within }, language);
  }
  if (merged.guard !== null) writer.line(`if (!(${writer.value(merged.guard).code})) { return old[point]; }`);
  for (const group of groupStages(clamped.stages)) writeGroup(writer, group, language);
  const result = language.result(stored(writer.value(merged.value), merged.value.dtype), merged.value.dtype);
  writer.line(`return ${result.code};`);
  const read = new Set([...loadsOf([...clamped.stages.flatMap(stageExprs), ...wanted])].map((load) => load.buffer));
  const parameters = [...read].sort((a, b) => a - b);
  const names = [...parameters.map((i) => `b${i}`), ...(keeps ? ["old"] : [])];
  const [first, ...others] = writer.finish().split("\n");
  const functions = language.functionsFor(others.join("\n"));
  const body = [first, ...language.mention(functions), ...others].join("\n").replace(/^(?=.)/gm, "  ");
  const source = `function (${names.join(", ")}) {\n${body}\n}`;
  const constants = language.constantsFor([source, ...functions].join("\n"));
  const shape: Program["shape"] = rows === null ? [length] : [rows.width, length / rows.width];
  return { source, functions, constants, parameters, output: buffer, keeps, shape };
}

/** Without the stages that the store does not ask for. */
function withoutUnused(pool: ExprPool, nest: Nest): Nest {
  const used = new Set<number>();
  const waiting = nest.stores
    .flatMap((store) => [store.value, ...(store.guard === null ? [] : [store.guard])])
    .flatMap((e) => [...stagesOf(e)]);
  for (let stage = waiting.pop(); stage !== undefined; stage = waiting.pop()) {
    if (used.has(stage)) continue;
    used.add(stage);
    waiting.push(...stagesOf(nest.stages[stage].body));
  }
  if (used.size === nest.stages.length) return nest;
  const kept = nest.stages.flatMap((_, i) => (used.has(i) ? [i] : []));
  const numbers = new Map(kept.map((old, i) => [old, i]));
  const renumber = (e: Expr): Expr =>
    pool.rewrite(e, (node) => (node.op === "acc" ? pool.acc(numbers.get(node.stage) as number, node.dtype) : null));
  const stages: Stage[] = kept.map((old) => ({ ...nest.stages[old], body: renumber(nest.stages[old].body) }));
  const stores: Store[] = nest.stores.map((store) => ({
    ...store,
    value: renumber(store.value),
    guard: store.guard && renumber(store.guard),
  }));
  return { axes: nest.axes, stages, stores };
}

/** The loops as they are, from 0 to a literal: all that gpu.js's shader modes take. */
function plainNest(pool: ExprPool, nest: Nest): ClampedNest {
  const loopOf = (axis: Axis): Loop => ({ axis, lower: pool.int(0), upper: pool.int(axis.size), step: 1, condition: pool.bool(true) });
  const stages = nest.stages.map(
    ({ axes, combine, body }): ClampedStage => ({ loops: axes.map(loopOf), combine, condition: pool.bool(true), body }),
  );
  return { axes: nest.axes, stages, stores: nest.stores, weakened: new Set() };
}

/** Parts a point's number into that of a row of at least so many elements and the place in it; null where there is one row only. */
function inRows(digits: readonly Digit[], least: number) {
  let width = 1;
  let first = digits.length;
  while (first > 0 && width < least) width *= digits[--first].axis.size;
  if (first === 0) return null;
  const rows = digits.slice(0, first).map((digit) => ({ ...digit, stride: digit.stride / width }));
  return { width, digits: rows, within: digits.slice(first) };
}

/** From the thread's number to the axes; threads that are no point's return what was there. */
function writePoint(writer: Writer, { base, digits, covers }: Inverse, language: Language, name = "point", thread = "this.thread.x"): void {
  writer.line(`const ${name} = ${language.axisOf?.(thread) ?? thread};`);
  let rest = name;
  if (base !== 0) {
    rest = writer.name("r");
    writer.line(`const ${rest} = point - ${base};`);
  }
  const isPartial = !covers;
  if (isPartial && base > 0) writer.line(`if (${rest} < 0) { return old[point]; }`);
  digits.forEach(({ axis, stride, reversed }, i) => {
    const last = i === digits.length - 1;
    const digit = last && stride === 1 ? rest : writer.name("q");
    if (digit !== rest) {
      for (const line of language.quotient(digit, rest, stride)) writer.line(line);
      const next = writer.name("r");
      writer.line(`const ${next} = ${rest} - ${digit} * ${stride};`);
      rest = next;
    }
    // A number beyond the axis belongs to a gap between the points.
    if (isPartial) writer.line(`if (${digit} >= ${axis.size}) { return old[point]; }`);
    writer.defineAxis(axis, reversed ? `${axis.size - 1} - ${digit}` : digit);
    if (last && isPartial && stride !== 1) writer.line(`if (${rest} !== 0) { return old[point]; }`);
  });
  if (isPartial && digits.length === 0) writer.line(`if (${rest} !== 0) { return old[point]; }`);
}

function writeGroup(writer: Writer, { numbers, stages }: Group, language: Language): void {
  const start = ({ combine, body }: ClampedStage): Text => {
    const identity = language.literal(identityOf(combine, body.dtype), body.dtype);
    return body.dtype === "bool" ? (language.keptBooleans?.keep(identity) ?? identity) : identity;
  };
  const declared = (prefix: string): string[] =>
    stages.map((stage) => {
      const name = writer.name(prefix);
      writer.line(`let ${name} = ${start(stage).code};`);
      return name;
    });
  const add = (into: readonly string[], values: (i: number) => Text): void => {
    stages.forEach(({ combine, body }, i) => {
      writer.line(`${into[i]} = ${language.combined(combine, body.dtype, into[i], values(i))};`);
    });
  };
  const results = declared("s");
  const { loops } = stages[0];
  const isLong = stages.some(({ combine, body }) => combine === "add" && isFloating(body.dtype)) && roundsOf(loops) > language.longest;
  // Partial sums end with the rounds of loops that hold enough of them; a lone long loop counts its rounds.
  const splits = isLong ? splitDepths(loops, language.longest) : [];
  const sums = [...splits.map(() => declared("p")), results];
  const pass = (level: number): void => add(sums[level + 1], (i) => ({ code: sums[level][i], strength: 20 }));
  const flush = (level: number): void => {
    pass(level);
    stages.forEach((stage, i) => {
      writer.line(`${sums[level][i]} = ${start(stage).code};`);
    });
  };
  const outer = writer.depth;
  const depths = loops.map(({ axis, lower, upper, step, condition }) => {
    if (!isTrue(condition)) writer.openBranch(writer.value(condition));
    const mayBeEmpty = lower.op !== "const" || upper.op !== "const" || upper.value <= lower.value;
    writer.openLoop(axis, writer.value(lower), writer.value(upper), step, mayBeEmpty);
    return writer.depth;
  });
  stages.forEach(({ combine, condition, body }, i) => {
    const guarded = !isTrue(condition);
    if (guarded) writer.openBranch(writer.value(condition));
    writer.line(`${sums[0][i]} = ${language.combined(combine, body.dtype, sums[0][i], writer.value(body))};`);
    if (guarded) writer.close();
  });
  const isLone = isLong && loops.length === 1;
  if (isLone) {
    const rounds = 2 ** Math.round(Math.log2(roundsOf(loops)) / 2);
    writer.line(`if (${writer.axisName(loops[0].axis)} % ${rounds} === ${rounds - 1}) {`);
    flush(0);
    writer.line("}");
  } else {
    splits.forEach((depth, level) => {
      while (writer.depth > depths[depth]) writer.close();
      flush(level);
    });
  }
  while (writer.depth > outer) writer.close();
  if (isLone) pass(0);
  results.forEach((name, i) => {
    writer.setResult(numbers[i], name);
  });
}

/** The loops at whose rounds' ends partial sums go into the next, innermost first. */
function splitDepths(loops: readonly Loop[], longest: number): readonly number[] {
  const splits: number[] = [];
  let terms = 1;
  for (let depth = loops.length - 1; depth > 0; depth--) {
    terms *= loops[depth].axis.size;
    if (4 * terms < longest) continue;
    splits.push(depth - 1);
    terms = 1;
  }
  return splits.length > 0 ? splits : [0];
}

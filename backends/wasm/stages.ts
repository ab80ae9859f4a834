/** Stages: accumulators in registers, and how results that lie in lanes, parts or doubles become one value. */
import type { DType } from "../../engine/dtype.js";
import type { Combine, Expr } from "../../engine/kernel/ir.js";
import { identityOf } from "../../engine/kernel/scalar.js";
import { type Code, double, doubles, f64, float, floats, get, set, v128, vector } from "./binary.js";
import { MemoryWriter } from "./places.js";
import { combined, constant, laneOf, typeOf, vectorConstant, withLane } from "./scalar.js";
import type { Block } from "./scopes.js";

interface Result {
  readonly block: Block;
  /** A vector with a value for each lane axis point; "partial" if the lanes are still to be combined into one; "exact" is a double. */
  readonly kind: "scalar" | "vector" | "partial" | "exact";
  readonly local: Code;
  readonly combine: Combine;
  readonly dtype: DType;
}

export abstract class StageWriter extends MemoryWriter {
  protected readonly results = new Map<number, Result>();
  /** Of accumulators of extremes: lanes that have met a NaN. */
  private readonly notNumbers = new Map<number, number>();

  /** The value of `e` in four lanes. */
  abstract vector(e: Expr): Code;

  /** a · b + c */
  protected abstract madd(a: Code, b: Code, c: Code): Code;

  protected blockOf(stage: number): Block | undefined {
    return this.results.get(stage)?.block;
  }

  /** A new accumulator, in the current block. */
  accumulator(combine: Combine, dtype: DType, isVector: boolean): number {
    const local = this.locals.add(isVector ? v128 : typeOf(dtype));
    const identity = identityOf(combine, dtype);
    this.block.code.push(set(local, isVector ? vectorConstant(identity, dtype) : constant(identity, dtype)));
    if (isVector && dtype === "float32" && (combine === "max" || combine === "min")) {
      this.notNumbers.set(local, this.kept(vector.ints([0, 0, 0, 0]), v128));
    }
    return local;
  }

  accumulate(local: number, combine: Combine, body: Expr, isVector: boolean): void {
    if (isVector && combine === "add" && body.op === "call" && body.fn === "mul" && body.dtype === "float32" && !this.lookUp(body)) {
      const [a, b] = body.args.map((arg) => this.vector(arg));
      this.block.code.push(set(local, this.madd(a, b, get(local))));
      return;
    }
    const value = isVector ? this.vector(body) : this.value(body);
    const notNumber = this.notNumbers.get(local);
    if (notNumber !== undefined) {
      // The greater of two in one instruction, which passes over NaN; that is noted beside it.
      const x = this.keep(value, v128);
      this.block.code.push(set(local, (combine === "max" ? floats.pmax : floats.pmin)(get(local), x)));
      this.block.code.push(set(notNumber, vector.or(get(notNumber), floats.ne(x, x))));
      return;
    }
    this.block.code.push(set(local, combined(combine, body.dtype, isVector, get(local), value, this.keep)));
  }

  merge(into: number, combine: Combine, dtype: DType, from: number, isVector: boolean): void {
    this.block.code.push(set(into, combined(combine, dtype, isVector, get(into), get(from), this.keep)));
  }

  setResult(stage: number, local: number, kind: Result["kind"], combine: Combine, dtype: DType): void {
    const notNumber = this.notNumbers.get(local);
    // All bits set are a NaN.
    if (notNumber !== undefined) this.block.code.push(set(local, vector.or(get(local), get(notNumber))));
    this.results.set(stage, { block: this.block, local: get(local), kind, combine, dtype });
  }

  /** Sums of doubles: two vectors, or a scalar. */
  exactSums(isVector: boolean): readonly number[] {
    return isVector ? [0, 1].map(() => this.kept(vector.ints([0, 0, 0, 0]), v128)) : [this.kept(double.const(0), f64)];
  }

  /** A sum of floats goes into sums of doubles. */
  addExactly(sums: readonly number[], from: number): void {
    const x = get(from);
    const parts =
      sums.length === 1 ? [double.fromFloat(x)] : [doubles.fromFloats(x), doubles.fromFloats(vector.shuffle(x, x, [2, 3, 0, 1]))];
    const add = sums.length === 1 ? double.add : doubles.add;
    for (const [i, part] of parts.entries()) this.block.code.push(set(sums[i], add(get(sums[i]), part)));
  }

  setExactResult(stage: number, sums: readonly number[], kind: "scalar" | "vector" | "partial"): void {
    const [low, high] = sums.map(get);
    const own = { block: this.block, combine: "add", dtype: "float32" } as const;
    if (kind === "scalar") {
      this.results.set(stage, { ...own, kind: "exact", local: low });
    } else if (kind === "vector") {
      const local = this.keep(vector.shuffle(doubles.toFloats(low), doubles.toFloats(high), [0, 1, 4, 5]), v128);
      this.results.set(stage, { ...own, kind: "vector", local });
    } else {
      const pair = this.keep(doubles.add(low, high), v128);
      const local = this.keep(double.add(doubles.extract(pair, 0), doubles.extract(pair, 1)), f64);
      this.results.set(stage, { ...own, kind: "exact", local });
    }
  }

  private exactOf(stage: number): Code {
    const { kind, local } = this.results.get(stage) as Result;
    return kind === "exact" ? local : double.fromFloat(this.result(stage));
  }

  private readonly isExact = (stage: number): boolean => this.results.get(stage)?.kind === "exact";

  private exactTotal(stages: readonly number[]): Code {
    return this.keep(stages.map((stage) => this.exactOf(stage)).reduce(double.add), f64);
  }

  /** The result of `stage`, lane by lane from four stages (fewer: the rest is 0), each with more parts that are combined in order. */
  setPacked(stage: number, parts: readonly (readonly number[])[], combine: Combine, dtype: DType): void {
    if (parts.flat().some(this.isExact)) {
      const totals = parts[0].map((_, lane) => float.fromDouble(this.exactTotal(parts.map((part) => part[lane]))));
      const packed = totals.reduce<Code>((code, total, lane) => withLane(code, total, lane, dtype), vectorConstant(0, dtype));
      this.results.set(stage, { block: this.block, local: this.keep(packed, v128), kind: "vector", combine, dtype });
      return;
    }
    const packs = parts.map((numbers) => this.pack(numbers, dtype));
    const code = packs.reduce((a, b) => combined(combine, dtype, true, a, b, this.keep));
    const local = this.keep(code, v128);
    this.results.set(stage, { block: this.block, local, kind: "vector", combine, dtype });
  }

  /** One value from several stages. */
  setCombined(stage: number, parts: readonly number[], combine: Combine, dtype: DType): void {
    if (parts.some(this.isExact)) {
      this.results.set(stage, { block: this.block, local: this.exactTotal(parts), kind: "exact", combine, dtype });
      return;
    }
    const values = parts.map((number) => this.result(number));
    const local = this.keep(
      values.reduce((a, b) => combined(combine, dtype, false, a, b, this.keep)),
      typeOf(dtype),
    );
    this.results.set(stage, { block: this.block, local, kind: "scalar", combine, dtype });
  }

  private pack(numbers: readonly number[], dtype: DType): Code {
    const results = numbers.map((number) => this.results.get(number) as Result);
    if (numbers.length === 4 && results.every(({ kind }) => kind === "partial")) {
      const { combine } = results[0];
      const join = (a: Code, b: Code): Code => this.keep(combined(combine, dtype, true, a, b, this.keep), v128);
      const pair = (a: Code, b: Code): Code => join(vector.shuffle(a, b, [0, 4, 1, 5]), vector.shuffle(a, b, [2, 6, 3, 7]));
      const [left, right] = [pair(results[0].local, results[1].local), pair(results[2].local, results[3].local)];
      return join(vector.shuffle(left, right, [0, 1, 4, 5]), vector.shuffle(left, right, [2, 3, 6, 7]));
    }
    return numbers.reduce<Code>((code, number, lane) => withLane(code, this.result(number), lane, dtype), vectorConstant(0, dtype));
  }

  /** A stage's result as it is used: partial lanes are added up on first use, in the order of {@link pack}. */
  protected result(stage: number): Code {
    const { block, local, kind, combine, dtype } = this.results.get(stage) as Result;
    if (kind === "scalar" || kind === "vector") return local;
    return this.remembered(`stage ${stage}`, block, typeOf(dtype), () => {
      if (kind === "exact") return float.fromDouble(local);
      const swapped = this.keep(combined(combine, dtype, true, local, vector.shuffle(local, local, [2, 3, 0, 1]), this.keep), v128);
      const [a, b] = [laneOf(swapped, 0, dtype), laneOf(swapped, 1, dtype)];
      return combined(combine, dtype, false, a, b, this.keep);
    });
  }
}

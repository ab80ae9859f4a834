/** Every operation of the table against differences of values, first and second derivatives, in float64. */
import { describe, expect, it } from "vitest";
import { type DType, isFloating } from "../../engine/dtype.js";
import { nonDifferentiable, type OpRecord, type Sample, type Spec } from "../../engine/ops/record.js";
import { numel } from "../../engine/shape.js";
import { apply } from "../../engine/tensor.js";
import { Generator, gradcheck, gradgradcheck, hostUniform, opTable, type Tensor, tensor } from "../../index.js";

/** Dtypes of a sample's inputs, floats as float64. Exact values without a dtype are indices, or a condition. */
function specsOf(record: OpRecord, sample: Sample): Spec[] {
  const specs = (exact: DType): Spec[] =>
    sample.shapes.map((shape, i) => {
      const given = sample.dtypes?.[i] ?? sample.dtypes?.at(-1) ?? (sample.data?.[i] ? exact : "float64");
      return { shape, dtype: given === "float32" ? "float64" : given };
    });
  for (const exact of ["int32", "bool"] as const) {
    try {
      record.infer(specs(exact), sample.attrs ?? {});
      return specs(exact);
    } catch {
      // not this one
    }
  }
  return specs("float64");
}

function inputsOf(record: OpRecord, sample: Sample): Tensor[] {
  const generator = new Generator(7);
  const [low, high] = sample.range ?? [-2, 2];
  return specsOf(record, sample).map(({ shape, dtype }, i) => {
    const values = sample.data?.[i] ?? Array.from(hostUniform(generator, numel(shape)), (u) => low + u * (high - low));
    return tensor(
      Float64Array.from(values, (v) => (isFloating(dtype) ? v : Math.trunc(v))),
      { shape, dtype },
    );
  });
}

function differentiable(record: OpRecord, sample: Sample): boolean {
  const specs = specsOf(record, sample);
  const output = record.infer(specs, sample.attrs ?? {});
  return (
    [...specs, output].every(({ shape }) => numel(shape) > 0) &&
    specs.some(({ dtype }) => dtype === "float64") &&
    output.dtype === "float64"
  );
}

const checked = [...opTable.values()].filter((record) => record.grad !== nonDifferentiable && record.samples.length > 0);

describe("gradients of the table", () => {
  it("are checked for every record that has one", () => {
    const rules = [...opTable.values()].filter((record) => record.grad !== nonDifferentiable);
    const unchecked = rules.filter((record) => !record.samples.some((sample) => differentiable(record, sample)));
    expect(unchecked.map((record) => record.name)).toEqual([]);
  });

  for (const record of checked) {
    const samples = record.samples.filter((sample) => differentiable(record, sample));
    if (samples.length === 0) continue;
    it(`${record.name}: first and second derivatives of ${samples.length} samples`, async () => {
      for (const sample of samples) {
        const fn = (...inputs: Tensor[]): Tensor => apply(record, inputs, sample.attrs ?? {});
        await gradcheck(fn, inputsOf(record, sample));
        await gradgradcheck(fn, inputsOf(record, sample));
      }
    });
  }
});

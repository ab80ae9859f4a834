/** Line templates: scans and Fourier transforms of every kind of length, with work in both of their holes. */
import type { DType } from "../engine/dtype.js";
import type { Axis, Expr, Template, TemplateKernel } from "../engine/kernel/ir.js";
import { lineShapes } from "../engine/kernel/verify.js";
import { Builder, type Case, exact, expectAgreement, randomData, type Tolerance } from "./conformance-kit.js";

/** Lines of `rows` × `columns`, read with a stride and scaled on the way in, shifted and compared on the way out. */
function lineKernel(template: Template, dtype: DType, rows = 3, columns = 2): TemplateKernel {
  const b = new Builder();
  const { pool } = b;
  const [r, c] = [b.axis("r", rows), b.axis("c", columns)];
  const shapes = lineShapes(template);
  const names = ["k", "part"];
  const lineIn = shapes.in.map((size, i) => b.axis(names[i], size));
  const lineOut = shapes.out.map((size, i) => b.axis(names[i], size));
  // The line runs along the middle: [rows, line, columns, …].
  const place = (line: readonly Axis[]): [readonly Axis[], number[]] => {
    const axes = [r, line[0], c, ...line.slice(1)];
    return [axes, axes.map((axis) => axis.size)];
  };
  const scale: Expr = dtype === "int32" ? pool.int(3) : b.float(0.5, dtype);
  const input = pool.mul(b.read(dtype, ...place(lineIn)), pool.add(b.read(dtype, [r], [rows]), scale));
  const result = pool.acc(0, dtype);
  b.write(place(lineOut)[0], pool.sub(result, b.read(dtype, [c], [columns])), lineOut);
  b.write(place(lineOut)[0], pool.cast(pool.mul(result, scale), "int32"), lineOut);
  return { kind: "template", name: template.name, template, buffers: b.buffers, axes: [r, c], lineIn, input, lineOut, stores: b.written };
}

const lengths = [1, 2, 3, 4, 5, 7, 8, 14, 16, 56, 97];

function templateCase(template: Template, dtype: DType, what: string, tolerance?: Tolerance): Case {
  return {
    name: `template ${template.name} ${dtype} ${what}`,
    run: async (backend) => {
      const kernel = lineKernel(template, dtype);
      const data = randomData(kernel);
      // Truncation would make rounding errors whole numbers: only exact sums keep the int32 result.
      const compared = dtype === "int32" ? kernel : withoutCast(kernel);
      await expectAgreement(backend, compared, data, tolerance);
    },
  };
}

const withoutCast = (kernel: TemplateKernel): TemplateKernel => ({ ...kernel, stores: kernel.stores.slice(0, 1) });

/** Errors grow with the logarithm of the length and are relative to the whole line. */
const fourier = (dtype: DType): Tolerance =>
  dtype === "float32" ? { relative: 1e-5, absolute: 2e-5 } : { relative: 1e-11, absolute: 1e-11 };

const floats: readonly DType[] = ["float32", "float64"];

export const templateCases: readonly Case[] = [
  ...lengths.flatMap((length) =>
    [false, true].flatMap((reverse) => {
      const what = `${length}${reverse ? " reversed" : ""}`;
      const template: Template = { name: "scan", combine: "add", reverse, length };
      return [...floats.map((dtype) => templateCase(template, dtype, what)), templateCase(template, "int32", what, exact)];
    }),
  ),
  ...lengths.flatMap((n) =>
    floats.flatMap((dtype) => [
      templateCase({ name: "fft", n, sign: -1 }, dtype, `${n}`, fourier(dtype)),
      templateCase({ name: "fft", n, sign: 1 }, dtype, `${n} inverse`, fourier(dtype)),
      templateCase({ name: "rfft", n }, dtype, `${n}`, fourier(dtype)),
      templateCase({ name: "irfft", n }, dtype, `${n}`, fourier(dtype)),
    ]),
  ),
];

import { describe, expect, it } from "vitest";
import { Builder, randomData, runOn } from "../../backends/conformance-kit.js";
import { lineLengths, makeTransform } from "../../backends/loops/lines.js";
import { createWasmBackend } from "../../backends/wasm/index.js";
import { lineSpace } from "../../backends/wasm/transform.js";
import type { Template, TemplateKernel } from "../../engine/kernel/ir.js";

/** `rows` lines side by side: [place in the line, row]. */
function kernelOf(template: Template, rows: number): TemplateKernel {
  const b = new Builder();
  const r = b.axis("r", rows);
  const [lengthIn, lengthOut] = lineLengths(template);
  const parts = (length: number, complex: boolean) => (complex ? [b.axis("k", length / 2), b.axis("part", 2)] : [b.axis("k", length)]);
  const lineIn = parts(lengthIn, template.name === "fft" || template.name === "irfft");
  const lineOut = parts(lengthOut, template.name === "fft" || template.name === "rfft");
  const shape = (line: readonly { readonly size: number }[]) => [...line.map(({ size }) => size), rows];
  const input = b.read("float32", [...lineIn, r], shape(lineIn));
  b.write([...lineOut, r], b.pool.acc(0, "float32"), lineOut);
  return { kind: "template", name: "lines", template, buffers: b.buffers, axes: [r], lineIn, input, lineOut, stores: b.written };
}

describe("line transforms in blocks", () => {
  const cases: [Template, number][] = [];
  let seed = 7;
  const draw = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let i = 0; i < 16; i++) {
    const n = 1 + draw(64);
    const rows = 1 + draw(700);
    const sign = draw(2) === 0 ? -1 : 1;
    const templates: readonly Template[] = [
      { name: "fft", n, sign },
      { name: "rfft", n },
      { name: "irfft", n },
      { name: "scan", combine: "add", reverse: sign === 1, length: n },
    ];
    cases.push([templates[i % 4], rows]);
  }
  for (const [template, rows] of cases) {
    it(`${JSON.stringify(template)} of ${rows} lines is JavaScript's`, async () => {
      const backend = await createWasmBackend();
      const kernel = kernelOf(template, rows);
      const data = randomData(kernel);
      const [lengthIn, lengthOut] = lineLengths(template);
      const result = (await runOn(backend, kernel, data))[1];
      const transform = makeTransform(template, "float32");
      const output = new Float64Array(lengthOut);
      let worst = 0;
      for (let row = 0; row < rows; row++) {
        transform(
          output,
          Float64Array.from({ length: lengthIn }, (_, k) => data[0][k * rows + row]),
        );
        for (let k = 0; k < lengthOut; k++) worst = Math.max(worst, Math.abs(result[k * rows + row] - output[k]));
      }
      // Values of size 1, n of them in a sum: about log n roundings of sums of size √n.
      expect(worst).toBeLessThan(1e-6 * lengthIn);
      backend.destroy();
    });
  }

  it("leaves lengths with large prime factors, and very long lines, to JavaScript", () => {
    expect(lineSpace({ name: "fft", n: 37 * 4, sign: 1 })).toBeNull();
    expect(lineSpace({ name: "scan", combine: "add", reverse: false, length: 2 ** 20 })).toBeNull();
    expect(lineSpace({ name: "rfft", n: 56 })).not.toBeNull();
  });
});

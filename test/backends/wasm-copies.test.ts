import { describe, expect, it } from "vitest";
import { Builder, expectAgreement, random } from "../../backends/conformance-kit.js";
import { createWasmBackend } from "../../backends/wasm/index.js";
import type { DType } from "../../engine/dtype.js";
import type { Axis, Kernel } from "../../engine/kernel/ir.js";

const shuffled = <T>(list: readonly T[], next: () => number): T[] =>
  list
    .map((item) => [next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);

/** Arrays in different orders of their axes, some of them in one branch only, put together in one order. */
function crossed(seed: number): Kernel {
  const next = random(seed);
  const below = (n: number): number => Math.floor(next() * n);
  const b = new Builder();
  const axes = Array.from({ length: 2 + below(2) }, (_, i) => b.axis(`a${i}`, 1 + below(i === 0 ? 21 : 14)));
  const dtype = (["float32", "int32", "float32"] satisfies DType[])[below(3)];
  const part = () => {
    const order = shuffled(axes, next);
    return b.read(
      dtype,
      order,
      order.map((axis) => axis.size),
    );
  };
  const { pool } = b;
  const [x, y, z] = [part(), part(), part()];
  const late: Axis = axes[below(axes.length)];
  const either = pool.where(pool.lt(pool.axis(late), pool.int(late.size >> 1)), pool.add(x, y), pool.mul(y, z));
  b.write(axes, pool.add(either, next() < 0.5 ? x : z));
  return b.kernel("crossed", axes);
}

describe("arrays read across their rows", () => {
  it("come out as the interpreter has them, of any sizes and orders", async () => {
    const backend = await createWasmBackend({ threads: 1 });
    for (let seed = 0; seed < 150; seed++) await expectAgreement(backend, crossed(8_000 + seed));
    backend.destroy();
  });

  it("are read as whole vectors", async () => {
    const backend = await createWasmBackend({ threads: 1 });
    const b = new Builder();
    const [i, j] = [b.axis("i", 32), b.axis("j", 24)];
    b.write([i, j], b.read("float32", [j, i], [24, 32]));
    const { source } = await backend.compile(b.kernel("transpose", [i, j]));
    const text = typeof source === "string" ? source : await source();
    expect(text).toContain("v128.load offset");
    expect(text).not.toContain("v128.load32_lane");
    backend.destroy();
  });
});

import { describe, expect, it } from "vitest";
import type { BufferHandle } from "../../backends/backend.js";
import { Builder } from "../../backends/conformance-kit.js";
import { createWasmBackend, type WasmBackend } from "../../backends/wasm/index.js";
import type { LoopKernel } from "../../engine/kernel/ir.js";

const giga = 2 ** 30;

/** target[at + i] = 2 · source[i] + 1 for i < count. */
function placed(count: number, length: number, at: number): LoopKernel {
  const b = new Builder();
  const i = b.axis("i", count);
  const { pool } = b;
  const value = pool.add(pool.mul(b.read("float32", [i], [count]), b.float(2)), b.float(1));
  b.store(b.buffer("float32", length, "write"), pool.add(pool.axis(i), pool.int(at)), value);
  return b.kernel("placed", [i]);
}

/** The last element of a buffer as a sum. */
function last(length: number): LoopKernel {
  const b = new Builder();
  const k = b.axis("k", 16);
  const source = b.buffer("float32", length);
  b.write([], b.reduce([k], "add", b.load(source, b.pool.add(b.pool.axis(k), b.pool.int(length - 16)))));
  return b.kernel("last", []);
}

function uploaded(backend: WasmBackend, values: readonly number[]): BufferHandle {
  const buffer = backend.allocate("float32", values.length);
  backend.upload(buffer, Float32Array.from(values));
  return buffer;
}

for (const threads of [1, 2]) {
  describe(`memory on ${threads === 1 ? "one thread" : "two threads"}`, () => {
    const open = async (maxBytes?: number): Promise<WasmBackend> => {
      const backend = await createWasmBackend({ threads, callerCycles: 0, ...(maxBytes === undefined ? {} : { maxBytes }) });
      await backend.ready();
      return backend;
    };

    it("is addressed up to 4 GiB; beyond, an error says what was wanted, and all goes on", async () => {
      const backend = await open();
      const length = (2 * giga) / 4;
      // Two gigabytes that nobody touches but at their end, so that what follows lies above them.
      const large = backend.allocate("float32", length);
      const values = Array.from({ length: 16 }, (_, i) => i / 4);
      const [source, sum] = [uploaded(backend, values), backend.allocate("float32", 1)];
      const above = backend.allocate("float32", giga / 4);
      backend.run([
        { executable: backend.compile(placed(16, length, length - 16)), buffers: [source, large] },
        { executable: backend.compile(last(length)), buffers: [large, sum] },
        { executable: backend.compile(placed(16, giga / 4, giga / 4 - 16)), buffers: [source, above] },
      ]);
      expect(await backend.download(sum, 1)).toEqual(new Float32Array([76]));
      expect(() => backend.allocate("float32", length)).toThrow(/no room for 2147483648 bytes: \d{10} are live, \d{10} are allowed/);
      backend.run([{ executable: backend.compile(last(giga / 4)), buffers: [above, sum] }]);
      expect(await backend.download(sum, 1)).toEqual(new Float32Array([76]));
      backend.free(large);
      const again = backend.allocate("float32", length);
      expect(await backend.download(source, 16)).toEqual(Float32Array.from(values));
      backend.free(again);
      backend.destroy();
    });

    it("grows while work is under way", async () => {
      const backend = await open();
      const length = 1 << 20;
      const step = backend.compile(placed(length, length, 0));
      const buffers = [uploaded(backend, new Array<number>(length).fill(1)), backend.allocate("float32", length)];
      const there = { executable: step, buffers };
      const back = { executable: step, buffers: [buffers[1], buffers[0]] };
      for (let round = 0; round < 6; round++) {
        backend.run([there, back]);
        const more = uploaded(backend, new Array<number>((round + 1) * length).fill(round));
        backend.run([{ executable: step, buffers: [buffers[0], buffers[1]] }]);
        expect((await backend.download(more, 1))[0]).toBe(round);
      }
      // x → 2x + 1, thirteen times from 1.
      expect((await backend.download(buffers[1], length)).every((value) => value === 2 ** 14 - 1)).toBe(true);
      backend.destroy();
    });

    it("that is all in small pieces is put together again", async () => {
      const backend = await open();
      const pieces = Array.from({ length: 15 }, () => backend.allocate("float32", giga / 16));
      for (const piece of pieces) backend.free(piece);
      backend.free(backend.allocate("float32", giga / 2));
      backend.destroy();
    });

    it("for scratch arrays that is not there rejects the next read, and all goes on", async () => {
      const backend = await open(1 << 20);
      const b = new Builder();
      const [i, j, k] = [b.axis("i", 132), b.axis("j", 136), b.axis("k", 128)];
      b.write(
        [i, j],
        b.reduce([k], "add", b.pool.mul(b.read("float32", [i, k], [132, 128]), b.read("float32", [j, k], [136, 128])), "matmul"),
      );
      const kernel = b.kernel("product", [i, j]);
      const buffers = kernel.buffers.map(({ length }) => uploaded(backend, new Array<number>(length).fill(1)));
      const rest = Array.from({ length: 12 }, () => backend.allocate("float32", 16_000));
      const launch = { executable: backend.compile(kernel), buffers };
      backend.run([launch]);
      await expect(backend.download(buffers[2], 1)).rejects.toThrow(/no room for \d+ bytes: \d+ are live, 1048576 are allowed/);
      for (const buffer of rest) backend.free(buffer);
      backend.run([launch]);
      expect(await backend.download(buffers[2], 3)).toEqual(new Float32Array([128, 128, 128]));
      backend.destroy();
    });
  });
}

/** The contract beyond single kernels: memory, order, errors. */
import type { TypedArray } from "../engine/dtype.js";
import { verifyKernel } from "../engine/kernel/verify.js";
import { type Backend, type BufferHandle, type Executable, type LaunchTime, sourceText } from "./backend.js";
import { arrayOf, Builder, type Case, exact, expectEqual, expectFailure, expectTrue } from "./conformance-kit.js";

/** y = x · factor + 1 over float32. */
async function affineStep(backend: Backend, length: number, factor: number): Promise<Executable> {
  const b = new Builder();
  const i = b.axis("i", length);
  b.write([i], b.pool.add(b.pool.mul(b.read("float32", [i], [length]), b.float(factor)), b.float(1)));
  return backend.compile(b.kernel("affine_step", [i]));
}

function uploaded(backend: Backend, values: readonly number[]): BufferHandle {
  const buffer = backend.allocate("float32", values.length);
  backend.upload(buffer, arrayOf("float32", values));
  return buffer;
}

async function expectFloats(backend: Backend, buffer: BufferHandle, want: readonly number[], what: string): Promise<void> {
  expectEqual(await backend.download(buffer, want.length), want, exact, what);
}

const memory: readonly Case[] = [
  {
    name: "device upload and download of every dtype",
    run: async (backend) => {
      for (const dtype of backend.limits.dtypes) {
        const data = arrayOf(dtype, dtype === "bool" ? [1, 0, 1] : [3, -2, 7]);
        const buffer = backend.allocate(dtype, 3);
        expectTrue(buffer.dtype === dtype && buffer.length >= 3, `a handle of ${buffer.dtype}, ${buffer.length}`);
        backend.upload(buffer, data);
        const got = await backend.download(buffer, 3);
        expectTrue(got.constructor === data.constructor, `${dtype} comes back as ${got.constructor.name}`);
        expectEqual(got, data, exact, dtype);
        expectEqual(await backend.download(buffer, 2), data.slice(0, 2), exact, `${dtype}, first two`);
        backend.free(buffer);
      }
    },
  },
  {
    name: "device copies on upload and on download",
    run: async (backend) => {
      const data: TypedArray = arrayOf("float32", [1, 2]);
      const buffer = backend.allocate("float32", 2);
      backend.upload(buffer, data);
      data[0] = 50;
      const first = await backend.download(buffer, 2);
      first[1] = 60;
      await expectFloats(backend, buffer, [1, 2], "after both copies were changed");
      backend.free(buffer);
    },
  },
  {
    name: "device upload to the front of a buffer",
    run: async (backend) => {
      const buffer = uploaded(backend, [1, 2, 3, 4]);
      backend.upload(buffer, arrayOf("float32", [9, 8]));
      await expectFloats(backend, buffer, [9, 8, 3, 4], "after a short upload");
      backend.free(buffer);
    },
  },
  {
    name: "device buffer of no elements",
    run: async (backend) => {
      const buffer = backend.allocate("float32", 0);
      backend.upload(buffer, arrayOf("float32", []));
      expectTrue((await backend.download(buffer, 0)).length === 0, "an empty download is not empty");
      backend.free(buffer);
    },
  },
  {
    name: "device allocate, free, allocate again",
    run: async (backend) => {
      for (let round = 0; round < 20; round++) {
        const buffers = Array.from({ length: 10 }, (_, i) => uploaded(backend, [round, i, 5]));
        await expectFloats(backend, buffers[9], [round, 9, 5], `round ${round}`);
        for (const buffer of buffers) backend.free(buffer);
      }
    },
  },
];

const order: readonly Case[] = [
  {
    name: "device launches of one run see each other's results",
    run: async (backend) => {
      const [x, y, z] = [uploaded(backend, [1, 2, 3]), uploaded(backend, [0, 0, 0]), uploaded(backend, [0, 0, 0])];
      const [double, triple] = [await affineStep(backend, 3, 2), await affineStep(backend, 3, 3)];
      backend.run([
        { executable: double, buffers: [x, y] },
        { executable: triple, buffers: [y, z] },
        { executable: double, buffers: [z, x] },
      ]);
      await expectFloats(backend, x, [21, 33, 45], "x");
      for (const buffer of [x, y, z]) backend.free(buffer);
    },
  },
  {
    name: "device runs and uploads keep their order",
    run: async (backend) => {
      const [x, y] = [uploaded(backend, [1]), uploaded(backend, [0])];
      const step = await affineStep(backend, 1, 2);
      backend.run([{ executable: step, buffers: [x, y] }]);
      const first = backend.download(y, 1);
      backend.upload(x, arrayOf("float32", [10]));
      backend.run([{ executable: step, buffers: [x, y] }]);
      const second = backend.download(y, 1);
      for (let i = 0; i < 50; i++) {
        backend.run([
          { executable: step, buffers: [y, x] },
          { executable: step, buffers: [x, y] },
        ]);
        backend.upload(y, arrayOf("float32", [i]));
      }
      expectEqual(await first, [3], exact, "the first download");
      expectEqual(await second, [21], exact, "the second download");
      await expectFloats(backend, y, [49], "the last upload");
      for (const buffer of [x, y]) backend.free(buffer);
    },
  },
  {
    name: "device free while work is queued",
    run: async (backend) => {
      const [x, y, z] = [uploaded(backend, [4, 5]), uploaded(backend, [0, 0]), uploaded(backend, [0, 0])];
      const step = await affineStep(backend, 2, 2);
      backend.run([
        { executable: step, buffers: [x, y] },
        { executable: step, buffers: [y, z] },
      ]);
      backend.free(x);
      backend.free(y);
      const other = uploaded(backend, [7, 7]);
      await expectFloats(backend, z, [19, 23], "after its inputs were freed");
      for (const buffer of [z, other]) backend.free(buffer);
    },
  },
  {
    name: "device download and free at once",
    run: async (backend) => {
      const [x, y] = [uploaded(backend, [4, 5]), uploaded(backend, [0, 0])];
      backend.run([{ executable: await affineStep(backend, 2, 2), buffers: [x, y] }]);
      const result = backend.download(y, 2);
      backend.free(y);
      const other = uploaded(backend, [7, 7]);
      expectEqual(await result, [9, 11], exact, "a download whose buffer was freed");
      for (const buffer of [x, other]) backend.free(buffer);
    },
  },
  {
    name: "device times have one entry a launch",
    run: async (backend) => {
      const [x, y] = [uploaded(backend, [1]), uploaded(backend, [0])];
      const step = await affineStep(backend, 1, 2);
      const times = new Promise<readonly LaunchTime[]>((resolve) => {
        backend.run(
          [
            { executable: step, buffers: [x, y] },
            { executable: step, buffers: [y, x] },
          ],
          resolve,
        );
      });
      await backend.download(x, 1);
      const entries = await times;
      expectTrue(entries.length === 2, `${entries.length} entries for two launches`);
      expectTrue(
        entries.every(({ name, milliseconds }) => name === "affine_step" && milliseconds >= 0),
        "an entry without its name or time",
      );
      for (const buffer of [x, y]) backend.free(buffer);
    },
  },
  {
    name: "device compiles a kernel twice, and shows its source",
    run: async (backend) => {
      const [first, second] = [await affineStep(backend, 3, 2), await affineStep(backend, 3, 2)];
      const [one, other] = [await sourceText(first), await sourceText(second)];
      expectTrue(one.length > 0 && one === other, "equal kernels have different sources, or none");
      const [x, y] = [uploaded(backend, [1, 2, 3]), uploaded(backend, [0, 0, 0])];
      backend.run([{ executable: second, buffers: [x, y] }]);
      await expectFloats(backend, y, [3, 5, 7], "the second executable");
      for (const buffer of [x, y]) backend.free(buffer);
    },
  },
  {
    name: "device one executable on several buffers",
    run: async (backend) => {
      const step = await affineStep(backend, 2, 2);
      const pairs = [1, 2, 3].map((value) => [uploaded(backend, [value, -value]), uploaded(backend, [0, 0])]);
      backend.run(pairs.map((buffers) => ({ executable: step, buffers })));
      for (const [i, [, y]] of pairs.entries()) await expectFloats(backend, y, [2 * i + 3, -2 * i - 1], `pair ${i}`);
      for (const buffer of pairs.flat()) backend.free(buffer);
    },
  },
];

const errors: readonly Case[] = [
  {
    name: "device says what it is",
    run: async (backend) => {
      expectTrue(backend.describe().length > 0 && !backend.describe().includes("\n"), "describe() is not one line");
      expectTrue(backend.limits.dtypes.includes("float32") && backend.limits.maxOutputs >= 1, "limits without float32 or outputs");
    },
  },
  {
    name: "device failure of a run reaches the next download",
    run: async (backend) => {
      const [x, y, gone] = [uploaded(backend, [1]), uploaded(backend, [2]), uploaded(backend, [3])];
      const step = await affineStep(backend, 1, 2);
      backend.free(gone);
      backend.run([{ executable: step, buffers: [gone, y] }]);
      await expectFailure("BackendError", () => backend.download(y, 1));
      // The device lives on.
      backend.run([{ executable: step, buffers: [x, y] }]);
      await expectFloats(backend, y, [3], "after a failure");
      for (const buffer of [x, y]) backend.free(buffer);
    },
  },
  {
    name: "device refuses a buffer beyond its limit",
    run: async (backend) => {
      const length = backend.limits.maxBufferBytes / 4 + 1;
      const error = await expectFailure("BackendError", () => backend.allocate("float32", length));
      expectTrue(/\d/.test(error.message), `the message names no number of bytes: ${error.message}`);
    },
  },
  {
    name: "device kernels that break a rule are caught before they arrive",
    run: async () => {
      const broken: readonly [string, (b: Builder) => void][] = [
        ["out of bounds", (b) => b.write([], b.load(b.buffer("float32", 2), b.pool.int(2)))],
        ["read only", (b) => b.store(b.buffer("float32", 1), b.pool.int(0), b.float(1))],
        ["stored into", (b) => b.store(b.buffer("int32", 1, "write"), b.pool.int(0), b.float(1))],
        ["outside of its loop", (b) => b.write([], b.pool.cast(b.pool.axis(b.axis("stray", 3)), "float32"))],
        ["before it is computed", (b) => b.write([], b.pool.acc(0, "float32"))],
      ];
      for (const [rule, fill] of broken) {
        const b = new Builder();
        fill(b);
        const error = await expectFailure("InternalError", () => verifyKernel(b.kernel("broken", [])));
        expectTrue(error.message.includes("broken"), `${rule}: the message does not name the kernel: ${error.message}`);
      }
    },
  },
];

/** These end their backend's life, so that each gets one of its own. */
export const finalCases: readonly Case[] = [
  {
    name: "device used after destroy",
    run: async (backend) => {
      const buffer = uploaded(backend, [1]);
      const step = await affineStep(backend, 1, 2);
      backend.destroy();
      await expectFailure("BackendError", () => backend.allocate("float32", 1));
      await expectFailure("BackendError", () => backend.upload(buffer, arrayOf("float32", [1])));
      await expectFailure("BackendError", () => backend.download(buffer, 1));
      await expectFailure("BackendError", () => backend.compile(step.kernel));
      await expectFailure("BackendError", () => backend.run([{ executable: step, buffers: [buffer, buffer] }]));
    },
  },
];

export const deviceCases: readonly Case[] = [...memory, ...order, ...errors];

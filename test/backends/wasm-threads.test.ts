import { execFile } from "node:child_process";
import { promisify } from "node:util";
import fc from "fast-check";
import * as vitest from "vitest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BufferHandle, Launch, LaunchTime } from "../../backends/backend.js";
import { runBackendTests } from "../../backends/conformance.js";
import { KernelMaker } from "../../backends/conformance-fuzz.js";
import { Builder, random, randomData } from "../../backends/conformance-kit.js";
import { i32, Locals, ModuleWriter, type ValueType } from "../../backends/wasm/binary.js";
import { compileLoops } from "../../backends/wasm/emit.js";
import { createWasmBackend, type WasmBackend, type WasmOptions } from "../../backends/wasm/index.js";
import { ConstantTable } from "../../backends/wasm/math.js";
import { type Outcome, Pool } from "../../backends/wasm/pool.js";
import { type Loops, makeProgram } from "../../backends/wasm/program.js";
import { type Spawn, spawnThread } from "../../backends/wasm/threads.js";
import type { TypedArray } from "../../engine/dtype.js";
import type { LoopKernel } from "../../engine/kernel/ir.js";
import { compile, device, manualSeed, rand, setDefaultDevice, tensor } from "../../index.js";
import { createModel } from "../../models/index.js";
import { AdamW, trainStep } from "../../train/index.js";

/** Everything by threads, however small. */
async function opened(options: WasmOptions, spawn?: Spawn): Promise<WasmBackend> {
  const backend = await createWasmBackend({ callerCycles: 0, ...options }, spawn);
  await backend.ready();
  return backend;
}

runBackendTests({ name: "wasm on 2 threads", create: () => opened({ threads: 2 }), skip: [] }, vitest);

/** A list of launches over some buffers. */
interface Work {
  readonly kernels: readonly LoopKernel[];
  readonly data: readonly TypedArray[];
  /** Per launch the kernel and the buffers. */
  readonly launches: readonly (readonly [kernel: number, buffers: readonly number[]])[];
}

/** All buffers' bytes after the launches. */
async function outcome(backend: WasmBackend, { kernels, data, launches }: Work): Promise<Uint8Array> {
  const executables = kernels.map((kernel) => backend.compile(kernel));
  const handles = data.map((array): BufferHandle => {
    const dtype = array instanceof Int32Array ? "int32" : array instanceof Uint8Array ? "bool" : "float32";
    const handle = backend.allocate(dtype, array.length);
    backend.upload(handle, array);
    return handle;
  });
  backend.run(launches.map(([kernel, buffers]): Launch => ({ executable: executables[kernel], buffers: buffers.map((i) => handles[i]) })));
  const results = await Promise.all(handles.map((handle, i) => backend.download(handle, data[i].length)));
  for (const handle of handles) backend.free(handle);
  return Buffer.concat(results.map((array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)));
}

/** target = a · source + b · target over floats. */
function mixing(length: number, a: number, b: number): LoopKernel {
  const builder = new Builder();
  const i = builder.axis("i", length);
  const { pool } = builder;
  const source = builder.read("float32", [i], [length]);
  const target = builder.buffer("float32", length, "readwrite");
  builder.store(target, i, pool.add(pool.mul(source, builder.float(a)), pool.mul(builder.load(target, i), builder.float(b))));
  return builder.kernel("mixing", [i]);
}

function product(m: number, n: number, k: number): LoopKernel {
  const b = new Builder();
  const [i, j, t] = [b.axis("i", m), b.axis("j", n), b.axis("k", k)];
  b.write([i, j], b.reduce([t], "add", b.pool.mul(b.read("float32", [i, t], [m, k]), b.read("float32", [j, t], [n, k])), "matmul"));
  return b.kernel("product", [i, j]);
}

const alone = (kernel: LoopKernel, seed: number): Work => ({
  kernels: [kernel],
  data: randomData(kernel, seed),
  launches: [[0, kernel.buffers.map((_, i) => i)]],
});

/** Kernels that read and overwrite one another's buffers in a random order. */
function entangled(seed: number): Work {
  const next = random(seed);
  const length = [3, 700, 30_000][seed % 3];
  const data = Array.from({ length: 5 }, () => Float32Array.from({ length }, () => next() - 0.5));
  const launches = Array.from({ length: 40 }, () => {
    const source = Math.floor(next() * data.length);
    return [Math.floor(next() * 2), [source, (source + 1 + Math.floor(next() * (data.length - 1))) % data.length]] as const;
  });
  return { kernels: [mixing(length, 0.5, 0.25), mixing(length, -0.75, 0.5)], data, launches };
}

describe("results are the same to the last bit on 1, 2 and 3 threads", () => {
  const teams: WasmBackend[] = [];
  beforeAll(async () => {
    for (const threads of [1, 2, 3]) teams.push(await opened({ threads }));
  });
  afterAll(() => {
    for (const team of teams) team.destroy();
  });
  const expectSame = async (work: Work): Promise<void> => {
    const [first, ...others] = await Promise.all(teams.map((team) => outcome(team, work)));
    for (const other of others) expect(Buffer.compare(other, first)).toBe(0);
  };

  it("of random kernels", async () => {
    const sizes = fc.constantFrom(5, 9, 13);
    await fc.assert(
      fc.asyncProperty(fc.nat(2 ** 30), sizes, (seed, largest) => expectSame(alone(new KernelMaker(seed, largest).make(), seed))),
      { numRuns: 40, seed: 5 },
    );
  });

  it("of kernels that depend on one another", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(2 ** 30), (seed) => expectSame(entangled(seed))),
      { numRuns: 30, seed: 6 },
    );
  });

  it("of contractions in phases with scratch arrays, side by side", async () => {
    const kernel = product(132, 136, 128);
    const { data } = alone(kernel, 1);
    const twice = [...data, ...randomData(kernel, 2)];
    const launches = [[0, [0, 1, 2]] as const, [0, [3, 4, 5]] as const, [0, [3, 1, 2]] as const];
    await expectSame({ kernels: [kernel], data: twice, launches });
  });

  it("of training steps", async () => {
    const losses: number[][] = [];
    for (const threads of [1, 2]) {
      const on = await device("wasm", { threads, callerCycles: 0 });
      await (on.backend as WasmBackend).ready();
      setDefaultDevice(on);
      manualSeed(3);
      const model = createModel("hornet_micro_7x7");
      const step = compile(trainStep(model, new AdamW(model.parameters(), { lr: 4e-3 }), { labelSmoothing: 0.1, clipGrad: 5 }));
      const own: number[] = [];
      for (let i = 0; i < 3; i++) {
        const [images, labels] = [rand([8, 1, 32, 32]), tensor([0, 1, 2, 3, 4, 5, 6, 7], { dtype: "int32" })];
        own.push(await (await step(images, labels)).loss.item());
      }
      losses.push(own);
      await on.close();
    }
    expect(losses[1]).toEqual(losses[0]);
    expect(losses[0].every(Number.isFinite)).toBe(true);
  });
});

describe("threads", () => {
  it("leave the caller free while they work", async () => {
    const backend = await opened({ threads: 2 });
    const kernel = product(256, 256, 512);
    const handles = kernel.buffers.map(({ dtype, length }) => backend.allocate(dtype, length));
    const launch = { executable: backend.compile(kernel), buffers: handles };
    let done = false;
    backend.run(new Array<Launch>(60).fill(launch));
    const read = backend.download(handles[2], 1).then(() => {
      done = true;
    });
    let turns = 0;
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve));
      turns++;
    }
    await read;
    expect(turns).toBeGreaterThan(20);
    backend.destroy();
  });

  it("time each launch, in the order of the launches", async () => {
    const backend = await opened({ threads: 2 });
    const [large, small] = [product(132, 136, 128), mixing(100, 1, 0)];
    const at = (kernel: LoopKernel): Launch => ({
      executable: backend.compile(kernel),
      buffers: kernel.buffers.map(({ dtype, length }) => backend.allocate(dtype, length)),
    });
    const launches = [at(small), at(large), at(small)];
    const times = await new Promise<readonly LaunchTime[]>((resolve) => backend.run(launches, resolve));
    expect(times.map((time) => time.name)).toEqual(["mixing", "product", "mixing"]);
    expect(times[1].milliseconds).toBeGreaterThan(0);
    backend.destroy();
  });

  it("are as many as asked, and one where that is asked", async () => {
    expect((await opened({ threads: 3 })).describe()).toMatch(/on 3 threads$/);
    expect((await opened({ threads: 1 })).describe()).toMatch(/on one thread \(as asked\)$/);
    for (const threads of [0, 1.5, -2, 1000]) {
      expect(() => createWasmBackend({ threads })).toThrow(/threads is .*; expected a whole number from 1 to 64/);
    }
    await expect(device("wasm", { threads: "two" })).rejects.toThrow(/threads is two/);
  });

  it("that do not start are said so, and the caller does their work", async () => {
    const spawn: Spawn = () => {
      throw new Error("not today");
    };
    const backend = await opened({ threads: 2 }, spawn);
    expect(backend.describe()).toMatch(/on one thread \(no other starts: not today\)/);
    const [one, none] = [await opened({ threads: 1 }), entangled(4)];
    expect(Buffer.compare(await outcome(backend, none), await outcome(one, none))).toBe(0);
  });

  it("let the process end by itself", async () => {
    const code = `
      import { device, rand } from "./index.ts";
      const on = await device("wasm", { threads: 2, callerCycles: 0 });
      await on.backend.ready();
      const x = rand([300, 300], { device: on });
      console.log((await x.matmul(x).data()).length);`;
    const args = ["--import", "tsx", "--input-type=module", "--eval", code];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
    expect(stdout.trim()).toBe("90000");
  });
});

describe("a thread that dies", () => {
  const killers: ((how: "midway" | "later") => void)[] = [];
  const spawn: Spawn = (listener) => {
    const thread = spawnThread(listener);
    killers.push((how) => {
      if (how === "later") {
        // Not a job: it throws when its turn comes.
        thread.post({ modules: [], forget: [], program: null });
        return;
      }
      thread.terminate();
      listener.died("ended by the test");
    });
    return thread;
  };

  it("rejects what is pending, and others take its place", async () => {
    killers.length = 0;
    const backend = await opened({ threads: 2 }, spawn);
    const kernel = product(256, 256, 512);
    const data = randomData(kernel, 9);
    const handles = kernel.buffers.map(({ dtype, length }) => backend.allocate(dtype, length));
    handles.forEach((handle, i) => {
      backend.upload(handle, data[i]);
    });
    const launch = { executable: backend.compile(kernel), buffers: handles };
    backend.run(new Array<Launch>(200).fill(launch));
    const reads = [backend.download(handles[2], 1), backend.download(handles[0], 1)];
    killers[1]("midway");
    for (const read of reads) await expect(read).rejects.toThrow(/a thread is gone: ended by the test; .* new threads start/);

    // In the caller at first, then by new threads.
    const one = await opened({ threads: 1 });
    const want = await outcome(one, alone(kernel, 9));
    expect(Buffer.compare(await outcome(backend, alone(kernel, 9)), want)).toBe(0);
    await backend.ready();
    expect(killers.length).toBe(4);
    expect(backend.describe()).toMatch(/on 2 threads/);
    expect(Buffer.compare(await outcome(backend, alone(kernel, 9)), want)).toBe(0);
    backend.destroy();
  });

  it("while nobody waits for it is replaced too", async () => {
    killers.length = 0;
    const backend = await opened({ threads: 2 }, spawn);
    const work = entangled(2);
    const want = await outcome(backend, work);
    killers[0]("later");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await backend.ready();
    expect(killers.length).toBe(4);
    expect(Buffer.compare(await outcome(backend, work), want)).toBe(0);
    backend.destroy();
  });
});

describe("a kernel that fails in a thread", () => {
  it("is named, the other threads are let go, and all go on", async () => {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 65536, shared: true });
    const writer = new ModuleWriter(true);
    const parameters: ValueType[] = [i32, i32, i32];
    writer.export("phase0", writer.addFunction(parameters, [], new Locals(3), [0x00])); // unreachable
    const bad = { id: 0, module: new WebAssembly.Module(writer.finish()), phases: [{ steps: 1, work: 1e9 }], buffers: [spec], scratch: [] };
    const pool = new Pool(2, memory, spawnThread);
    await pool.settled();
    const run = async (loops: Loops): Promise<Outcome> => {
      const calls = [40, 41].map(() => ({ loops, addresses: [65536] }));
      return pool.run(makeProgram(calls, 2, false, { take: () => 0, giveBack: () => {} }), [loops], false);
    };
    for (let round = 0; round < 3; round++) {
      expect((await run(bad)).failure).toEqual({ call: 0, reason: "unreachable" });
      expect((await run(good(memory))).failure).toBe(null);
    }
    pool.destroy();
  });

  const spec = { dtype: "float32", length: 8, access: "write" } as const;
  const good = (memory: WebAssembly.Memory): Loops => {
    const b = new Builder();
    const i = b.axis("i", 8);
    b.write([i], b.float(1));
    const module = compileLoops(b.kernel("ones", [i]), { relaxed: false, shared: true, constants: new ConstantTable(memory) });
    return { id: 1, module: new WebAssembly.Module(module.bytes), phases: module.phases, buffers: [spec], scratch: [] };
  };
});

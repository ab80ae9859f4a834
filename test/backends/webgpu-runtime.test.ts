/** What the webgpu backend does besides computing: errors, a lost device, what it queues and what it keeps. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { openDevice } from "../../backends/webgpu/adapter.js";
import { type Cost, Queue } from "../../backends/webgpu/queue.js";
import { type Device, device, gelu, matmul, memory, profile, realize, type Tensor, tensor } from "../../index.js";

const spoiled = vi.hoisted(() => ({ isOn: false }));
vi.mock("../../backends/webgpu/emit.js", async (importOriginal) => {
  const real = await importOriginal<typeof import("../../backends/webgpu/emit.js")>();
  const emitLoops: typeof real.emitLoops = (...args) => {
    const made = real.emitLoops(...args);
    return made && spoiled.isOn ? { ...made, source: made.source.replace(/fn main\([^{]*\{/, "$&\n  let spoilt = nowhere;") } : made;
  };
  return { ...real, emitLoops };
});

const open: Device[] = [];
async function webgpu(options = {}): Promise<{ on: Device; gpu: GPUDevice }> {
  const on = await device("webgpu", options);
  open.push(on);
  return { on, gpu: (on.backend as unknown as { device: GPUDevice }).device };
}
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const wave = (on: Device, ...shape: number[]): Tensor =>
  tensor(
    Float32Array.from({ length: shape.reduce((n, size) => n * size, 1) }, (_, i) => Math.sin(i)),
    { shape, device: on },
  );

/** Counts the calls of a method from now on. */
function count<Name extends string>(object: Record<Name, unknown>, name: Name): () => number {
  const original = (object[name] as (...args: unknown[]) => unknown).bind(object);
  let calls = 0;
  object[name] = (...args: unknown[]) => {
    calls++;
    return original(...args);
  };
  return () => calls;
}

describe("a lost device", () => {
  it("rejects what is pending and what comes after, says why and what to do, and another can be opened", async () => {
    const { on, gpu } = await webgpu();
    const x = wave(on, 64, 64).mul(1);
    await realize(x);
    const pending = Promise.allSettled([matmul(x, x).data(), gelu(x).sum().item()]);
    gpu.destroy();
    const said =
      /^webgpu: (\w+: )?the device was lost \(destroyed.*\), and the tensors on it with it; open another with device\("webgpu"\)/;
    for (const result of await pending)
      expect(result).toMatchObject({ status: "rejected", reason: { message: expect.stringMatching(said) } });
    await expect(x.data()).rejects.toThrow(said);
    await expect(x.add(1).data()).rejects.toThrow(said);
    await expect(realize(x.mul(2))).rejects.toThrow(said);
    await on.close();

    const { on: another } = await webgpu();
    expect(await wave(another, 3).mul(2).sum().item()).toBeCloseTo(2 * (Math.sin(1) + Math.sin(2)), 5);
  });
});

describe("errors of the device", () => {
  it("of a shader quote the line, and name the kernel, the operations and the module that it came from", async () => {
    const { on } = await webgpu();
    const read = (spoil: boolean): Promise<unknown> => {
      spoiled.isOn = spoil;
      return gelu(wave(on, 5)).abs().data();
    };
    const error = await read(true).catch((e: Error) => e);
    expect(error).toMatchObject({ name: "BackendError" });
    expect((error as Error).message).toMatch(/^webgpu: gelu \+ abs: \w+ does not compile: .*nowhere.* in line \d+: let spoilt = nowhere;/);
    expect(await read(false)).toHaveLength(5);
  });

  it("of memory name the bytes wanted and in use, reject the next read, and leave the device in order", async () => {
    const { on, gpu } = await webgpu();
    const x = wave(on, 1000);
    await x.add(1).data();
    on.pool.trim();
    const pop = gpu.popErrorScope.bind(gpu);
    // A driver that says of the next allocation that there is no memory.
    let isFull = true;
    gpu.popErrorScope = async () => {
      const error = isFull ? ({ message: "out of memory" } as GPUError) : await pop();
      isFull = false;
      return error;
    };
    await expect(x.add(1).data()).rejects.toThrow(/no room for \d+ bytes beside the \d+ in use: out of memory; take smaller batches/);
    expect((await x.add(1).data())[0]).toBe(1);
  });

  it("of memory are known at once where a limit of our own is exceeded", async () => {
    const { on } = await webgpu({ maxBytes: 1 << 16 });
    await expect(
      wave(on, 1 << 15)
        .add(1)
        .data(),
    ).rejects.toThrow(/webgpu: no room for 131072 bytes: 0 of 65536 are in use/);
  });
});

describe("queued work", () => {
  it("is one submit for a plan once the cost of its kernels is known, and several where they would take too long", async () => {
    const { device: gpu } = await openDevice({});
    const queue = new Queue(gpu, { maxSubmitMilliseconds: 10, maxUnknown: 5 });
    const submits = count(gpu.queue as unknown as Record<"submit", unknown>, "submit");
    const work = (cost: Cost, n: number) => Array.from({ length: n }, () => ({ encode: () => {}, cost }));
    queue.submit(work({ milliseconds: 0.01 }, 500));
    expect(submits()).toBe(1);
    queue.submit(work({ milliseconds: 4 }, 10));
    expect(submits()).toBe(1 + 5);
    const unknown = { milliseconds: null };
    queue.submit(work(unknown, 20));
    expect(submits()).toBe(6 + 4);
    queue.submit([...work({ milliseconds: 1 }, 3), ...work({ milliseconds: 1000 }, 2), ...work({ milliseconds: 1 }, 3)]);
    expect(submits()).toBe(10 + 4);
    while (queue.length > 0) await gpu.queue.onSubmittedWorkDone();
    expect(unknown.milliseconds).toBeGreaterThanOrEqual(0);
    gpu.destroy();
  });

  it("leaves the core to a software adapter's threads: the event loop rests while a result is awaited", async () => {
    const { on } = await webgpu({ software: true });
    const x = wave(on, 512, 512);
    const compute = async (): Promise<number> => (await matmul(x, x).data())[1];
    await compute();
    let turns = 0;
    let isDone = false;
    const turn = (): void => {
      turns++;
      if (!isDone) setImmediate(turn);
    };
    const started = performance.now();
    const result = compute().finally(() => {
      isDone = true;
    });
    setImmediate(turn);
    expect(await result).not.toBeNaN();
    // Without rest there are some hundred turns a millisecond.
    expect(turns / (performance.now() - started)).toBeLessThan(10);
  });

  it("is bounded: a loop that never reads waits for the device", async () => {
    const { on, gpu } = await webgpu();
    let flying = 0;
    let most = 0;
    const submit = gpu.queue.submit.bind(gpu.queue);
    gpu.queue.submit = (buffers) => {
      submit(buffers);
      most = Math.max(most, ++flying);
      const done = (): number => flying--;
      void gpu.queue.onSubmittedWorkDone().then(done, done);
    };
    const w = wave(on, 48, 48).mul(0.1);
    let x = wave(on, 48, 48);
    for (let i = 0; i < 150; i++) {
      const next = matmul(x, w);
      await realize(next);
      x.dispose();
      x = next;
    }
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(64);
    expect(memory(on).liveBuffers).toBeLessThan(10);
  });
});

describe("what a step made is kept", () => {
  it("pipelines are compiled side by side, once; bind groups, buffers and staging buffers are used again", async () => {
    const { on, gpu } = await webgpu();
    const calls = gpu as unknown as Record<"createComputePipelineAsync" | "createBindGroup" | "createBuffer", unknown>;
    const compile = gpu.createComputePipelineAsync.bind(gpu);
    let compiling = 0;
    let most = 0;
    gpu.createComputePipelineAsync = (descriptor) => {
      most = Math.max(most, ++compiling);
      return compile(descriptor).finally(() => compiling--);
    };
    const w = wave(on, 16, 16).requiresGrad_();
    const step = async (): Promise<number> => {
      const loss = matmul(gelu(matmul(wave(on, 8, 16), w)), w)
        .square()
        .mean();
      loss.backward();
      w.assign(w.detach().sub(w.grad!.mul(0.01)));
      w.grad = null;
      return loss.item();
    };
    for (let i = 0; i < 12; i++) await step();
    expect(most).toBeGreaterThan(2);
    const made = [count(calls, "createComputePipelineAsync"), count(calls, "createBindGroup"), count(calls, "createBuffer")];
    for (let i = 0; i < 6; i++) await step();
    expect(made.map((each) => each())).toEqual([0, 0, 0]);
  });
});

describe("profile", () => {
  it("has a time for each launch, also of what is realized and never read", async () => {
    const { on } = await webgpu();
    const x = wave(on, 64, 64);
    const found = await profile(() => realize(matmul(x, x), gelu(x)), { device: on });
    expect(found.kernels).toHaveLength(2);
    for (const kernel of found.kernels) expect(kernel.milliseconds).toBeGreaterThan(0);
  });
});

describe("a process", () => {
  it("ends by itself after its last read, though the device is not closed", async () => {
    const folder = await mkdtemp(join(tmpdir(), "crabro-end-"));
    const root = resolve(import.meta.dirname, "../..");
    const script = join(folder, "read.mts");
    writeFileSync(
      script,
      `import { device, tensor } from ${JSON.stringify(join(root, "index.js"))};
      const on = await device("webgpu");
      console.log(await tensor([1, 2, 3], { device: on }).mul(2).sum().item());`,
    );
    const run = promisify(execFile)(process.execPath, ["--import", "tsx", script], { cwd: root, timeout: 60_000 });
    expect((await run).stdout).toBe("12\n");
    await rm(folder, { recursive: true });
  });
});

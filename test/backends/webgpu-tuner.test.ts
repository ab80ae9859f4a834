/** The tuner of webgpu: what it measures, what it remembers, and that nothing but time depends on it. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Executable } from "../../backends/backend.js";
import { createWebgpuBackend, type WebgpuOptions } from "../../backends/webgpu/backend.js";
import { contenders, emitLoops } from "../../backends/webgpu/emit.js";
import { Pipelines } from "../../backends/webgpu/pipelines.js";
import type { Program } from "../../backends/webgpu/shader.js";
import { Staging } from "../../backends/webgpu/staging.js";
import { softwareMachine } from "../../backends/webgpu/tile.js";
import { type Measure, measureOn, Tuner, tuner } from "../../backends/webgpu/tuner.js";
import { openStorage, openStore, type TuningStore, Tunings } from "../../backends/webgpu/tunings.js";
import type { LoopKernel } from "../../engine/kernel/ir.js";
import { Device, device, matmul, type Tensor, tensor } from "../../index.js";

const open: Device[] = [];
const folders: string[] = [];
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), "crabro-tuner-"));
  folders.push(folder);
  vi.stubEnv("CRABRO_CACHE", "");
  vi.stubEnv("XDG_CACHE_HOME", folder);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  for (const each of open.splice(0)) await each.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

interface Opened {
  readonly on: Device;
  readonly gpu: GPUDevice;
  readonly compiled: Executable[];
}

/** A device that keeps what it compiles. */
async function webgpu(options: WebgpuOptions): Promise<Opened> {
  const backend = await createWebgpuBackend(options);
  const on = new Device("webgpu", backend);
  open.push(on);
  const compiled: Executable[] = [];
  const compile = backend.compile.bind(backend);
  backend.compile = async (kernel) => {
    const executable = await compile(kernel);
    compiled.push(executable);
    return executable;
  };
  return { on, gpu: (backend as unknown as { device: GPUDevice }).device, compiled };
}

const wave = (on: Device, ...shape: number[]): Tensor =>
  tensor(
    Float32Array.from({ length: shape.reduce((n, size) => n * size, 1) }, (_, i) => Math.sin(12.9898 * i) + 0.1),
    { shape, device: on },
  );

/** Two million products, with edges that no tile divides; and a kernel with nothing to gain. */
const large = (on: Device): Promise<unknown> => matmul(wave(on, 130, 128), wave(on, 128, 131)).data();
const small = (on: Device): Promise<unknown> => wave(on, 10).add(1).data();

function memoryStore(text: string | null = null): TuningStore & { text: string | null } {
  return {
    text,
    place: "memory",
    read() {
      return this.text;
    },
    write(text) {
      this.text = text;
    },
  };
}

/** The program at `best` is the fastest. */
const measureAs =
  (best: number): Measure =>
  async (_, programs) =>
    programs.map((_, i) => (i === best ? 1 : 2 + i));

async function matmulKernel(): Promise<LoopKernel & { opened: Opened }> {
  const opened = await webgpu({});
  await large(opened.on);
  return { ...(opened.compiled[0].kernel as LoopKernel), opened };
}

describe("a device that tunes", () => {
  it("measures kernels with much to do once, and the next takes the fastest without measuring; all with the same bits", async () => {
    const untuned = await webgpu({ subgroups: false });
    const want = await large(untuned.on);
    const kernel = untuned.compiled[0].kernel as LoopKernel;
    const usual = untuned.compiled[0].source as string;

    const store = memoryStore();
    const measure = vi.fn(measureAs(2));
    for (const times of [1, 2]) {
      const tune = await tuner({ store, measure });
      const { on, compiled } = await webgpu({ tune, subgroups: false });
      expect(await large(on), `opening ${times}`).toEqual(want);
      await small(on);
      expect(measure).toHaveBeenCalledTimes(1);
      const schedule = contenders(kernel, softwareMachine, 8)[2];
      expect(compiled[0].source).toBe(`// tuned: schedule ${schedule}\n${emitLoops(kernel, softwareMachine, schedule)?.source}`);
      expect(compiled[0].source).not.toContain(usual);
      expect(compiled[1].source).not.toContain("tuned");
      expect(on.describe()).toMatch(/, tuned \(remembered in memory\)$/);
    }
  });

  it("tries candidates on buffers that it frees, and writes a file", async () => {
    const { on: plain } = await webgpu({});
    const on = await device("webgpu", { tune: true });
    open.push(on);
    const { device: gpu } = on.backend as unknown as { device: GPUDevice };
    const scratch = new Set<GPUBuffer>();
    let made = 0;
    const create = gpu.createBuffer.bind(gpu);
    gpu.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      if (descriptor.usage !== 128) return buffer;
      made++;
      scratch.add(buffer);
      const destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => {
        scratch.delete(buffer);
        return destroy();
      };
      return buffer;
    };
    expect(await large(on)).toEqual(await large(plain));
    expect({ made, left: scratch.size }).toEqual({ made: 3, left: 0 });
    const kept = JSON.parse(readFileSync(join(folders[0], "crabro", "webgpu-tuning.json"), "utf8")) as Record<string, object>;
    const [[adapter, tunings]] = Object.entries(kept);
    expect(on.describe()).toContain(adapter);
    expect(Object.values(tunings)).toEqual([{ schedule: expect.any(Number), shader: expect.stringMatching(/^[0-9a-f]{16}$/) }]);
  });

  it("measures nothing where a schedule is given", async () => {
    const measure = vi.fn(measureAs(0));
    const { on } = await webgpu({ schedule: 1, tune: await tuner({ store: memoryStore(), measure }) });
    await large(on);
    expect(measure).not.toHaveBeenCalled();
  });
});

describe("the tuner", () => {
  it("keeps adapters apart, measures a kernel once that is asked for twice, and again where schedules have changed", async () => {
    const kernel = await matmulKernel();
    const store = memoryStore();
    const measure = vi.fn(measureAs(1));
    const tuner = (adapter: string): Tuner => new Tuner(adapter, softwareMachine, new Tunings(store), measure);
    const first = tuner("first");
    const [a, b] = await Promise.all([first.emit(kernel), first.emit(kernel)]);
    expect(a).toEqual(b);
    expect(measure).toHaveBeenCalledTimes(1);
    measure.mockImplementation(measureAs(3));
    const other = await tuner("second").emit(kernel);
    expect(measure).toHaveBeenCalledTimes(2);
    expect(other.program?.source).not.toBe(a.program?.source);
    expect(await tuner("first").emit(kernel)).toEqual(a);
    expect(measure).toHaveBeenCalledTimes(2);

    store.text = (store.text as string).replace(/"shader": "\w+"/g, '"shader": "of another version"');
    expect(await tuner("first").emit(kernel)).toEqual(other);
    expect(measure).toHaveBeenCalledTimes(3);
  });

  it("passes over what does not run, and stays with the estimate, unremembered, where nothing can be measured", async () => {
    const kernel = await matmulKernel();
    const { gpu } = kernel.opened;
    const usual = emitLoops(kernel, softwareMachine) as Program;
    const broken = { ...usual, source: usual.source.replace(/fn main\([^{]*\{/, "$&\n  let spoilt = nowhere;") };
    const pipelines = new Pipelines(gpu);
    const staging = new Staging(gpu);
    const times = await measureOn(gpu, pipelines, staging, () => Infinity)(kernel, [broken, usual]);
    expect(times).toEqual([null, expect.any(Number)]);
    const noRoom = measureOn(gpu, pipelines, staging, () => 1000);
    expect(await noRoom(kernel, [usual])).toBeNull();
    staging.destroy();

    const store = memoryStore();
    for (const measure of [noRoom, async () => [null, null]]) {
      const tuner = new Tuner("any", softwareMachine, new Tunings(store), measure);
      expect(await tuner.emit(kernel)).toEqual({ program: usual, note: null });
    }
    expect(store.text).toBeNull();
  });
});

describe("what is remembered", () => {
  const entry = { schedule: 3, shader: "abc" };

  it("is kept whole in the file, beside what others write, and in place of a damaged one", async () => {
    const store = await openStore();
    expect(store.place).toBe(join(folders[0], "crabro", "webgpu-tuning.json"));
    const [one, two] = [new Tunings(store), new Tunings(store)];
    expect(one.get("a", "x")).toBeNull();
    expect(two.get("a", "x")).toBeNull();
    one.set("a", "x", entry);
    two.set("a", "y", { ...entry, schedule: 4 });
    two.set("b", "x", { ...entry, schedule: 5 });
    expect(JSON.parse(store.read() as string)).toEqual({
      a: { x: entry, y: { ...entry, schedule: 4 } },
      b: { x: { ...entry, schedule: 5 } },
    });
    expect(readdirSync(join(folders[0], "crabro"))).toEqual(["webgpu-tuning.json"]);

    for (const damaged of ["{ broken", "[1, 2]", "7", "null", '{ "a": { "x": { "schedule": -1, "shader": "abc" }, "y": 3 }, "b": null }']) {
      writeFileSync(store.place, damaged);
      const tunings = new Tunings(store);
      expect(tunings.get("a", "x"), damaged).toBeNull();
      tunings.set("a", "x", entry);
      expect(new Tunings(store).get("a", "x"), damaged).toEqual(entry);
      expect(tunings.describe()).toBe(`remembered in ${store.place}`);
    }
  });

  it("lasts as long as the process where it cannot be written, and says so", async () => {
    const store = await openStore();
    mkdirSync(store.place, { recursive: true });
    const tunings = new Tunings(store);
    tunings.set("a", "x", entry);
    expect(tunings.get("a", "x")).toEqual(entry);
    expect(tunings.describe()).toMatch(/^not remembered: EISDIR/);
  });

  it("is in localStorage of a page, and lasts as long as a worker, which has none", () => {
    const kept = new Map<string, string>();
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    });
    new Tunings(openStorage()).set("a", "x", entry);
    expect([...kept.keys()]).toEqual(["crabro-webgpu-tuning"]);
    expect(new Tunings(openStorage()).get("a", "x")).toEqual(entry);

    vi.stubGlobal("localStorage", undefined);
    const tunings = new Tunings(openStorage());
    tunings.set("a", "x", entry);
    expect(tunings.get("a", "x")).toEqual(entry);
    expect(tunings.describe()).toBe("not remembered: there is no localStorage here");
  });
});

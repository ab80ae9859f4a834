/** The device that is there without being asked for: as the library is when it has just been imported. */
import threads from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type * as Crabro from "../../index.js";

const fresh = async (): Promise<typeof Crabro> => import("../../index.js");
beforeEach(() => void vi.resetModules());
const restore: (() => void)[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const action of restore.splice(0)) action();
});

/** How many of a class have been made since. */
function constructed<Name extends string>(owner: Record<Name, new (...args: never[]) => object>, name: Name): () => number {
  const original = owner[name];
  let count = 0;
  owner[name] = new Proxy(original, {
    construct(target, args) {
      count++;
      return Reflect.construct(target, args);
    },
  });
  restore.push(() => {
    owner[name] = original;
  });
  return () => count;
}

/** As in a runtime without WebAssembly SIMD. */
const withoutVectors = () => vi.spyOn(WebAssembly, "validate").mockReturnValue(false);

describe("the default device", () => {
  it("is wasm, and computes without anything having been awaited first", async () => {
    const { defaultDevice, randn, tensor } = await fresh();
    expect(randn([2, 3]).device).toBe(defaultDevice());
    expect(defaultDevice().name).toBe("wasm");
    expect(defaultDevice().describe()).toMatch(
      /^wasm: kernels compiled to WebAssembly with .*SIMD, on [^(]*(\(there is one processor\))?$/,
    );
    expect(await tensor([1, 2, 3]).mul(2).sum().item()).toBe(12);
    await defaultDevice().close();
  });

  it("is opened when it is first asked for, and starts threads with the first work that is worth them", async () => {
    const memories = constructed(WebAssembly, "Memory");
    const workers = constructed(threads, "Worker");
    const { defaultDevice, matmul, randn, tensor } = await fresh();
    expect(memories()).toBe(0);
    expect(await tensor([3, 4]).square().sum().sqrt().item()).toBe(5);
    expect([memories(), workers()]).toEqual([1, 0]);
    expect(
      Number.isFinite(
        await matmul(randn([512, 512]), randn([512, 512]))
          .sum()
          .item(),
      ),
    ).toBe(true);
    const asked = /on (\d+) threads$/.exec(defaultDevice().describe())?.[1] ?? 0;
    expect([memories(), workers()]).toEqual([1, Number(asked)]);
    await defaultDevice().close();
  });

  it("is cpu where there is no SIMD, and says so", async () => {
    withoutVectors();
    const { defaultDevice, device, tensor } = await fresh();
    expect(await tensor([1, 2, 3]).sum().item()).toBe(6);
    expect(defaultDevice().name).toBe("cpu");
    expect(defaultDevice().describe()).toMatch(/^cpu: .* \(not on wasm: this runtime has no WebAssembly SIMD\)$/);
    await expect(device("wasm")).rejects.toThrow("wasm: this runtime has no WebAssembly SIMD");
  });

  it("is what was set, and another after that was closed", async () => {
    const { defaultDevice, device, setDefaultDevice, tensor } = await fresh();
    const cpu = await device("cpu");
    setDefaultDevice(cpu);
    expect(tensor([1]).device).toBe(cpu);
    await cpu.close();
    expect(defaultDevice().name).toBe("wasm");
    await defaultDevice().close();
  });

  it("is missing where no backend is registered, which is said", async () => {
    const { defaultDevice } = await import("../../engine/index.js");
    expect(() => defaultDevice()).toThrow("no backend opens: none is registered");
  });
});

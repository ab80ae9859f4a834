import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Device, device, gelu, matmul, measureRoofline, profile, type Tensor, tensor } from "../../index.js";

const wave = (on: Device, ...shape: number[]): Tensor =>
  tensor(
    Float32Array.from({ length: shape.reduce((n, size) => n * size, 1) }, (_, i) => Math.sin(i)),
    { shape, device: on },
  );

for (const name of ["cpu", "webgpu"]) {
  describe(`profile on ${name}`, () => {
    let on: Device;
    beforeEach(async () => {
      on = await device(name);
    });
    afterEach(() => on.close());

    it("has time, FLOPs and bytes of each kernel, the slowest first, and each launch", async () => {
      const [x, w] = [wave(on, 64, 64), wave(on, 64, 64)];
      const step = async (): Promise<void> =>
        void (await matmul(gelu(matmul(x, w)), w)
          .sum()
          .item());
      await step();
      const found = await profile(
        async () => {
          await step();
          await step();
          return "done";
        },
        { device: on },
      );
      expect(found.result).toBe("done");
      const product = found.kernels.find((kernel) => kernel.ops.includes("gelu"));
      expect(product).toMatchObject({ launches: 2, bytes: 2 * 3 * 4 * 64 * 64 });
      expect(product?.flops).toBeGreaterThanOrEqual(2 * 2 * 64 ** 3);
      expect(product?.flopsPerSecond).toBeCloseTo((1e3 * (product?.flops ?? 0)) / (product?.milliseconds ?? 1), 0);
      const times = found.kernels.map((kernel) => kernel.milliseconds);
      expect(times).toEqual([...times].sort((a, b) => b - a));
      expect(found.launches.length).toBe(found.kernels.reduce((n, kernel) => n + kernel.launches, 0));
      found.launches.slice(1).forEach(({ start }, i) => {
        expect(start).toBeGreaterThanOrEqual(found.launches[i].start);
      });
    });

    it("is exported as a Chrome trace", async () => {
      const x = wave(on, 8, 8);
      const found = await profile(() => matmul(x, x).sum().item(), { device: on, roofline: { flopsPerSecond: 1e9, bytesPerSecond: 1e9 } });
      const { traceEvents } = JSON.parse(found.trace());
      expect(traceEvents[0]).toEqual({ name: "process_name", ph: "M", pid: 1, tid: 1, args: { name: on.describe() } });
      const events = traceEvents.filter(({ ph }: { ph: string }) => ph === "X");
      expect(events.length).toBe(found.launches.length);
      events.forEach((event: { name: string; ts: number; dur: number; args: Record<string, unknown> }, i: number) => {
        const { name: kernel, start, milliseconds, bytes } = found.launches[i];
        expect(event).toMatchObject({ name: kernel, ts: 1e3 * start, dur: 1e3 * milliseconds, args: { bytes } });
        expect(event.args["share of the roofline"]).toBeGreaterThan(0);
      });
    });
  });
}

describe("the roofline", () => {
  it("is measured once a device; kernels say what share of it they reach", async () => {
    const on = await device("wasm");
    const roofline = await measureRoofline(on);
    expect(roofline.bytesPerSecond).toBeGreaterThan(1e6);
    expect(roofline.flopsPerSecond).toBeGreaterThan(1e6);
    expect(await measureRoofline(on)).toBe(roofline);
    const x = wave(on, 1 << 16);
    const { kernels, roofline: used } = await profile(() => x.add(1).data(), { device: on, roofline: true });
    expect(used).toBe(roofline);
    const [{ bytesPerSecond, flopsPerSecond, share }] = kernels;
    expect(share).toBeCloseTo(Math.max(bytesPerSecond / roofline.bytesPerSecond, flopsPerSecond / roofline.flopsPerSecond), 6);
    await on.close();
  });

  it("is null where nobody asked for it", async () => {
    const on = await device("cpu");
    const { kernels, roofline } = await profile(() => wave(on, 4).add(1).data(), { device: on });
    expect([roofline, kernels[0].share]).toEqual([null, null]);
    await on.close();
  });
});

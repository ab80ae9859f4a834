/** The limits that every WebGPU adapter has, whatever this one offers. */
import * as vitest from "vitest";
import { runBackendTests } from "../../backends/conformance.js";
import { createWebgpuBackend } from "../../backends/webgpu/index.js";
import { device, tensor } from "../../index.js";
import { skip } from "./webgpu-skip.js";

const { describe, expect, it } = vitest;

runBackendTests({ name: "webgpu with default limits", create: () => createWebgpuBackend({ limits: "default" }), skip }, vitest);

describe("webgpu with default limits", () => {
  it("binds no more than eight buffers, and splits kernels that want more", async () => {
    const small = await device("webgpu", { limits: "default", verify: true });
    expect(small.backend.limits.maxBuffersPerKernel).toBe(8);
    const inputs = Array.from({ length: 20 }, (_, i) => tensor([i, 2 * i, -i], { device: small }));
    const sum = inputs.reduce((total, x) => total.add(x.mul(x)));
    expect([...(await sum.data())]).toEqual([2470, 9880, 2470]);
    await small.close();
  });
});

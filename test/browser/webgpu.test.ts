import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { device } from "../../index.js";
import { bundle, type Files } from "../../web/bundle.js";
import { launchBrowser, runPage } from "./harness.js";
import { compute, type Results } from "./page-webgpu.js";

const entry = "test/browser/page-webgpu.ts";
const main = "page-webgpu.js";

let browser: Browser;
let files: Files;
beforeAll(async () => {
  [browser, files] = await Promise.all([launchBrowser(), bundle([entry])]);
});
afterAll(() => browser?.close());

/** Greatest difference, in units of the greatest value. */
function distance(got: readonly number[], want: readonly number[]): number {
  expect(got.length).toBe(want.length);
  const scale = Math.max(...want.map(Math.abs));
  return Math.max(...want.map((value, i) => Math.abs(got[i] - value))) / scale;
}

describe("a page", () => {
  it("computes a matmul and the gradients of a convolution on WebGPU as Node does", async () => {
    const got = await runPage<string, Results>(browser, { files, main }, "webgpu");
    expect(got.describe).toMatch(/^webgpu: .*WGSL/);
    for (const name of ["webgpu", "cpu"]) {
      const opened = await device(name);
      const want = await compute(opened);
      await opened.close();
      // Sums of at most 70 products in another order: a few units in the last place.
      for (const key of ["product", "inputGrad", "weightGrad"] as const) expect(distance(got[key], want[key]), key).toBeLessThan(2e-6);
    }
  });

  it("hears what went wrong in it", async () => {
    await expect(runPage(browser, { files, main }, "tpu")).rejects.toThrow(/tpu: there is no device of this name/);
  });

  it("may share memory only where it is isolated", async () => {
    const text = new TextEncoder().encode("globalThis.run = async () => typeof SharedArrayBuffer === 'function' && crossOriginIsolated");
    const page = { files: new Map([["isolated.js", text]]), main: "isolated.js" };
    expect(await runPage(browser, { ...page, isolated: true }, null)).toBe(true);
    expect(await runPage(browser, page, null)).toBe(false);
  });
});

describe("the bundle", () => {
  it("of sources that need a built-in module of Node is refused, with the file that imports it", async () => {
    await expect(bundle(["models/node.ts"])).rejects.toThrow(/built-in modules of Node: .*models\/node\/files\.ts imports node:fs/);
  });
});

/** gpu.js's shader modes in a browser: the backend suite. Training on them is in `training.test.ts`. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, type Files } from "../../web/bundle.js";
import { launchBrowser, runPage } from "./harness.js";
import type { SuiteRequest, SuiteResult } from "./page-backend.js";

let browser: Browser;
let files: Files;
beforeAll(async () => {
  [browser, files] = await Promise.all([launchBrowser(), bundle(["test/browser/page-backend.ts"])]);
});
afterAll(() => browser?.close());

describe("the backend suite in a page", () => {
  // Node runs all of it on gpujs:webgpu.
  for (const [device, description, every] of [
    ["gpujs:webgl2", /^gpujs:webgl2: kernels compiled by gpu.js, as WebGL 2 shaders$/, 1],
    ["gpujs:webgpu", /^gpujs:webgpu: kernels compiled by gpu.js, as WGSL on /, 8],
  ] as const) {
    it(`passes on ${device}`, async () => {
      const options = { files, main: "page-backend.js", seconds: 250 };
      const { describe, results } = await runPage<SuiteRequest, SuiteResult>(browser, options, { device, every, first: 0 });
      expect(describe).toMatch(description);
      expect(results.filter(({ outcome }) => outcome === "failed").map(({ name, detail }) => `${name}: ${detail}`)).toEqual([]);
      expect(results.filter(({ outcome }) => outcome === "passed").length).toBeGreaterThan(200 / every);
    });
  }
});

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { device } from "../../index.js";
import { bundle, type Files } from "../../web/bundle.js";
import { launchBrowser, runPage } from "./harness.js";
import { compute, type Results } from "./page-webgpu.js";

let browser: Browser;
let files: Files;
beforeAll(async () => {
  [browser, files] = await Promise.all([
    launchBrowser(),
    bundle(["test/browser/page-wasm.ts", "test/browser/worker-wasm.ts"], { minify: true }),
  ]);
});
afterAll(() => browser?.close());

describe("a worker of a page", () => {
  const cases: readonly (readonly [string, boolean, RegExp])[] = [
    ["on threads where the page is isolated", true, /^wasm: .* on 2 threads$/],
    ["on one where it is not", false, /^wasm: .* on one thread \(memory can be shared only in a page that is cross-origin isolated\)$/],
  ];
  for (const [where, isolated, description] of cases) {
    it(`computes a matmul and the gradients of a convolution as Node does, ${where}`, async () => {
      // Relaxed arithmetic may round otherwise in another engine; without it, every bit is the same.
      const options = { threads: 2, callerCycles: 0, relaxed: false };
      const got = await runPage<typeof options, Results>(browser, { files, main: "page-wasm.js", isolated }, options);
      expect(got.describe).toMatch(description);
      const here = await device("wasm", { ...options, threads: 1 });
      const want = await compute(here);
      await here.close();

      // As it passes through the page: JSON has no −0.
      const passed = JSON.parse(JSON.stringify(want)) as Results;
      for (const key of ["product", "inputGrad", "weightGrad"] as const) expect(got[key], key).toEqual(passed[key]);
    });
  }
});

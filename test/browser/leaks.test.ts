/** Two hundred steps of training in a page: what WebGL holds stays as it is after the first. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bundle, type Files } from "../../web/bundle.js";
import { launchBrowser, runPage } from "./harness.js";
import type { LeakRequest, LeakStep } from "./page-leaks.js";

let browser: Browser;
let files: Files;
beforeAll(async () => {
  [browser, files] = await Promise.all([launchBrowser(), bundle(["test/browser/page-leaks.ts"])]);
});
afterAll(() => browser?.close());

it("gpujs:webgl2 leaves no textures, framebuffers and programs behind in 200 steps of training", async () => {
  const options = { files, main: "page-leaks.js", seconds: 250 };
  const steps = await runPage<LeakRequest, LeakStep[]>(browser, options, { device: "gpujs:webgl2", steps: 200 });
  expect(steps).toHaveLength(200);
  const held = ({ textures, framebuffers, programs, liveBytes, misses }: LeakStep) => ({
    textures,
    framebuffers,
    programs,
    liveBytes,
    misses,
  });
  expect(steps[0].textures).toBeGreaterThan(50); // parameters, their gradients and moments: the counting works
  // The outputs of the last two calls of a compiled step are kept: from the third on nothing is new.
  for (const step of steps.slice(3)) expect(held(step)).toEqual(held(steps[3]));
  expect(steps[199].loss).toBeLessThan(steps[0].loss - 0.3);
});

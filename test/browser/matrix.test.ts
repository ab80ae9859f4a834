/**
 * Reference cases in a page: of the fixtures a part each day, another on the next; PART=n takes part n. All devices that a page must have, on the
 * fixtures or a whole folder of reference data: `npm run conformance:browser -- --cases FOLDER`.
 */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runInPage } from "./cases.js";
import { launchBrowser } from "./harness.js";

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser?.close());

const day = Math.floor(Date.now() / 86_400_000);
/** Of how many parts one runs: software adapters are slow. */
const parts = [
  ["wasm", "ops", 2],
  ["wasm", "models", 2],
  ["webgpu", "ops", 2],
  ["webgpu", "models", 2],
  ["gpujs:webgl2", "ops", 2],
  ["gpujs:webgl2", "models", 2],
  ["gpujs:webgpu", "ops", 2],
  ["gpujs:webgpu", "models", 2],
] as const;
const folder = (name: string): string => new URL(`../fixtures/${name}`, import.meta.url).pathname;

for (const [device, name, of] of parts) {
  const part = Number(process.env.PART ?? day) % of;
  it(`${device} agrees with PyTorch on ${name}, part ${part} of ${of}`, async () => {
    const options = { folder: folder(name), device, select: (_: unknown, at: number) => at % of === part };
    const { results, description } = await runInPage(browser, options);
    expect(description).toContain(device);
    expect(results.filter(({ status }) => status !== "passed")).toEqual([]);
    expect(results.length).toBeGreaterThan(0);
  });
}

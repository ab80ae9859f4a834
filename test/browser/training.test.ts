/** The page of `npm run web`, driven as a user does, and the same training in Node. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mnist } from "../../train/data/mnist.js";
import type { Files } from "../../web/bundle.js";
import type { Progress, TrainingRequest } from "../../web/messages.js";
import { type Served, serve } from "../../web/server.js";
import { site } from "../../web/site.js";
import { train } from "../../web/trainer.js";
import { launchBrowser } from "./harness.js";

let browser: Browser;
let files: Files;
let served: Served;
beforeAll(async () => {
  [browser, files] = await Promise.all([launchBrowser(), site({ digits: 320 })]);
  served = await serve(files, { isolated: true });
});
afterAll(async () => {
  await browser?.close();
  await served?.close();
});

interface Seen {
  readonly progress: Progress[];
  readonly longest: number;
  readonly errors: string[];
  readonly page: Page;
}

/** Runs in the page before its own script: keeps what the worker says, and the longest task of the page's thread. */
const listen = `
  globalThis.heard = [];
  globalThis.longest = 0;
  globalThis.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) => heard.push(data));
    }
  };
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
  }).observe({ type: "longtask" });
`;

/** Fills the form by the address, and listens to what the worker says and to what the page's thread takes long over. */
async function trainInPage(request: Partial<TrainingRequest>, until: RegExp): Promise<Seen> {
  const page = await browser.newPage();
  page.setDefaultTimeout(250_000);
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  await page.addInitScript(listen);
  const query = new URLSearchParams(Object.entries(request).map(([name, value]): [string, string] => [name, String(value)]));
  await page.goto(`${served.url}?${query}&start`);
  await page.waitForFunction(`${until}.test(document.querySelector("#status").textContent)`);
  const heard = (await page.evaluate("globalThis.heard")) as Progress[];
  const longest = (await page.evaluate("globalThis.longest")) as number;
  return { progress: heard, longest, errors, page };
}

const request: TrainingRequest = {
  device: "wasm",
  deviceOptions: {},
  model: "hornet_micro_7x7",
  epochs: 1,
  trainLimit: 320,
  testLimit: 64,
  batchSize: 16,
  lr: 0.004,
  seed: 42,
};

const lossesOf = (progress: readonly Progress[]): number[] => progress.flatMap((each) => (each.kind === "step" ? [each.loss] : []));
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

async function trainHere(given: TrainingRequest): Promise<number[]> {
  const progress: Progress[] = [];
  const digits = { train: mnist("train"), test: mnist("test") };
  await train(digits, given, (each) => progress.push(each), new AbortController().signal);
  return lossesOf(progress);
}

describe("the page", () => {
  // A software adapter takes seconds a step.
  const steps = 10;
  const short = { ...request, trainLimit: steps * request.batchSize };
  let inNode: Promise<number[]> | null = null;
  for (const device of ["wasm", "webgpu", "gpujs:webgl2"]) {
    it(`learns on ${device} as Node does on wasm, and stays responsive`, async () => {
      const { deviceOptions: _, ...fields } = short;
      const given = { ...fields, device };
      const { progress, longest, errors, page } = await trainInPage(given, /^(done|[^ ]*:)/);
      try {
        expect(await page.locator("#status").textContent()).toMatch(/^done in [\d.]+ s · test accuracy [\d.]+ %$/);
        expect(errors).toEqual([]);
        const losses = lossesOf(progress);
        expect(losses).toHaveLength(steps);
        expect(mean(losses.slice(-3))).toBeLessThan(mean(losses.slice(0, 3)) - 0.3);
        inNode ??= trainHere(short);
        const want = await inNode;
        losses.forEach((loss, i) => expect(Math.abs(loss - want[i]), `step ${i}`).toBeLessThan(1e-3));
        expect(longest).toBeLessThan(200);
        expect(await page.locator("#loss svg path.line").count()).toBe(1);
        expect(await page.locator("#accuracy svg path.line").count()).toBe(2);
      } finally {
        await page.close();
      }
    });
  }

  it("stops when it is told to, trains again, and says what is wrong", async () => {
    const { page, errors } = await trainInPage({ device: "wasm", trainLimit: 320, batchSize: 16, epochs: 500 }, /^step 3/);
    try {
      const status = page.locator("#status");
      await page.click("[name=stop]");
      await page.waitForFunction(`/^stopped after/.test(document.querySelector("#status").textContent)`);
      expect(await page.locator("[name=start]").isEnabled()).toBe(true);

      // The field asks for numbers from 1 up; what is not stopped there, the data loader refuses.
      await page.evaluate(`document.querySelector("form").noValidate = true`);
      await page.fill("[name=batchSize]", "0");
      await page.click("[name=start]");
      await page.waitForFunction(`document.querySelector("#status").className === "error"`);
      expect(await status.textContent()).toMatch(/^DataLoader: batchSize is a whole number from 1 up; got 0/);

      await page.fill("[name=batchSize]", "64");
      await page.fill("[name=epochs]", "1");
      await page.click("[name=start]");
      await page.waitForFunction(`/^done in/.test(document.querySelector("#status").textContent)`);
      expect(errors).toEqual([]);
    } finally {
      await page.close();
    }
  });
});

/** `report.html` as a browser shows it. */
import { writeFileSync } from "node:fs";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../index.js";
import { accuracyColumns } from "../../cli/training/classify.js";
import { synthetic } from "../../train/data/index.js";
import {
  Confusion,
  confusionPart,
  type EpochRecord,
  emptyTrace,
  Gallery,
  galleryPart,
  reportHtml,
  showPictures,
  traced,
} from "../../train/report/index.js";
import { launchBrowser } from "./harness.js";

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser?.close());

/** Of a made-up run of six epochs. */
async function madeUp(): Promise<string> {
  const updates = 40;
  const dataset = synthetic({ length: 60, noise: 1 });
  const confusion = new Confusion(10);
  const gallery = new Gallery(18);
  for (let index = 0; index < 60; index++) {
    const label = dataset.label(index);
    const predicted = index % 4 === 0 ? (label + 3) % 10 : label;
    const prediction = { index, label, predicted, probability: 0.4 + index / 100 };
    confusion.add(prediction);
    gallery.add(prediction);
  }
  let trace = emptyTrace(6 * updates);
  for (let step = 0; step < 6 * updates; step++)
    trace = traced(
      trace,
      step,
      2.3 * Math.exp(-step / 80) + 0.2 * Math.sin(step) ** 2,
      4e-3 * Math.cos(step / 160),
      1 + Math.exp(-step / 20),
    );
  const epochs = Array.from({ length: 6 }, (_, epoch): EpochRecord => {
    const loss = 2 * Math.exp(-epoch / 2);
    const ema = { loss: loss * 0.9, top1: 97 - 40 * Math.exp(-epoch), top5: 99.5 };
    return {
      epoch,
      lr: 4e-3 / (epoch + 1),
      trainLoss: loss,
      train: { top1: 95 - 60 * Math.exp(-epoch) },
      gradNorm: 1.2,
      skipped: 0,
      test: { loss, top1: 96 - 50 * Math.exp(-epoch), top5: 99 },
      ema,
    };
  });
  const [right, wrong] = await Promise.all((["right", "wrong"] as const).map((kind) => showPictures(dataset, gallery.chosen(kind))));
  return reportHtml({
    title: "hornet_micro_7x7 on made-up pictures",
    facts: [
      ["network", "hornet_micro_7x7, 379930 parameters"],
      ["device", "wasm: WebAssembly SIMD on 2 threads"],
    ],
    args: { model: "hornet_micro_7x7", epochs: 6, lr: 4e-3 },
    history: { epochs, trace, best: { epoch: 5, metric: 96.73 } },
    updates,
    columns: accuracyColumns,
    sections: [
      confusionPart(confusion, dataset.classNames),
      galleryPart("Wrong, and sure of it", wrong, dataset.classNames),
      galleryPart("Right, and sure of it", right, dataset.classNames),
    ].join(""),
  });
}

describe("report.html", () => {
  it("shows charts, tables and pictures on wide and narrow screens, in light and dark, without errors or other files", {
    timeout: 60_000,
  }, async () => {
    const html = await madeUp();
    const complaints: string[] = [];
    const requests: string[] = [];
    for (const [width, colorScheme] of [
      [1100, "light"],
      [390, "dark"],
    ] as const) {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("request", (request) => requests.push(request.url()));
      await page.setContent(html);
      const seen = await page.evaluate(`({
        charts: [...document.querySelectorAll("svg.chart")].filter((chart) => chart.getBoundingClientRect().height > 100).length,
        pictures: [...document.images].filter((image) => image.complete && image.naturalWidth > 0).length,
        cells: document.querySelectorAll("table.confusion td").length,
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        paper: getComputedStyle(document.body).backgroundColor,
      })`);
      expect(seen).toEqual({
        charts: 4,
        pictures: 33,
        cells: 100,
        overflow: 0,
        paper: colorScheme === "light" ? "rgb(255, 255, 255)" : "rgb(20, 24, 31)",
      });
      if (process.env.SCREENSHOTS !== undefined)
        writeFileSync(`${process.env.SCREENSHOTS}/report-${colorScheme}.png`, await page.screenshot({ fullPage: true }));
      await page.close();
    }
    expect(complaints).toEqual([]);
    expect(requests.filter((url) => !url.startsWith("data:"))).toEqual([]);
  });
});

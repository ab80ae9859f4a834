/** What runs leave to be read, and what is fetched for them. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { PNG } from "pngjs";
import { afterAll, describe, expect, it } from "vitest";
import "../../index.js";
import { accuracyColumns } from "../../cli/training/classify.js";
import { fetchSet, publicSets, readTar } from "../../train/data/index.js";
import {
  Confusion,
  confusionPart,
  contactSheet,
  crc32c,
  denormalised,
  EventWriter,
  emptyTrace,
  encodePng,
  Gallery,
  galleryPart,
  readEvents,
  reportHtml,
  summaryCsv,
  traced,
} from "../../train/report/index.js";
import { lineChart, ticks } from "../../train/report/svg.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("event files", () => {
  it("have the published checksum", () => {
    // RFC 3720, B.4: 32 zeros, and the digits.
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
  });

  it("hold scalars, and say from which step on they count", () => {
    const writer = new EventWriter(folder, 12);
    writer.scalars(12, { loss: 0.5, lr: 1e-3 });
    writer.close();
    const bytes = readFileSync(writer.path);
    const [version, start, scalars] = readEvents(bytes);
    expect(version).toMatchObject({ fileVersion: "brain.Event:2" });
    expect(start).toMatchObject({ step: 12, sessionLog: { status: 1 } });
    expect(scalars).toMatchObject({ step: 12, summary: { value: [{ tag: "loss", simpleValue: 0.5 }, { tag: "lr" }] } });
    bytes[20] ^= 1;
    expect(() => readEvents(bytes)).toThrow("the record at byte 0 is damaged");
  });
});

const epoch = {
  epoch: 0,
  lr: 0.1,
  trainLoss: 2,
  train: { top1: 30 },
  gradNorm: 1,
  skipped: 0,
  test: { loss: 1.5, top1: 50, top5: 90 },
  ema: null,
};

describe("histories", () => {
  it("keep at most a thousand steps", () => {
    let trace = emptyTrace(2500);
    expect(trace.stride).toBe(3);
    for (let step = 0; step < 10; step++) trace = traced(trace, step, step, 0.1, 1);
    expect(trace.steps).toEqual([0, 3, 6, 9]);
  });
  it("have timm's columns", () => {
    expect(summaryCsv([epoch], accuracyColumns)).toBe("epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n0,2,1.5,50,90,0.1\n");
  });
});

describe("reports", () => {
  const prediction = (index: number, label: number, predicted: number, probability: number) => ({ index, label, predicted, probability });

  it("count what is taken for what", () => {
    const confusion = new Confusion(3);
    for (const [label, predicted] of [
      [0, 0],
      [0, 1],
      [0, 1],
      [2, 1],
    ])
      confusion.add(prediction(0, label, predicted, 1));
    expect([confusion.total(0), confusion.count(0, 1)]).toEqual([3, 2]);
    expect(confusion.mistakes(5)).toEqual([
      { label: 0, predicted: 1, count: 2 },
      { label: 2, predicted: 1, count: 1 },
    ]);
  });

  it("show the surest answers, each class in turn", () => {
    const gallery = new Gallery(3);
    [0.5, 0.9, 0.7, 0.8].forEach((probability, index) => gallery.add(prediction(index, 0, 0, probability)));
    gallery.add(prediction(9, 1, 1, 0.3));
    expect(gallery.chosen("right").map(({ index }) => index)).toEqual([1, 9, 3]);
    expect(gallery.chosen("wrong")).toEqual([]);
  });

  it("draw lines between round numbers, and leave out what is none", () => {
    expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
    const svg = lineChart({ title: "a < b", xLabel: "x", series: [{ name: "s", x: [0, 1, 2], y: [1, Number.NaN, 3] }] });
    expect(svg).toContain("a &lt; b");
    expect(svg.match(/<circle/g)?.length).toBe(2);
    expect(svg).not.toContain("NaN");
    expect(lineChart({ title: "none", xLabel: "x", series: [] })).toContain("nothing yet");
  });

  it("are one page that names nothing outside of it", () => {
    const html = reportHtml({
      title: "a <network>",
      facts: [["device", "cpu & co"]],
      args: { model: "</pre><script>" },
      history: { epochs: [epoch], trace: traced(emptyTrace(1), 0, 2, 0.1, 1), best: { epoch: 0, metric: 50 } },
      updates: 1,
      columns: accuracyColumns,
      sections: [
        confusionPart(new Confusion(2), ["cat", "dog"]),
        galleryPart(
          "Wrong",
          [{ prediction: prediction(0, 0, 1, 0.9), title: "x.png", address: "data:image/png;base64,AA==" }],
          ["cat", "dog"],
        ),
      ].join(""),
    });
    expect(html).toContain("Accuracy 50.00 % after 1 epochs");
    expect(html).toMatch(/dog 90 %<br><small>is cat/);
    expect(html).not.toMatch(/<script|a <network>|(src|href)="(?!data:)/);
  });

  it("write pictures as PNG, in sheets", () => {
    const shown = denormalised(Float32Array.of(0, 1, -1, 0.5), { size: 2, channels: 1, mean: [0.5], std: [0.5] });
    expect([...shown.data]).toEqual([128, 255, 0, 191]);
    const sheet = contactSheet([shown, shown, shown], 2, 1);
    expect([sheet.width, sheet.height]).toEqual([7, 7]);
    const { data } = PNG.sync.read(Buffer.from(encodePng(sheet)));
    expect([data[0], data[(7 + 1) * 4], data[(7 + 2) * 4]]).toEqual([255, 128, 255]);
  });
});

/** A tar archive of one file. */
function tar(path: string, content: string): Uint8Array {
  const bytes = new Uint8Array(512 * 4);
  const put = (text: string, at: number): void => bytes.set(new TextEncoder().encode(text), at);
  put(path, 0);
  put(content.length.toString(8).padStart(11, "0"), 124);
  put("0", 156);
  put(content, 512);
  return bytes;
}

describe("fetching", () => {
  const archive = gzipSync(tar("inside/a.txt", "hello"));
  const md5 = createHash("md5").update(archive).digest("hex");

  it("checks, unpacks, and does not fetch twice; says what to do where there is no network", async () => {
    let asked = 0;
    const server = createServer((_, response) => {
      asked++;
      response.end(archive);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const set = { title: "Set", base, files: [{ name: "a.tar.gz", md5 }] };
    const progress: number[] = [];
    await fetchSet(set, join(folder, "set"), { onProgress: (_, done) => progress.push(done) });
    expect(readFileSync(join(folder, "set", "inside", "a.txt"), "utf8")).toBe("hello");
    expect(progress.at(-1)).toBe(archive.length);
    await fetchSet(set, join(folder, "set"));
    expect(asked).toBe(1);
    const wrong = { ...set, files: [{ name: "b.tar.gz", md5: "0".repeat(32) }] };
    await expect(fetchSet(wrong, join(folder, "set"))).rejects.toThrow(`with MD5 ${md5}; expected 000`);
    expect(existsSync(join(folder, "set", "b.tar.gz"))).toBe(false);
    await new Promise((resolve) => server.close(resolve));
    await expect(fetchSet(wrong, join(folder, "set"))).rejects.toThrow(
      new RegExp(
        `^data: cannot fetch Set from ${base}b.tar.gz: .*; where there is a network, download ${base}b.tar.gz into .*set and run this again$`,
      ),
    );
  });

  it("refuses archives that are cut off", () => {
    expect(() => [...readTar(tar("a", "hello").subarray(0, 514), "x.tar")]).toThrow("x.tar is cut off");
    expect([...readTar(tar("a", "hello"), "x.tar")].map(({ path }) => path)).toEqual(["a"]);
  });

  it("knows four public sets", () => {
    for (const { files, base } of Object.values(publicSets))
      for (const { name, md5: sum } of files)
        expect([new URL(name, base).protocol, sum]).toEqual([expect.stringMatching(/^https?:$/), expect.stringMatching(/^[0-9a-f]{32}$/)]);
    expect(Object.keys(publicSets)).toEqual(["mnist", "fashion-mnist", "cifar10", "cifar100"]);
  });
});

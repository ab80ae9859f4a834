/**
 * How many pictures a second loaders make: `npx tsx bench/loader.ts [pictures] [side]`. JPEG files of 224 pixels are read, cropped,
 * mirrored, changed by RandAugment, erased and normalised, by 0, 1 and 2 workers.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import "../index.js";
import sharp from "sharp";
import { noAugmentation, parseRandAugment } from "../train/augment/index.js";
import { DataLoader, imageFolder, plainTransform } from "../train/data/index.js";

const [count, side] = [Number(process.argv[2] ?? 256), Number(process.argv[3] ?? 224)];
const folder = mkdtempSync(join(tmpdir(), "crabro-loader-"));
try {
  mkdirSync(join(folder, "train", "all"), { recursive: true });
  for (let i = 0; i < count; i++) {
    const data = Uint8Array.from(
      { length: 3 * side * side },
      (_, at) => 128 + 90 * Math.sin(at / (50 + i)) + 30 * Math.sin(at * at * 0.37),
    );
    const jpeg = await sharp(data, { raw: { width: side, height: side, channels: 3 } })
      .jpeg()
      .toBuffer();
    writeFileSync(join(folder, "train", "all", `${i}.jpg`), jpeg);
  }
  const dataset = imageFolder(folder, "train");
  const augmentation = {
    ...noAugmentation,
    box: { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] },
    hflip: 0.5,
    randAugment: parseRandAugment("rand-m9-mstd0.5-inc1"),
    erasing: { probability: 0.25, mode: "pixel", count: 1 },
  } as const;
  for (const workers of [0, 1, 2]) {
    const loader = new DataLoader(dataset, { batchSize: 16, transform: { ...plainTransform(dataset, 224), augmentation }, workers });
    // The first pass starts the workers and warms them up.
    for await (const _ of loader.epoch(0));
    const start = performance.now();
    const cpu = process.cpuUsage();
    for await (const _ of loader.epoch(1));
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    console.log(
      `${workers} workers: ${(count / seconds).toFixed(0)} pictures/s; ${((user + system) / 1000 / count).toFixed(1)} ms of processor time a picture`,
    );
    await loader.close();
  }
  console.log(`${availableParallelism()} processors, Node ${process.versions.node}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

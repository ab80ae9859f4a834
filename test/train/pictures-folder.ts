/** Folders of pictures for tests: squares of a colour for each class, under noise. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Draws } from "../../train/augment/draws.js";
import { encodePng } from "../../train/report/gallery.js";

const colours = { blue: [40, 60, 200], green: [50, 190, 60], red: [210, 50, 40] } as const;

/** Writes `count` PNG pictures a class and half, of a size of their own, below `folder`. */
export function writePictures(folder: string, count: number, side = 40): void {
  for (const [s, split] of ["train", "val"].entries()) {
    Object.entries(colours).forEach(([name, colour], c) => {
      mkdirSync(join(folder, split, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        const draws = new Draws(3, "sample", s * 10 + c, i);
        const [width, height] = [side + draws.integer(12), side + draws.integer(12)];
        const data = Uint8Array.from({ length: 3 * width * height }, (_, at) => colour[at % 3] + draws.integer(40));
        writeFileSync(join(folder, split, name, `${i}.png`), encodePng({ width, height, channels: 3, data }));
      }
    });
  }
}

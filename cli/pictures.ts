/** Pictures from files, and to PNG files. */
import { readFileSync } from "node:fs";
import jpeg from "jpeg-js";
import { PNG } from "pngjs";
import { OpError } from "../engine/errors.js";
import { writeAtomically } from "../models/node.js";
import type { Picture } from "../models/picture.js";

/** More pixels than any photo has. */
const mostPixels = 200e6;

/** Reads JPEG and PNG by themselves, and other formats where the optional package sharp is installed. Throws OpError with the file's name. */
export async function readPicture(path: string): Promise<Picture> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new OpError("readPicture", `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  try {
    if (bytes[0] === 0x89 && bytes[1] === 0x50) return readPng(bytes);
    if (bytes[0] === 0xff && bytes[1] === 0xd8)
      return withoutAlpha(jpeg.decode(bytes, { useTArray: true, maxResolutionInMP: mostPixels / 1e6 }));
    return await readBySharp(bytes);
  } catch (error) {
    throw new OpError("readPicture", `${path} is no whole picture: ${(error as Error).message}`, { cause: error });
  }
}

function readPng(bytes: Buffer): Picture {
  if (bytes.length >= 24 && bytes.readUInt32BE(16) * bytes.readUInt32BE(20) > mostPixels)
    throw new Error("it claims more pixels than any photo has");
  return withoutAlpha(PNG.sync.read(bytes));
}

async function readBySharp(bytes: Buffer): Promise<Picture> {
  const { default: sharp } = await import("sharp").catch(() => {
    throw new Error("it is neither JPEG nor PNG; other formats need the optional package sharp (npm install sharp)");
  });
  const { data, info } = await sharp(bytes).removeAlpha().toColourspace("srgb").raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data: new Uint8Array(data) };
}

/** Four bytes a pixel to three, on white where it is transparent. */
function withoutAlpha({ width, height, data }: { width: number; height: number; data: Uint8Array }): Picture {
  const out = new Uint8Array(width * height * 3);
  for (let at = 0; at < width * height; at++) {
    const alpha = data[4 * at + 3] / 255;
    for (let c = 0; c < 3; c++) out[3 * at + c] = Math.round(data[4 * at + c] * alpha + 255 * (1 - alpha));
  }
  return { width, height, data: out };
}

/** The middle square at another size, each pixel the mean of those it stands for. */
export function squared({ width, height, data }: Picture, size: number): Picture {
  const side = Math.min(width, height);
  const [left, top] = [Math.floor((width - side) / 2), Math.floor((height - side) / 2)];
  const out = new Uint8Array(size * size * 3);
  const range = (i: number): [number, number] => {
    const from = Math.floor((i * side) / size);
    return [from, Math.max(from + 1, Math.floor(((i + 1) * side) / size))];
  };
  for (let y = 0; y < size; y++) {
    const [y0, y1] = range(y);
    for (let x = 0; x < size; x++) {
      const [x0, x1] = range(x);
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let v = y0; v < y1; v++) for (let u = x0; u < x1; u++) sum += data[3 * ((top + v) * width + left + u) + c];
        out[3 * (y * size + x) + c] = Math.round(sum / ((y1 - y0) * (x1 - x0)));
      }
    }
  }
  return { width: size, height: size, data: out };
}

export function writePng(path: string, { width, height, data }: Picture): void {
  const png = new PNG({ width, height, colorType: 2, inputColorType: 2, inputHasAlpha: false });
  png.data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  writeAtomically(path, PNG.sync.write(png, { colorType: 2, inputColorType: 2, inputHasAlpha: false }));
}

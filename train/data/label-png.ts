/**
 * PNG files whose values are classes: the numbers in the file, with no palette or colour space applied, which picture decoders would.
 * @see https://www.w3.org/TR/png-3
 */
import { inflateSync } from "node:zlib";
import pngjs from "pngjs";
import { OpError } from "../../engine/errors.js";

/** A class for each pixel. */
export interface LabelMap {
  readonly height: number;
  readonly width: number;
  /** [height, width] */
  readonly data: Uint8Array;
}

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Reads grey or indexed pixels of up to eight bits. Throws OpError that names the file for everything else. */
export function readLabelPng(bytes: Uint8Array, name: string): LabelMap {
  const refuse = (why: string, cause?: unknown): OpError => new OpError("mask", `${name}: ${why}`, { cause });
  if (!signature.every((byte, i) => bytes[i] === byte)) throw refuse("this is no PNG file");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [];
  let header: { width: number; height: number; depth: number; colour: number; interlaced: boolean } | null = null;
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) throw refuse("the file is cut off");
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) throw refuse("the file is cut off");
    const start = at + 8;
    if (type === "IHDR")
      header = {
        width: view.getUint32(start),
        height: view.getUint32(start + 4),
        depth: bytes[start + 8],
        colour: bytes[start + 9],
        interlaced: bytes[start + 12] !== 0,
      };
    else if (type === "IDAT") parts.push(bytes.subarray(start, start + length));
    else if (type === "IEND") break;
    at = start + length + 4;
  }
  if (header === null) throw refuse("it has no header");
  const { width, height, depth, colour, interlaced } = header;
  if ((colour !== 0 && colour !== 3) || depth > 8)
    throw refuse("its pixels are colours, or of 16 bits; expected one class a pixel: grey or indexed, of up to 8 bits");
  if (interlaced) throw refuse("it is interlaced, which masks may not be; write it again without");
  let raw: Uint8Array;
  try {
    raw = inflateSync(Buffer.concat(parts));
  } catch (error) {
    throw refuse("its data are damaged", error);
  }
  const line = Math.ceil((width * depth) / 8);
  if (raw.length !== height * (line + 1)) throw refuse(`it holds ${raw.length} bytes; expected ${height} lines of ${line + 1}`);
  return { width, height, data: unpacked(unfiltered(raw, height, line, refuse), height, width, depth, line) };
}

/** Undoes the filters of the lines; with at most eight bits a pixel, the pixel before is the byte before. */
function unfiltered(raw: Uint8Array, height: number, line: number, refuse: (why: string) => OpError): Uint8Array {
  const out = new Uint8Array(height * line);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (line + 1)];
    for (let x = 0; x < line; x++) {
      const at = y * line + x;
      const left = x > 0 ? out[at - 1] : 0;
      const up = y > 0 ? out[at - line] : 0;
      const corner = x > 0 && y > 0 ? out[at - line - 1] : 0;
      out[at] = raw[y * (line + 1) + 1 + x] + predicted(filter, left, up, corner, refuse);
    }
  }
  return out;
}

function predicted(filter: number, left: number, up: number, corner: number, refuse: (why: string) => OpError): number {
  switch (filter) {
    case 0:
      return 0;
    case 1:
      return left;
    case 2:
      return up;
    case 3:
      return (left + up) >> 1;
    case 4: {
      const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
      return a <= b && a <= c ? left : b <= c ? up : corner;
    }
    default:
      throw refuse(`a line has filter ${filter}; expected 0 to 4`);
  }
}

function unpacked(lines: Uint8Array, height: number, width: number, depth: number, line: number): Uint8Array {
  if (depth === 8) return lines;
  const out = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      out[y * width + x] = (lines[y * line + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
    }
  }
  return out;
}

/** Classes as grey pixels of eight bits. */
export function writeLabelPng({ height, width, data }: LabelMap): Uint8Array {
  const png = new pngjs.PNG({ width, height, colorType: 0, inputColorType: 0, bitDepth: 8, inputHasAlpha: false });
  png.data = Buffer.from(data);
  return pngjs.PNG.sync.write(png, { colorType: 0, inputColorType: 0, bitDepth: 8, inputHasAlpha: false });
}

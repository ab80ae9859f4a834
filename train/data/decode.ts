/** Files of pictures to pixels: `sharp` where it is installed, else JavaScript decoders for JPEG and PNG. */
import { OpError } from "../../engine/errors.js";
import type { Picture } from "../augment/picture.js";

/** Decodes bytes; throws whatever is wrong with them. */
export type Decoder = (bytes: Uint8Array) => Promise<Picture>;

const formats = [
  { name: "JPEG", magic: [[0, 0xff, 0xd8, 0xff]] },
  { name: "PNG", magic: [[0, 0x89, 0x50, 0x4e, 0x47]] },
  {
    name: "WebP",
    magic: [
      [0, 0x52, 0x49, 0x46, 0x46],
      [8, 0x57, 0x45, 0x42, 0x50],
    ],
  },
] as const;

/** What the first bytes say: the name of a file may be wrong. */
export function pictureFormat(bytes: Uint8Array): "JPEG" | "PNG" | "WebP" | null {
  const fits = ([at, ...magic]: readonly number[]): boolean => magic.every((byte, i) => bytes[at + i] === byte);
  return formats.find(({ magic }) => magic.every(fits))?.name ?? null;
}

/** JPEG and PNG in JavaScript. */
export const decodeInJavaScript: Decoder = async (bytes) => {
  const format = pictureFormat(bytes);
  if (format === "PNG") {
    const { PNG } = await import("pngjs");
    const { width, height, data } = PNG.sync.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    return withoutAlpha(width, height, data);
  }
  if (format === "JPEG") {
    const { decode } = await import("jpeg-js");
    const { width, height, data } = decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxMemoryUsageInMB: 1024,
    });
    return { width, height, channels: 3, data };
  }
  throw new Error(`${format ?? "this format"} needs the package sharp, which is not installed; run npm install sharp`);
};

function withoutAlpha(width: number, height: number, rgba: Uint8Array): Picture {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0, at = 0; i < data.length; i += 3, at += 4) {
    data[i] = rgba[at];
    data[i + 1] = rgba[at + 1];
    data[i + 2] = rgba[at + 2];
  }
  return { width, height, channels: 3, data };
}

/** By sharp; null where it is not installed or does not load. */
export async function sharpDecoder(): Promise<Decoder | null> {
  let sharp: typeof import("sharp").default;
  try {
    ({ default: sharp } = await import("sharp"));
  } catch {
    return null;
  }
  // Workers are many already.
  sharp.concurrency(1);
  sharp.cache(false);
  return async (bytes) => {
    const { data, info } = await sharp(bytes)
      .toColourspace("srgb")
      .removeAlpha()
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 1 && info.channels !== 3) throw new Error(`${info.channels} channels; expected 1 or 3`);
    return { width: info.width, height: info.height, channels: info.channels, data };
  };
}

let decoder: Promise<Decoder> | null = null;

/** The pixels of a JPEG, PNG or WebP file, without transparency. Throws OpError that names the file. */
export async function decodePicture(bytes: Uint8Array, name: string): Promise<Picture> {
  decoder ??= sharpDecoder().then((found) => found ?? decodeInJavaScript);
  if (pictureFormat(bytes) === null) throw new OpError("picture", `${name} is no JPEG, PNG or WebP file; it begins with ${start(bytes)}`);
  try {
    return await (await decoder)(bytes);
  } catch (error) {
    throw new OpError("picture", `${name} cannot be decoded: ${(error as Error).message}`, { cause: error });
  }
}

const start = (bytes: Uint8Array): string =>
  bytes.length === 0 ? "nothing: it is empty" : [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** Resizing, maps and colours, byte by byte as Pillow computes them: the recipes were found with its arithmetic. */
import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import * as augment from "../../../train/augment/index.js";
import pillow from "../../fixtures/pillow.json" with { type: "json" };

const [width, height] = [53, 37];
const fill = [124, 116, 104];

/** As in pillow.py. */
function made(channels: 1 | 3): augment.Picture {
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) => {
    const [c, x, y] = [i % channels, Math.floor(i / channels) % width, Math.floor(i / channels / width)];
    return (x * x * 3 + y * 5 + c * 59 + ((x * 31 + y * 17) ^ (x * y))) & 255;
  });
  return { width, height, channels, data };
}

const { autoContrast, brightness, contrast, equalize, invert, posterize, saturation, sharpness, solarize } = augment;
const colours: Readonly<Record<string, (picture: augment.Picture, amount: number) => augment.Picture>> = {
  autoContrast,
  brightness,
  contrast,
  equalize,
  invert,
  posterize,
  saturation,
  sharpness,
  solarize,
};

type Case = (typeof pillow.cases)[number];

function ours({ op, channels, how, size, box, map, amount = 0 }: Case): augment.Picture {
  const picture = made(channels as 1 | 3);
  const interpolation = how as augment.Interpolation;
  switch (op) {
    case "resize": {
      const [left, top, right, bottom] = box ?? [0, 0, width, height];
      const [w, h] = size as number[];
      return augment.resize(picture, w, h, interpolation, { left, top, width: right - left, height: bottom - top });
    }
    case "affine":
      return augment.applyAffine(picture, map as unknown as augment.Affine, interpolation, fill);
    case "rotate":
      return augment.applyAffine(picture, augment.rotation(amount, width, height), interpolation, fill);
    default:
      return colours[op](picture, amount);
  }
}

describe("augmentation", () => {
  it(`gives Pillow's bytes in all ${pillow.cases.length} cases`, () => {
    expect(pillow.cases.length).toBeGreaterThan(80);
    const other = pillow.cases.filter((each) => crc32(ours(each).data) !== each.crc);
    expect(other).toEqual([]);
  });
});

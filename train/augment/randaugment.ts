/**
 * RandAugment (Cubuk et al., 2020) in timm's "increasing" form: a few operations drawn from fifteen, each applied with probability 0.5,
 * at a magnitude around the one given.
 */
import { OpError } from "../../engine/errors.js";
import { type Affine, applyAffine, rotation } from "./affine.js";
import { autoContrast, brightness, contrast, equalize, invert, posterize, saturation, sharpness, solarize, solarizeAdd } from "./colour.js";
import type { Draws } from "./draws.js";
import type { Picture } from "./picture.js";
import type { Interpolation } from "./resize.js";

/** A policy of RandAugment. */
export interface RandAugment {
  /** Operations a picture. */
  readonly layers: number;
  /** 0 to 10. */
  readonly magnitude: number;
  /** Deviation of the magnitude. */
  readonly std: number;
  /** Probability of each drawn operation. */
  readonly probability: number;
  /** Larger magnitudes always change a picture more. */
  readonly increasing: boolean;
}

const most = 10;

/** Reads timm's notation: `rand-m9-mstd0.5-inc1`, `n` for the number of operations, `p` for their probability. Throws for anything else. */
export function parseRandAugment(text: string): RandAugment {
  const [kind, ...parts] = text.split("-");
  const settings = { n: 2, m: most, mstd: 0, p: 0.5, inc: 0 };
  if (kind !== "rand") throw new OpError("RandAugment", `${text}: expected rand-…, as in rand-m9-mstd0.5-inc1`);
  for (const part of parts) {
    const found = /^(mstd|inc|m|n|p)(\d+(?:\.\d+)?)$/.exec(part);
    if (found === null) throw new OpError("RandAugment", `${text}: ${part} is not one of n, m, mstd, p and inc with a number after it`);
    settings[found[1] as keyof typeof settings] = Number(found[2]);
  }
  return { layers: settings.n, magnitude: settings.m, std: settings.mstd, probability: settings.p, increasing: settings.inc !== 0 };
}

/** What operations need besides the picture: random numbers, and what turned pictures are filled with. */
export interface OperationContext {
  readonly draws: Draws;
  readonly interpolation: Interpolation;
  readonly fill: readonly number[];
}

/** An operation at a magnitude from 0 to 10. */
export type Operation = (picture: Picture, magnitude: number, context: OperationContext) => Picture;

const signed = (value: number, draws: Draws): number => (draws.chance(0.5) ? -value : value);

/** 1 ± up to 0.9: as often more as less. */
const factorAround =
  (change: (picture: Picture, factor: number) => Picture): Operation =>
  (picture, magnitude, { draws }) =>
    change(picture, Math.max(0.1, 1 + signed((magnitude / most) * 0.9, draws)));

/** 0.1 to 1.9: 1, which changes nothing, lies in the middle. */
const factorAcross =
  (change: (picture: Picture, factor: number) => Picture): Operation =>
  (picture, magnitude) =>
    change(picture, (magnitude / most) * 1.8 + 0.1);

const mapped =
  (affine: (picture: Picture, magnitude: number, draws: Draws) => Affine): Operation =>
  (picture, magnitude, { draws, interpolation, fill }) =>
    applyAffine(picture, affine(picture, magnitude, draws), interpolation, fill);

const both: Readonly<Record<string, Operation>> = {
  AutoContrast: autoContrast,
  Equalize: equalize,
  Invert: invert,
  Rotate: mapped(({ width, height }, m, draws) => rotation(signed((m / most) * 30, draws), width, height)),
  SolarizeAdd: (picture, m) => solarizeAdd(picture, Math.min(128, Math.trunc((m / most) * 110))),
  ShearX: mapped((_, m, draws) => [1, signed((m / most) * 0.3, draws), 0, 0, 1, 0]),
  ShearY: mapped((_, m, draws) => [1, 0, 0, signed((m / most) * 0.3, draws), 1, 0]),
  TranslateXRel: mapped(({ width }, m, draws) => [1, 0, signed((m / most) * 0.45, draws) * width, 0, 1, 0]),
  TranslateYRel: mapped(({ height }, m, draws) => [1, 0, 0, 0, 1, signed((m / most) * 0.45, draws) * height]),
};

/** Those of `inc1`: larger magnitudes change a picture more. */
export const increasingOperations: Readonly<Record<string, Operation>> = {
  ...both,
  Posterize: (picture, m) => posterize(picture, 4 - Math.trunc((m / most) * 4)),
  Solarize: (picture, m) => solarize(picture, 256 - Math.min(256, Math.trunc((m / most) * 256))),
  Color: factorAround(saturation),
  Contrast: factorAround(contrast),
  Brightness: factorAround(brightness),
  Sharpness: factorAround(sharpness),
};

/** Those without `inc1`. */
export const plainOperations: Readonly<Record<string, Operation>> = {
  ...both,
  Posterize: (picture, m) => posterize(picture, Math.trunc((m / most) * 4)),
  Solarize: (picture, m) => solarize(picture, Math.min(256, Math.trunc((m / most) * 256))),
  Color: factorAcross(saturation),
  Contrast: factorAcross(contrast),
  Brightness: factorAcross(brightness),
  Sharpness: factorAcross(sharpness),
};

/** A picture after `layers` operations drawn with replacement. */
export function randAugment(picture: Picture, settings: RandAugment, context: OperationContext): Picture {
  const { draws } = context;
  const operations = Object.values(settings.increasing ? increasingOperations : plainOperations);
  const chosen = Array.from({ length: settings.layers }, () => draws.pick(operations));
  return chosen.reduce((current, operation) => {
    if (!draws.chance(settings.probability)) return current;
    const drawn = settings.std > 0 ? draws.normal(settings.magnitude, settings.std) : settings.magnitude;
    return operation(current, Math.min(Math.max(drawn, 0), most), context);
  }, picture);
}

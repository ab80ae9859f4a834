/** Flags: how their text becomes values, and what is wrong with it. */
import { InvalidArgumentError } from "commander";

/** timm writes `--batch_size`; the hyphen is the same flag. Everything from `--` on is left alone. */
export function hyphenated(argv: readonly string[]): string[] {
  const end = argv.indexOf("--");
  return argv.map((arg, i) => {
    if (!arg.startsWith("--") || (end !== -1 && i >= end)) return arg;
    const [name, ...value] = arg.split("=");
    return [name.replaceAll("_", "-"), ...value].join("=");
  });
}

function number(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError("expected a number.");
  return value;
}

/** A whole number from `least` up. */
export const whole =
  (least: number) =>
  (text: string): number => {
    const value = number(text);
    if (!Number.isSafeInteger(value) || value < least) throw new InvalidArgumentError(`expected a whole number from ${least} up.`);
    return value;
  };

/** A number ≥ 0. */
export function positive(text: string): number {
  const value = number(text);
  if (value < 0) throw new InvalidArgumentError("expected a number from 0 up.");
  return value;
}

/** A number from 0 to below 1. */
export function fraction(text: string): number {
  const value = number(text);
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError("expected a number from 0 to below 1.");
  return value;
}

/** A regular expression. */
export function regex(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** Names separated by commas, each once. */
export function deviceList(text: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("") || new Set(names).size < names.length)
    throw new InvalidArgumentError("expected names of devices, separated by commas, each once.");
  return names;
}

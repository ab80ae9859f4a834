/** Options with one definition each: the flag, what its text means, what a config file may say, the default, the help. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { OpError } from "../../engine/errors.js";

export interface Field<T> {
  readonly schema: z.ZodType<T>;
  readonly fallback: T;
  readonly description: string;
  /** As in `--lr <rate>`; null for switches. */
  readonly placeholder: string | null;
  /** From the flag's text, or texts where it takes several. */
  readonly parse: (text: string) => unknown;
  readonly list: boolean;
  readonly choices: readonly string[] | null;
  readonly short: string | null;
  /** Other names of the flag. */
  readonly aliases: readonly string[];
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** The values of a table of fields. */
export type ValuesOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

interface Extras {
  readonly short?: string;
  readonly aliases?: readonly string[];
}

const none = { placeholder: null, list: false, choices: null } as const;
const extras = ({ short, aliases }: Extras) => ({ short: short ?? null, aliases: aliases ?? [] });
const asNumber = (text: string): number => (text.trim() === "" ? Number.NaN : Number(text));

export interface Kind {
  readonly what: string;
  readonly fits: (value: number) => boolean;
}

export const wholeFrom = (least: number): Kind => ({
  what: `a whole number from ${least} up`,
  fits: (value) => Number.isSafeInteger(value) && value >= least,
});
export const anyNumber: Kind = { what: "a number", fits: Number.isFinite };
export const fromZero: Kind = { what: "a number from 0 up", fits: (value) => Number.isFinite(value) && value >= 0 };
export const belowOne: Kind = { what: "a number from 0 to below 1", fits: (value) => value >= 0 && value < 1 };
export const share: Kind = { what: "a number from 0 to 1", fits: (value) => value >= 0 && value <= 1 };
export const aboveZero: Kind = { what: "a number above 0", fits: (value) => Number.isFinite(value) && value > 0 };

const schemaOf = ({ what, fits }: Kind) => {
  const error = (issue: { readonly input?: unknown }): string =>
    `expected ${typeof issue.input === "number" && !Number.isFinite(issue.input) ? "a number" : what}`;
  return z.custom<number>((value) => typeof value === "number" && fits(value), { error });
};

export function number(placeholder: string, description: string, fallback: number, kind: Kind, more: Extras = {}): Field<number> {
  return { ...none, ...extras(more), schema: schemaOf(kind), fallback, description, placeholder, parse: asNumber };
}

/** A number that may be left open; what then holds is in the description. */
export function openNumber(placeholder: string, description: string, kind: Kind, more: Extras = {}): Field<number | undefined> {
  return { ...none, ...extras(more), schema: schemaOf(kind).optional(), fallback: undefined, description, placeholder, parse: asNumber };
}

export function openNumbers(placeholder: string, description: string, kind: Kind, length?: number): Field<readonly number[] | undefined> {
  const numbers = z.array(schemaOf(kind), { error: "expected numbers" });
  const schema = (length === undefined ? numbers : numbers.length(length, { error: `expected ${length} numbers` })).optional();
  return {
    ...none,
    ...extras({}),
    schema,
    fallback: undefined,
    description,
    placeholder: `${placeholder}...`,
    parse: asNumber,
    list: true,
  };
}

const string = z.string({ error: "expected a text" });

export function text(placeholder: string, description: string, fallback: string, more: Extras = {}): Field<string> {
  return { ...none, ...extras(more), schema: string, fallback, description, placeholder, parse: (given) => given };
}

export function openText(placeholder: string, description: string, more: Extras = {}): Field<string | undefined> {
  return { ...none, ...extras(more), schema: string.optional(), fallback: undefined, description, placeholder, parse: (given) => given };
}

export function choice<const C extends readonly [string, ...string[]]>(
  description: string,
  choices: C,
  fallback: NoInfer<C[number]>,
  more: Extras = {},
): Field<C[number]> {
  const schema = z.enum(choices, { error: `expected one of ${choices.join(", ")}` });
  return { ...none, ...extras(more), schema, fallback, description, placeholder: "<name>", parse: (given) => given, choices };
}

/** A switch that is off until it is given. */
export function onSwitch(description: string): Field<boolean> {
  return {
    ...none,
    ...extras({}),
    schema: z.boolean({ error: "expected true or false" }),
    fallback: false,
    description,
    parse: (given) => given,
  };
}

/** A switch that is on until `--no-…` is given. */
export function offSwitch(description: string): Field<boolean> {
  return { ...onSwitch(description), fallback: true };
}

/** `camelCase` to `--kebab-case`. */
export const flagOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Adds the flags of a table to a command. */
export function addFields(command: Command, fields: Fields): Command {
  for (const [name, field] of Object.entries(fields)) {
    const description = help(field);
    const { placeholder, short, aliases, fallback } = field;
    const flag = placeholder === null && fallback === true ? `--no-${flagOf(name)}` : `--${flagOf(name)}`;
    command.addOption(
      option(`${short === null ? "" : `${short}, `}${flag}${placeholder === null ? "" : ` ${placeholder}`}`, description, field),
    );
    for (const alias of aliases) command.addOption(option(`--${alias} ${placeholder}`, description, field).hideHelp());
  }
  return command;
}

function option(flags: string, description: string, field: Field<unknown>): Option {
  const made = new Option(flags, description);
  if (field.placeholder === null) return made;
  if (field.choices !== null) return made.choices(field.choices);
  return made.argParser((given: string, before: unknown) => {
    const value = field.parse(given);
    const whole = field.list ? [...(Array.isArray(before) ? before : []), value] : value;
    const result = field.schema.safeParse(whole);
    // A list that is still too short grows with the next text; the whole of it is checked again later.
    if (!result.success && !(field.list && result.error.issues.every(({ path }) => path.length === 0)))
      throw new InvalidArgumentError(`${result.error.issues[0].message}.`);
    return whole;
  });
}

function help({ description, fallback }: Field<unknown>): string {
  const shown = fallback === undefined || typeof fallback === "boolean" || fallback === "" ? "" : ` (default: ${String(fallback)})`;
  return `${description}${shown}`;
}

/** What the command line itself says, by the fields' names. */
export function typedValues(command: Command, fields: Fields): Record<string, unknown> {
  const given = command.opts<Record<string, unknown>>();
  const typed: Record<string, unknown> = {};
  for (const [name, { aliases }] of Object.entries(fields)) {
    for (const key of [name, ...aliases.map(camelCase)]) if (command.getOptionValueSource(key) === "cli") typed[name] = given[key];
  }
  return typed;
}

/** `batch_size`, `batch-size` and `batchSize` are one name. */
export const camelCase = (name: string): string => name.replace(/[-_]+([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());

export const fallbacks = <F extends Fields>(fields: F): ValuesOf<F> =>
  Object.fromEntries(Object.entries(fields).map(([name, { fallback }]) => [name, fallback])) as ValuesOf<F>;

/** Values of which each is checked once more, lists as wholes. Throws OpError. */
export function checkedValues<F extends Fields>(values: Readonly<Record<string, unknown>>, fields: F): ValuesOf<F> {
  const checked: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) {
    const result = field.schema.safeParse(values[name]);
    if (!result.success)
      throw new OpError("options", `--${flagOf(name)} is ${JSON.stringify(values[name])}; ${result.error.issues[0].message}`);
    checked[name] = result.data;
  }
  return checked as ValuesOf<F>;
}

/** The schema of a config file: any of the fields, and nothing else. */
export const configSchema = (fields: Fields) =>
  z.strictObject(Object.fromEntries(Object.entries(fields).map(([name, { schema }]) => [name, schema.optional()])));

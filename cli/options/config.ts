/** Config files: JSON, or the flat YAML that timm writes as `args.yaml`. Checked like the flags they stand for. */
import { readFileSync } from "node:fs";
import { OpError } from "../../engine/errors.js";
import { nearest } from "../../models/state.js";
import { camelCase, configSchema, type Fields, flagOf } from "./field.js";

/** Reads a file; names are those of the flags, with `_`, `-` or capitals. Throws OpError that names the file and the entry. */
export function readConfig(path: string, fields: Fields): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new OpError("config", `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  return checkConfig(text.trimStart().startsWith("{") ? parseJson(text, path) : parseFlatYaml(text, path), fields, path);
}

/** The entries under the fields' names, each checked. Entries that are null say nothing. */
export function checkConfig(entries: Readonly<Record<string, unknown>>, fields: Fields, path: string): Record<string, unknown> {
  const aliases = new Map(
    Object.entries(fields).flatMap(([name, field]) => field.aliases.map((alias) => [camelCase(alias), name] as const)),
  );
  const given = Object.entries(entries).filter(([, value]) => value !== null);
  const named = Object.fromEntries(given.map(([name, value]) => [aliases.get(camelCase(name)) ?? camelCase(name), value]));
  const result = configSchema(fields).safeParse(named);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(key, fields)).join("; ");
    return `${flagOf(String(issue.path[0]))}: ${issue.message}; it is ${JSON.stringify(named[String(issue.path[0])])}`;
  });
  throw new OpError("config", `${path}: ${problems.join("; ")}`);
}

function unknownKey(key: string, fields: Fields): string {
  const near = nearest(key, Object.keys(fields), 1).map(flagOf);
  return `there is no option ${flagOf(key)}${near.length > 0 ? ` (did you mean ${near[0]}?)` : ""}`;
}

function parseJson(text: string, path: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new OpError("config", `${path} is no JSON: ${(error as Error).message}`, { cause: error });
  }
}

/** `name: value` in each line, values as in JSON or bare words, lists in brackets or as lines with a hyphen. */
export function parseFlatYaml(text: string, path: string): Record<string, unknown> {
  const entries: Record<string, unknown> = {};
  let list: unknown[] | null = null;
  text.split(/\r?\n/).forEach((line, i) => {
    const content = line.replace(/(^|\s)#.*$/, "").trimEnd();
    if (content.trim() === "" || content === "---") return;
    const item = /^\s*-\s+(.*)$/.exec(content);
    if (item !== null && list !== null) {
      list.push(scalar(item[1]));
      return;
    }
    const found = /^([A-Za-z][\w-]*)\s*:(?:\s+(.*))?$/.exec(content);
    if (found === null) throw new OpError("config", `${path}, line ${i + 1}: expected "name: value" or "- value"; got ${content.trim()}`);
    list = found[2] === undefined ? [] : null;
    entries[found[1]] = found[2] === undefined ? list : scalar(found[2]);
  });
  // A name with nothing after it is null, as in YAML.
  return Object.fromEntries(
    Object.entries(entries).map(([name, value]) => [name, Array.isArray(value) && value.length === 0 ? null : value]),
  );
}

function scalar(given: string): unknown {
  const text = given.trim();
  if (text.startsWith("[") && text.endsWith("]")) {
    const inside = text.slice(1, -1).trim();
    return inside === "" ? [] : inside.split(",").map(scalar);
  }
  if (/^'.*'$/.test(text)) return text.slice(1, -1).replaceAll("''", "'");
  if (/^".*"$/.test(text)) return JSON.parse(text) as string;
  if (/^(null|~)?$/.test(text)) return null;
  if (/^(true|false)$/i.test(text)) return text.toLowerCase() === "true";
  const value = Number(text);
  return Number.isNaN(value) ? text : value;
}

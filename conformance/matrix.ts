/**
 * `npm run docs:operators`: writes docs/operators.md from the table of operations, the list of compositions, and the results of
 * conformance runs. Those are kept in docs/operators.json, so that the page can be written, and checked to be up to date, where the
 * reference cases are not at hand. `npm run docs:operators -- DIR cpu wasm webgpu:software` runs the cases of DIR on devices and keeps the
 * new results.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as functional from "../engine/functional/index.js";
import { nonDifferentiable, type OpRecord, opTable, throughSlow } from "../engine/ops/record.js";
import { camelCase } from "./calls.js";
import { compositions, exempt } from "./compositions.js";
import { showError } from "./report.js";
import { signatures } from "./signatures.js";

/** What a device made of the cases of one PyTorch function. */
export interface OperatorResult {
  /** Cases that passed, and all; a call refused with a documented reason has passed neither. */
  readonly passed: number;
  readonly total: number;
  /** How many of those that passed compare gradients too. */
  readonly gradients: number;
  /** Wrong calls that were refused, and all. */
  readonly refused: number;
  readonly wrong: number;
  /** The largest error, in units of what is allowed. */
  readonly worst: number;
}
/** Device → PyTorch's name → result. */
export type Results = Readonly<Record<string, Readonly<Record<string, OperatorResult>>>>;

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
export const pagePath = join(root, "docs", "operators.md");
export const resultsPath = join(root, "docs", "operators.json");

export const readResults = (): Results => (existsSync(resultsPath) ? (JSON.parse(readFileSync(resultsPath, "utf8")) as Results) : {});

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] => [
  row(head),
  row(head.map(() => "---")),
  ...rows.map(row),
];
const escaped = (text: string): string => text.replaceAll("|", "\\|");

const ourName = (op: string): string => signatures.get(op)?.as ?? camelCase(op);

/** How the second derivative of a public function is checked. */
function second(name: string): string {
  if (name in compositions) return "checked";
  const reason = Object.entries(exempt).find(([, names]) => names.includes(name))?.[0];
  if (reason === undefined) return name in functional ? "checked" : "·";
  return reason.startsWith("one record") ? "checked" : reason === "no gradient" ? "–" : "by its parts";
}

function comparison(device: string, results: Readonly<Record<string, OperatorResult>>): string[] {
  const lines = Object.entries(results).map(([op, { passed, total, gradients, refused, wrong, worst }]) => [
    `\`${op}\``,
    `\`${ourName(op)}\``,
    total === 0 ? "·" : `${passed}/${total}`,
    gradients === 0 ? "·" : gradients,
    second(ourName(op)),
    wrong === 0 ? "·" : `${refused}/${wrong}`,
    total === 0 ? "·" : showError(worst),
  ]);
  return [`### ${device}`, "", ...table(["PyTorch", "Crabro", "forward", "backward", "second", "refused", "worst"], lines), ""];
}

function gradientOf({ grad, samples }: OpRecord): string {
  if (grad === nonDifferentiable) return "–";
  if (grad === throughSlow) return "of its slow definition";
  return samples.length > 0 ? "rule, both derivatives checked" : "rule";
}

/** The whole page. */
export function page(results: Results): string {
  const byName = [...opTable.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const records = byName.map((record) => [
    `\`${record.name}\``,
    escaped(record.doc),
    escaped(record.reference),
    record.lower.kind,
    gradientOf(record),
  ]);
  const compared = new Set(Object.values(results).flatMap((found) => Object.keys(found).map(ourName)));
  const others = Object.keys(functional)
    .filter((name) => !compared.has(name))
    .sort();
  return [
    "# Operators",
    "",
    "Written by `npm run docs:operators`; do not edit.",
    "",
    "## Compared with PyTorch",
    "",
    "A line a function of PyTorch 1.13 or torchvision 0.14: cases of which all values agree (*forward*), those of them that compare gradients",
    "(*backward*), how the *second* derivative is known to be right (`checked`: against differences in float64; `by its parts`: it is made of",
    "operations that are; `–`: there is none), wrong calls that are *refused* (of those that only PyTorch has to refuse, `maximum` with a number and",
    "`groupNorm` of one value give the result that semantics.md states instead), and the *worst* error in units of what is allowed.",
    "",
    "What is allowed is the same for every operation on every device, and stands in the reference data: eight times the error of PyTorch's own",
    "float32 result against float64, and no less than about 10⁻⁶, the resolution of float32. No operation needs more on any device, functions of",
    "reals included, and no device refuses a call that makes sense. The webgpu column was measured on the software adapter that the tests use.",
    "What is decided at ties, kinks and other edges: [semantics.md](semantics.md).",
    "",
    ...Object.entries(results).flatMap(([device, found]) => comparison(device, found)),
    "## Further functions",
    "",
    ...table(
      ["Crabro", "second"],
      others.map((name) => [`\`${name}\``, second(name)]),
    ),
    "",
    "## Records",
    "",
    "What everything is made of. *Lowering* is the kind that the scheduler sees ([record.ts](../engine/ops/record.ts)).",
    "",
    ...table(["name", "what", "reference", "lowering", "gradient"], records),
    "",
  ].join("\n");
}

async function measure(folderPath: string, device: string): Promise<Record<string, OperatorResult>> {
  const { openFolder } = await import("./disk.js");
  const { runFolder } = await import("./supervise.js");
  const index = openFolder(folderPath).index as { readonly cases: readonly { readonly id: string; readonly grads: readonly unknown[] }[] };
  const differentiated = new Set(index.cases.filter(({ grads }) => grads.length > 0).map(({ id }) => id));
  const found: Record<string, OperatorResult> = {};
  for (const { id, op, family, status, error } of (await runFolder({ folder: folderPath, device })).results) {
    const before = found[op] ?? { passed: 0, total: 0, gradients: 0, refused: 0, wrong: 0, worst: 0 };
    const passed = Number(status === "passed");
    found[op] =
      family === "errors"
        ? { ...before, wrong: before.wrong + 1, refused: before.refused + passed }
        : {
            ...before,
            passed: before.passed + passed,
            total: before.total + 1,
            gradients: before.gradients + (differentiated.has(id) ? passed : 0),
            worst: passed === 0 ? before.worst : Math.max(before.worst, Number(error.toPrecision(2))),
          };
  }
  return found;
}

async function main([folder, ...devices]: readonly string[]): Promise<void> {
  let results = readResults();
  // Importing the package's entry registers the devices, and defines every operation.
  await import("../index.js");
  if (folder !== undefined) {
    for (const device of devices.length === 0 ? ["cpu"] : devices) {
      // By whichever adapter: "webgpu:software" stands under "webgpu".
      results = { ...results, [device.replace(/:.*/, "")]: await measure(folder, device) };
    }
    writeFileSync(resultsPath, `${JSON.stringify(results, null, 2)}\n`);
  }
  writeFileSync(pagePath, page(results));
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));

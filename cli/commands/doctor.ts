/** `crabro doctor`: every backend checks itself against the reference. */
import { Command } from "commander";
import { type CaseResult, checkBackend, lacking } from "../../backends/conformance.js";
import { requiredDevices } from "../../conformance/required.js";
import { training } from "../../conformance/training.js";
import { backendNames, type Device, device } from "../../index.js";
import { HorNet } from "../../models/index.js";
import { writeAtomically } from "../../train/checkpoint.js";
import { regex } from "./flags.js";

const examples = `
Examples:
  crabro doctor                     every backend that opens here
  crabro doctor webgpu              a GPU; exit status 1 where there is none
  crabro doctor --all               the modes of gpu.js too, as a table
  crabro doctor webgpu:software     WebGPU on a software driver, from the development dependency @sparticuz/chromium
`;

/** `setStatus` hears of the exit status. */
export function doctorCommand(setStatus: (status: number) => void): Command {
  return new Command("doctor")
    .description("check every backend against the reference: kernels by the interpreter, a short training by cpu")
    .argument("[devices...]", "which (default: all that open)")
    .option("--all", "the modes of gpu.js too: what opens here", false)
    .option("--filter <regex>", "only checks whose name matches", regex, /(?:)/)
    .option("--json <file>", "also write the results to a file")
    .addHelpText(
      "after",
      `${examples}\nExit status: 0 all that was checked passed, 1 something failed, or a device that was named does not open.`,
    )
    .action(async (named: string[], { filter, json, all }: { filter: RegExp; json?: string; all: boolean }) => {
      const diagnoses: Diagnosis[] = [];
      const progress = (text: string): void => {
        if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`);
      };
      for (const name of named.length > 0 ? named : namesToCheck(all)) {
        const diagnosis = await diagnose(name, named.length > 0, filter, progress);
        progress("");
        diagnoses.push(diagnosis);
        process.stdout.write(`${show(diagnosis)}\n`);
      }
      if (diagnoses.length > 1) process.stdout.write(`\n${matrix(diagnoses)}\n`);
      if (json !== undefined) writeAtomically(json, new TextEncoder().encode(`${JSON.stringify(diagnoses, null, 1)}\n`));
      setStatus(diagnoses.some(({ verdict }) => verdict === "FAIL") ? 1 : 0);
    });
}

/** Software adapters are for those who name them, and so are the modes of a backend, unless all are asked for. */
const namesToCheck = (all: boolean): string[] =>
  backendNames().filter((name) => name !== "auto" && !(all ? name.endsWith(":software") || name === "gpujs" : name.includes(":")));

interface Diagnosis {
  readonly device: string;
  readonly verdict: "PASS" | "FAIL" | "not here";
  /** How the device describes itself, or why it does not open. */
  readonly description: string;
  readonly passed: number;
  readonly failures: readonly string[];
  /** What the device does not offer, by design. */
  readonly declined: readonly string[];
  readonly seconds: number;
}

async function diagnose(name: string, isNamed: boolean, filter: RegExp, progress: (text: string) => void): Promise<Diagnosis> {
  const start = performance.now();
  let opened: Device;
  try {
    opened = await device(name, { verify: true });
  } catch (error) {
    const description = (error as Error).message.replaceAll("\n", " ");
    return { device: name, verdict: isNamed ? "FAIL" : "not here", description, passed: 0, failures: [], declined: [], seconds: 0 };
  }
  const description = opened.describe();
  const failures: string[] = [];
  const declined: string[] = [];
  let passed = 0;
  const add = ({ name: test, outcome, detail }: CaseResult): void => {
    progress(`${name}: ${passed + failures.length} checks, ${test}`);
    if (outcome === "skipped" || detail.includes(" refuses the template: ")) declined.push(`${test}: ${detail}`);
    else if (outcome === "failed") failures.push(`${test}: ${detail}`);
    else passed++;
  };
  try {
    const skip = lacking(opened.backend);
    await checkBackend({ name, create: async () => (await device(name)).backend, skip, select: (test) => filter.test(test) }, add);
    if (filter.test(trainingCheck)) add(await checkTraining(opened));
  } finally {
    await opened.close();
  }
  const verdict = failures.length === 0 ? "PASS" : "FAIL";
  return { device: name, verdict, description, passed, failures, declined, seconds: (performance.now() - start) / 1000 };
}

const trainingCheck = "three steps of training agree with cpu";

/** Losses of a small network with every kind of layer, against those of cpu. */
async function checkTraining(on: Device): Promise<CaseResult> {
  const name = trainingCheck;
  const block = (order: number) => ({ order, s: 1 / 3, dwconv: "7x7" }) as const;
  const build = (): HorNet => new HorNet({ inChans: 1, numClasses: 10, depths: [1, 1, 0, 0], baseDim: 8, gnconv: [2, 3, 3, 3].map(block) });
  const losses = async (where: Device): Promise<number[]> =>
    (await training(where, { steps: 3, warmupSteps: 2, batchSize: 2, build })).map(({ loss }) => loss);
  try {
    const cpu = await device("cpu");
    const [got, want] = [await losses(on), await losses(cpu)];
    await cpu.close();
    const isFar = got.some((loss, i) => !(Math.abs(loss - want[i]) <= 1e-3));
    return { name, outcome: isFar ? "failed" : "passed", detail: isFar ? `losses ${got.join(", ")}, expected ${want.join(", ")}` : "" };
  } catch (error) {
    return { name, outcome: "failed", detail: (error as Error).message };
  }
}

/** A line a device: what became of it, and whether continuous integration asks for it in Node and in a page. */
function matrix(diagnoses: readonly Diagnosis[]): string {
  const asked = (where: keyof typeof requiredDevices, name: string): string =>
    (requiredDevices[where] as readonly string[]).includes(name.replace(":software", "")) ? "required" : "";
  const rows = [
    ["device", "verdict", "passed", "failed", "not offered", "in Node", "in a page"],
    ...diagnoses.map(({ device: name, verdict, passed, failures, declined }) => [
      ...[name, verdict, String(passed), String(failures.length), String(declined.length), asked("node", name), asked("page", name)],
    ]),
  ];
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function show({ device: name, verdict, description, passed, failures, declined, seconds }: Diagnosis): string {
  const line = (text: string): string => text.replaceAll("\n", " ").slice(0, 200);
  if (passed + failures.length === 0) return `${name.padEnd(16)} ${verdict}  ${description}`;
  const what =
    verdict === "PASS" ? `${passed} check${passed === 1 ? "" : "s"}` : `${failures.length} of ${passed + failures.length} checks failed`;
  const notes = declined.length > 0 ? `, ${declined.length} not offered` : "";
  return [
    `${name.padEnd(16)} ${verdict}  ${what}${notes}  ${seconds.toFixed(1)} s  ${description}`,
    ...failures.map((text) => `    ${line(text)}`),
  ].join("\n");
}

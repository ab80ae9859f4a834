/** `npm run horfpn`: what HorFPN gains over FPN and UPerNet's head, and at what cost. Makes docs/horfpn.md; goes on where it was. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { whole } from "../../cli/commands/flags.js";
import { main as crabro } from "../../cli/commands/program.js";
import { duration } from "../../cli/commands/report.js";
import { costOf, timeSteps } from "./cost.js";
import { chartName, chartOf, documentOf } from "./document.js";
import { addResult, readResults, runsOf } from "./results.js";
import { flagsOf, tasks, titleOf, trial, type Variant, variants } from "./variants.js";

interface Flags {
  readonly only?: readonly string[];
  readonly seeds: number;
  readonly threads: number;
  readonly data: string;
  readonly work: string;
  readonly docs: string;
  readonly backbone?: string;
  readonly time: boolean;
  readonly steps: number;
  readonly document: boolean;
  readonly trial: boolean;
}

const ownFlags =
  (flags: Flags) =>
  (variant: Variant): string[] =>
    flagsOf(variant, flags.trial ? trial : []);

/** A command of crabro's that did not end well: its status. */
class Ended extends Error {
  constructor(readonly status: number) {
    super(`ended with status ${status}`);
  }
}

const docs = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "docs");
const machine = (): string => `${cpus()[0]?.model ?? "unknown"}, Node ${process.version.slice(1)}`;
const today = (): string => new Date().toISOString().slice(0, 10);
const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function command(...argv: readonly string[]): Promise<void> {
  const status = await crabro(argv);
  if (status !== 0) throw new Ended(status);
}

/** Classification of digits as they stand in scenes. */
const backboneFlags = "--dataset textured-digits --input-size 64 --epochs 8".split(" ");

/** Data, and the weights of a backbone; both are made where they are not there. */
async function prepare({ data, work, backbone }: Flags): Promise<string> {
  if (!existsSync(join(data, "classes.txt"))) await command("data", "digits-scenes", "--to", data);
  if (backbone !== undefined) return backbone;
  const folder = join(work, "backbone");
  // A folder that holds a run goes on with it, or says that it is done.
  await command("train", ...backboneFlags, "--output", folder);
  return join(folder, "model_best.safetensors");
}

/** Makes a run, or goes on with it, and writes down what has come of it. */
async function makeRun(flags: Flags, variant: Variant, seed: number, backbone: string): Promise<void> {
  const folder = join(flags.work, variant.task, `${variant.name}-${seed}`);
  const own = ownFlags(flags)(variant);
  const clock = join(folder, "seconds.json");
  const before = existsSync(clock) ? (JSON.parse(readFileSync(clock, "utf8")) as number) : 0;
  const begin = performance.now();
  let seconds = 0;
  try {
    // A folder that holds a run goes on with it.
    const compute = ["--device", "wasm", "--threads", String(flags.threads), "--recovery-interval", "100"];
    await command("train", flags.data, ...own, "--seed", String(seed), "--backbone-checkpoint", backbone, ...compute, "--output", folder);
  } finally {
    seconds = before + (performance.now() - begin) / 1000;
    if (existsSync(folder)) writeFileSync(clock, JSON.stringify(seconds));
  }
  const log = readFileSync(join(folder, "log.txt"), "utf8").trimEnd().split("\n");
  addResult(resultsOf(flags), {
    kind: "run",
    ...variant,
    seed,
    flags: own,
    epochs: log.map((text) => JSON.parse(text) as Record<string, number>),
    seconds: Math.round(seconds),
    threads: flags.threads,
    load: loadavg()[0],
    machine: machine(),
    date: today(),
  });
}

async function makeTimes(flags: Flags, list: readonly Variant[]): Promise<void> {
  const [load] = loadavg();
  let turns = 0;
  const all = list.length + flags.steps;
  const onTurn = (): void => {
    turns++;
    if (process.stdout.isTTY) process.stdout.write(`\r\u001b[2K${turns} of ${all}: ${turns <= list.length ? "building" : "measuring"}`);
  };
  const found = await timeSteps(list, { data: flags.data, steps: flags.steps, threads: flags.threads, onTurn });
  if (process.stdout.isTTY) process.stdout.write("\n");
  for (const variant of list) {
    const milliseconds = found.get(titleOf(variant)) ?? [];
    const { threads } = flags;
    addResult(resultsOf(flags), {
      kind: "time",
      ...variant,
      flags: ownFlags(flags)(variant),
      milliseconds,
      threads,
      load,
      machine: machine(),
      date: today(),
    });
  }
}

const resultsOf = ({ docs: folder }: Flags): string => join(folder, "horfpn.jsonl");

function writeDocument(flags: Flags): void {
  appendFileSync(resultsOf(flags), "");
  const content = {
    results: readResults(resultsOf(flags)),
    costs: new Map(variants.map((variant) => [titleOf(variant), costOf(variant)])),
    seeds: flags.seeds,
    flags: ownFlags(flags),
  };
  writeFileSync(join(flags.docs, "horfpn.md"), documentOf(content));
  for (const task of tasks) {
    const made = content.results.some((result) => result.kind === "run" && result.task === task);
    if (made) writeFileSync(join(flags.docs, chartName(task)), chartOf(task, content));
  }
  say(`wrote ${join(flags.docs, "horfpn.md")}`);
}

/** `detect`, `detect/fpn` or `fpn`: what is meant; all without names. */
function chosen(names: readonly string[] | undefined): readonly Variant[] {
  if (names === undefined) return variants;
  return names.flatMap((name) => {
    const meant = variants.filter((variant) => [variant.task, variant.name, titleOf(variant)].includes(name));
    if (meant.length === 0) throw new InvalidArgumentError(`there is no ${name}; there are ${variants.map(titleOf).join(", ")}`);
    return meant;
  });
}

async function makeRuns(flags: Flags): Promise<void> {
  const backbone = await prepare(flags);
  // Seed by seed, so that there is something to compare early.
  const wanted = Array.from({ length: flags.seeds }, (_, seed) => chosen(flags.only).map((variant) => ({ variant, seed }))).flat();
  const start = performance.now();
  let made = 0;
  for (const [i, { variant, seed }] of wanted.entries()) {
    const name = `${titleOf(variant)}, seed ${seed}`;
    if (runsOf(readResults(resultsOf(flags)), variant, ownFlags(flags)(variant)).some((run) => run.seed === seed)) {
      say(`[${i + 1}/${wanted.length}] ${name}: there already`);
      continue;
    }
    const each = made === 0 ? null : (performance.now() - start) / 1000 / made;
    say(`[${i + 1}/${wanted.length}] ${name}${each === null ? "" : `, ${duration(each * (wanted.length - i))} left`}`);
    await makeRun(flags, variant, seed, backbone);
    made++;
    writeDocument(flags);
  }
}

const program = new Command("horfpn")
  .description("Compares HorFPN with FPN and with UPerNet's head, and writes docs/horfpn.md. Goes on where it was stopped.")
  .option("--only <names...>", `of ${variants.map(titleOf).join(", ")}`)
  .option("--seeds <n>", "runs of each", whole(1), 3)
  .option("--threads <n>", "threads that compute; results do not depend on them", whole(1), availableParallelism())
  .option("--data <folder>", "composed digits; made where they are not there", join("data", "digits-scenes"))
  .option("--work <folder>", "where runs go", join("runs", "horfpn"))
  .option("--docs <folder>", "where the page and the raw results go", docs)
  .option("--backbone <file>", "weights of a classifier (default: those of a run that is made first)")
  .option("--time", "measure steps of all variants in turn instead; the machine should have nothing else to do", false)
  .option("--steps <n>", "steps of each variant to measure", whole(1), 20)
  .option("--document", "write the page from the results that are there", false)
  .option("--trial", "a few steps of each, which count for nothing else: to see that everything works", false)
  .action(async (flags: Flags) => {
    mkdirSync(flags.work, { recursive: true });
    mkdirSync(flags.docs, { recursive: true });
    if (flags.time) {
      await prepare(flags);
      await makeTimes(flags, chosen(flags.only));
    } else if (!flags.document) await makeRuns(flags);
    writeDocument(flags);
  });

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof InvalidArgumentError || error instanceof Ended)) throw error;
  if (error instanceof InvalidArgumentError) console.error(`horfpn: ${error.message}`);
  process.exitCode = error instanceof Ended ? error.status : 2;
}

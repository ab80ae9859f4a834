/** docs/horfpn.md and its charts, from whatever results there are. */
import { lineChart } from "../../train/report/svg.js";
import type { Cost } from "./cost.js";
import { median, type Result, type RunResult, runsOf, type Spread, spreadOf, timeOf } from "./results.js";
import { measuresOf, type TaskName, tasks, titleOf, type Variant, variants } from "./variants.js";

export interface Content {
  readonly results: readonly Result[];
  readonly costs: ReadonlyMap<string, Cost>;
  /** Runs wanted of each variant. */
  readonly seeds: number;
  /** Flags of the runs that count. */
  readonly flags: (variant: Variant) => readonly string[];
}

interface Row {
  readonly variant: Variant;
  readonly runs: readonly RunResult[];
  readonly cost: Cost;
  readonly milliseconds: readonly number[] | null;
  readonly threads: number | null;
}

const last = (run: RunResult, key: string): number => run.epochs.at(-1)?.[`test_${key}`] ?? Number.NaN;

function rowsOf(task: TaskName, { results, costs, flags }: Content): Row[] {
  return variants
    .filter((variant) => variant.task === task)
    .map((variant) => {
      const time = timeOf(results, variant, flags(variant));
      return {
        variant,
        runs: runsOf(results, variant, flags(variant)),
        cost: costs.get(titleOf(variant)) as Cost,
        milliseconds: time?.milliseconds ?? null,
        threads: time?.threads ?? null,
      };
    });
}

const shown = ({ mean, deviation }: Spread): string => `${mean.toFixed(2)}${deviation === null ? "" : ` ± ${deviation.toFixed(2)}`}`;

const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

function table(task: TaskName, rows: readonly Row[]): string[] {
  const measures = measuresOf[task];
  const head = ["", "runs", ...measures.map(([, title]) => title), "parameters", "multiply-adds", "ms a step"];
  return [
    line(head),
    line(head.map((_, i) => (i === 0 ? "---" : "--:"))),
    ...rows.map(({ variant, runs, cost, milliseconds }) =>
      line([
        `\`${variant.name}\``,
        String(runs.length),
        ...measures.map(([key]) => (runs.length === 0 ? "–" : shown(spreadOf(runs.map((run) => last(run, key)))))),
        cost.parameters.toLocaleString("en-US"),
        `${(cost.multiplyAdds / 1e6).toFixed(0)} M`,
        milliseconds === null ? "–" : median(milliseconds).toFixed(0),
      ]),
    ),
  ];
}

/** What the variants have over the plain one, over the seeds that both have. */
function gains(task: TaskName, rows: readonly Row[]): string[] {
  const [plain, ...others] = rows;
  return others.flatMap(({ variant, runs, milliseconds }) => {
    const pairs = runs.flatMap((run) => {
      const other = plain.runs.find(({ seed }) => seed === run.seed);
      return other === undefined ? [] : [[run, other] as const];
    });
    if (pairs.length === 0) return [];
    const differences = measuresOf[task].map(([key, title]) => {
      const { mean, deviation } = spreadOf(pairs.map(([run, other]) => last(run, key) - last(other, key)));
      return `${title} ${mean >= 0 ? "+" : "−"}${Math.abs(mean).toFixed(2)}${deviation === null ? "" : ` (± ${deviation.toFixed(2)})`}`;
    });
    const ratio =
      milliseconds === null || plain.milliseconds === null
        ? "what it costs in time is not measured yet"
        : `a step takes ${(median(milliseconds) / median(plain.milliseconds)).toFixed(2)} times as long`;
    const seeds = pairs.length === 1 ? "one seed" : `${pairs.length} seeds`;
    return [`- \`${variant.name}\` against \`${plain.variant.name}\`, over ${seeds}: ${differences.join(", ")}; ${ratio}.`];
  });
}

/** What is not there yet. */
function missing(rows: readonly Row[], seeds: number): string[] {
  const few = rows
    .filter(({ runs }) => runs.length < seeds)
    .map(({ variant, runs }) => `\`${variant.name}\` has ${runs.length} of ${seeds}`);
  const untimed = rows.filter(({ milliseconds }) => milliseconds === null).map(({ variant }) => `\`${variant.name}\``);
  return [
    ...(few.length === 0 ? [] : [`**Not complete:** of the runs, ${few.join(", ")}. A mean of fewer than ${seeds} says little.`]),
    ...(untimed.length === 0 ? [] : [`**Not measured yet:** the time of a step of ${untimed.join(", ")} (\`npm run horfpn -- --time\`).`]),
  ];
}

const titles: Readonly<Record<TaskName, string>> = {
  detect: "Detection: Mask R-CNN with FPN, HorFPN 7×7 and HorFPN GF",
  segment: "Segmentation: UPerNet, and its head with HorFPN 7×7 and GF",
};

export const chartName = (task: TaskName): string => `horfpn-${task}.svg`;

export function documentOf(content: Content): string {
  const { results, seeds, flags } = content;
  const parts = tasks.flatMap((task) => {
    const rows = rowsOf(task, content);
    const runs = rows.flatMap((row) => row.runs);
    const machines = [...new Set(runs.map(({ machine, threads }) => `${machine}, ${threads === 1 ? "one thread" : `${threads} threads`}`))];
    return [
      `## ${titles[task]}`,
      "",
      `\`crabro train SCENES ${flags(variants.find((variant) => variant.task === task) as Variant).join(" ")}\``,
      "",
      ...table(task, rows),
      "",
      ...missing(rows, seeds).flatMap((text) => [text, ""]),
      ...(runs.length === 0
        ? []
        : [...gains(task, rows), "", `![${titles[task]}](${chartName(task)})`, "", `Runs on: ${machines.join("; ")}.`, ""]),
    ];
  });
  const times = results.filter(({ kind }) => kind === "time");
  return `${[
    "# HorFPN against FPN",
    "",
    "Made by `npm run horfpn` from [the raw results](horfpn.jsonl); not written by hand. The command makes what is missing, run by run; stop it",
    "with Ctrl-C, and it goes on where it was. `--only detect/fpn` makes some of the runs, `--time` measures steps, `--document` writes this page",
    "from what is there.",
    "",
    "Data: `crabro data digits-scenes` (2,000 and 500 pictures of 128 × 128 with one to three digits, none within another). Backbone: `hornet_micro_7x7`, begun with the",
    "weights of one classification run on digits, the same for all. A run is short, within seven minutes on two cores, so networks are not",
    "trained to their end: this compares how far each gets in as many steps. Measures are per cent of the 500 pictures after the last epoch,",
    "mean ± deviation over seeds. Multiply-adds are those of convolutions and products for one picture in use (in detection up to the proposal",
    "network; the heads after it are the same for all); Fourier transforms are not counted.",
    "",
    ...parts,
    ...(times.length === 0 ? [] : [timing(times)]),
  ]
    .join("\n")
    .trimEnd()}\n`;
}

function timing(times: readonly Result[]): string {
  const { machine, threads, load } = times.at(-1) as Result;
  return `Milliseconds are medians over steps that all variants took in turn, in one process, on ${machine}, ${threads} threads (load ${load.toFixed(2)} when it began).`;
}

/** The first measure of a task after each epoch, a line a variant: the mean over its runs. */
export function chartOf(task: TaskName, content: Content): string {
  const [[key, title]] = measuresOf[task];
  const series = rowsOf(task, content)
    .filter(({ runs }) => runs.length > 0)
    .map(({ variant, runs }) => ({
      name: variant.name,
      x: runs[0].epochs.map((_, i) => i + 1),
      y: runs[0].epochs.map((_, i) => spreadOf(runs.map(({ epochs }) => epochs[i][`test_${key}`])).mean),
    }));
  const drawn = lineChart({ title: `${title}, %`, xLabel: "epochs", series });
  return `${drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ').replace(/(<svg[^>]*>)/, `$1<style>${style}</style><rect width="100%" height="100%" fill="#fff"/>`)}\n`;
}

const style = [
  "text{font:11px sans-serif;fill:#555}.title{font-size:13px;font-weight:600;fill:#222}.grid{stroke:#ddd}.line{fill:none;stroke-width:1.6}",
  "path.s0{stroke:#0072b2}path.s1{stroke:#d55e00}path.s2{stroke:#009e73}.s0{fill:#0072b2}.s1{fill:#d55e00}.s2{fill:#009e73}path.line{fill:none}",
].join("");

/** Our devices side by side: the same work on all, whether the results agree, and what each launches, moves and computes in a second. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { OpError } from "../engine/errors.js";
import { chart, type Measure } from "./chart.js";
import { type Cell, Comparison, type Pace, type Row } from "./compare.js";
import { type Entrant, entrant, isSoftware } from "./players.js";
import { invalid, machine, type Report, showNotes, table } from "./report.js";
import { type Task, tasksOf } from "./workloads.js";

export interface SideBySide {
  readonly devices: readonly string[];
  /** Its results are what the others' are held against; it takes part whether or not it is among the devices. */
  readonly reference: string;
  readonly tasks: readonly Task[];
  readonly threads: number;
  readonly pace: Pace;
  /** Folder for `devices.json` and `devices.svg`. */
  readonly out: string;
}

/** Measures, prints and writes. Whether all results agree. Throws where a device does not open. */
export async function sideBySide(options: SideBySide, progress: (text: string) => void): Promise<boolean> {
  const { devices, reference, tasks, threads, pace, out } = options;
  const ids = devices.includes(reference) ? devices : [reference, ...devices];
  const entrants = ids.map((id) => entrant(id, { threads, software: isSoftware(id), python: null }) as Entrant);
  const comparison = new Comparison(entrants, pace, progress, reference);
  const rows: Row[] = [];
  try {
    await comparison.open().catch((error: Error) => {
      throw new OpError("bench", error.message);
    });
    for (const task of tasks) rows.push(await comparison.row(task));
  } finally {
    comparison.close();
  }
  progress("");
  const report: Report = {
    machine: machine(),
    size: tasks.every((task) => tasksOf("small").some((small) => small.workload === task.workload)) ? "small" : "full",
    threads,
    contestants: Object.fromEntries(comparison.descriptions),
    ours: ids,
    absent: {},
    roofline: null,
    rows,
    verdicts: [],
    leftOut: [],
  };
  console.log(showDevices(report, reference));
  await mkdir(out, { recursive: true });
  await writeFile(join(out, "devices.json"), `${JSON.stringify(report, null, 1)}\n`);
  await writeFile(join(out, "devices.svg"), charts(report));
  console.log(`\n${join(out, "devices.json")}, ${join(out, "devices.svg")}`);
  const wrong = invalid(rows).length;
  if (wrong > 0) console.error(`bench: in ${wrong} of ${rows.length} rows a device computes other numbers than ${reference}`);
  return wrong === 0 && rows.every((row) => row.cells.every(({ status }) => status === "ok"));
}

const rate = (amount: number, { ms }: Cell): number | null => (ms === null || amount === 0 ? null : amount / ms / 1e6);
/** By the kernels' own account, which differs between devices: fewer fused or tiled kernels read more. */
const gigaflops = (cell: Cell): number | null => rate(cell.work?.flops ?? 0, cell);
const gigabytes = (cell: Cell): number | null => rate(cell.work?.bytes ?? 0, cell);

const short = (value: number | null, digits = 3): string =>
  value === null ? "–" : value >= 1000 ? value.toFixed(0) : value.toPrecision(digits);

/** A line a device for each row of work: the first names the work. */
export function showDevices({ rows, contestants, machine: host, size, ...report }: Report, reference: string): string {
  const head = ["", "device", "ms", "×", "runs/s", "GFLOP/s", "MB", "GB/s", "launches", "error"];
  const lines = rows.flatMap((row) => {
    const own = row.cells.find(({ id }) => id === reference)?.ms ?? null;
    return row.cells.map((cell, i): string[] => {
      const { id, ms, work, error, status } = cell;
      const times = own === null || ms === null ? null : own / ms;
      return [
        i === 0 ? `${row.workload} ${row.direction}` : "",
        id,
        short(ms),
        short(times),
        short(ms === null ? null : 1000 / ms),
        short(gigaflops(cell)),
        short(work === null ? null : work.bytes / 1e6),
        short(gigabytes(cell)),
        work === null ? "–" : String(work.launches),
        status !== "ok" ? status.toUpperCase() : id === reference ? "reference" : error === null ? "–" : error.toExponential(1),
      ];
    });
  });
  const notes = showNotes({ rows, contestants, machine: host, size, ...report });
  return [
    `${host.processor}, ${host.cores} cores, Node ${host.node}, ${size} sizes`,
    ...Object.entries(contestants).map(([id, what]) => `${id}: ${what}`),
    "",
    table([head, ...lines]),
    ...(notes === "" ? [] : ["", notes]),
  ].join("\n");
}

const measures: readonly Measure[] = [
  { title: "Milliseconds", of: ({ ms }) => ms, unit: "ms" },
  { title: "Runs a second", of: ({ ms }) => (ms === null ? null : 1000 / ms), unit: "runs/s" },
  { title: "GFLOP/s", of: gigaflops, unit: "GFLOP/s" },
  { title: "Megabytes moved in a run", of: ({ work }) => (work === null ? null : work.bytes / 1e6), unit: "MB" },
  { title: "Launches in a run", of: ({ work }) => work?.launches ?? null, unit: "launches" },
  { title: "Error against the reference", of: ({ error }) => error, unit: "" },
];

/** All that is measured, one chart below the other. */
export function charts(report: Report): string {
  const parts = measures.map((measure) => chart(report, measure)).filter((part) => part !== "");
  let y = 0;
  const placed = parts.map((part) => {
    const height = Number(/ height="(\d+)"/.exec(part)?.[1]);
    const at = y;
    y += height;
    return part.replace("<svg ", `<svg y="${at}" `);
  });
  const width = Number(/ width="(\d+)"/.exec(parts[0] ?? "")?.[1] ?? 0);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}">\n${placed.join("")}</svg>\n`;
}

/** The figures of a run: as JSON, as a table, and the verdicts. */
import { cpus } from "node:os";
import type { Cell, Row } from "./compare.js";
import type { Roofline } from "./roofline.js";
import { shareOfLimit, type Verdict } from "./targets.js";

export interface Report {
  readonly machine: { readonly processor: string; readonly cores: number; readonly node: string; readonly platform: string };
  readonly size: string;
  readonly threads: number;
  /** What each contestant says of itself. */
  readonly contestants: Readonly<Record<string, string>>;
  readonly ours: readonly string[];
  /** Peers that do not start here, and why. */
  readonly absent: Readonly<Record<string, string>>;
  readonly roofline: Roofline | null;
  readonly rows: readonly Row[];
  readonly verdicts: readonly Verdict[];
  /** Tasks not begun when the time was up. */
  readonly leftOut: readonly string[];
}

export const machine = (): Report["machine"] => ({
  processor: cpus()[0]?.model.trim() ?? "unknown",
  cores: cpus().length,
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
});

const number = (x: number): string => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toPrecision(x >= 1 ? 3 : 2));

function showCell({ status, ms }: Cell): string {
  if (status === "none") return "–";
  if (status === "cut off") return "cut off";
  return `${ms === null ? "?" : number(ms)}${status === "invalid" ? " INVALID" : ""}`;
}

/** Columns as wide as they must be; the first is aligned to the left. */
export function table(lines: readonly (readonly string[])[]): string {
  const widths = lines.reduce<number[]>((found, line) => line.map((cell, i) => Math.max(found[i] ?? 0, cell.length)), []);
  return lines.map((line) => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ")).join("\n");
}

/** Milliseconds of everyone, how many times faster each of ours is than each peer, and its share of the machine's limit. */
export function showRows({ rows, ours, contestants, roofline }: Report): string {
  const ids = Object.keys(contestants);
  const others = ids.filter((id) => !ours.includes(id));
  const pairs = ours.flatMap((device) => others.map((peer) => [device, peer] as const));
  const head = ["ms", ...ids, ...pairs.map(([device, peer]) => (ours.length > 1 ? `${peer}/${device}` : `×${peer}`)), "of limit"];
  const lines = rows.map((row) => {
    const cell = (id: string): Cell | undefined => row.cells.find((each) => each.id === id);
    const ratios = pairs.map(([device, peer]) => {
      const [own, other] = [cell(device), cell(peer)];
      const comparable = own?.status === "ok" && other?.status === "ok" && own.ms !== null && other.ms !== null;
      return comparable ? number((other.ms as number) / (own.ms as number)) : "";
    });
    const first = cell(ours[0]);
    const share = roofline === null || first?.ms == null ? null : shareOfLimit(row, first.ms, roofline);
    const times = ids.map((id) => {
      const found = cell(id);
      return found === undefined ? "" : showCell(found);
    });
    return [`${row.workload} ${row.direction}`, ...times, ...ratios, share === null ? "" : `${(100 * share).toFixed(0)} %`];
  });
  return table([head, ...lines]);
}

export function showVerdicts(verdicts: readonly Verdict[]): string {
  const line = ({ workload, direction, device, against, wanted, found, holds }: Verdict): string[] => {
    const show = (x: number): string =>
      against === "limit" ? `${(100 * x).toFixed(0)} %` : against === "rate" ? `${number(x)} GF/s` : `${number(x)}×`;
    return [
      `${workload} ${direction}`,
      device,
      against === "rate" ? "rate" : `of ${against}`,
      show(found),
      `wanted ${show(wanted)}`,
      holds ? "holds" : "MISSED",
    ];
  };
  const worst = [...verdicts].sort((a, b) => a.found / a.wanted - b.found / b.wanted);
  const held = verdicts.filter((verdict) => verdict.holds).length;
  const missed = worst.filter((verdict) => !verdict.holds);
  return [`targets: ${held} of ${verdicts.length} hold`, ...(missed.length > 0 ? [table(missed.map(line))] : [])].join("\n");
}

/** Why cells are missing or wrong, one line each. */
export function showNotes({ rows, absent, leftOut }: Report): string {
  const notes = rows.flatMap((row) =>
    row.cells
      .filter((cell) => cell.status !== "ok")
      .map((cell) => `${cell.status === "invalid" ? "INVALID" : cell.status}  ${row.workload} ${row.direction}  ${cell.id}: ${cell.note}`),
  );
  return [
    ...Object.entries(absent).map(([id, why]) => `absent  ${id}: ${why}`),
    ...notes,
    ...(leftOut.length > 0 ? [`left out, as the time was up: ${leftOut.join(", ")}`] : []),
  ].join("\n");
}

export function showReport(report: Report): string {
  const { roofline, contestants, machine: host } = report;
  const limit =
    roofline === null
      ? []
      : [
          `limit of ${roofline.threads} threads in WebAssembly: ${number(roofline.gigaflops)} GFLOP/s (${roofline.relaxed ? "fused" : "not fused"}), ` +
            `${number(roofline.gigabytes)} GB/s read and written`,
        ];
  return [
    `${host.processor}, ${host.cores} cores, Node ${host.node}, ${report.size} sizes`,
    ...Object.entries(contestants).map(([id, what]) => `${id}: ${what}`),
    ...limit,
    "",
    showRows(report),
    "",
    showNotes(report),
    "",
    showVerdicts(report.verdicts),
  ]
    .join("\n")
    .replace(/\n{3,}/g, "\n\n");
}

/** Rows in which someone's numbers differ from ours. */
export const invalid = (rows: readonly Row[]): Row[] => rows.filter((row) => row.cells.some((cell) => cell.status === "invalid"));

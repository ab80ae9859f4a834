/** What `npm run gpu` found, as a table. What was not measured says so. */
import type { MemoryFigures } from "./kernels.js";
import type { AdapterRoofline } from "./roofline.js";

export interface Row {
  readonly part: "kernels" | "steps";
  readonly name: string;
  readonly milliseconds: number | null;
  readonly flopsPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  /** Least time by the adapter's roofline, of the time taken. */
  readonly share: number | null;
  readonly note?: string;
}

export interface Checks {
  readonly name: string;
  readonly passed: number;
  readonly failed: readonly string[];
  /** What the backend does not offer, by design. */
  readonly declined: number;
}

export interface TorchFigures {
  readonly device: string;
  readonly torch: string;
  /** Milliseconds by workload, without and with TF32. */
  readonly rows: Readonly<Record<string, { readonly fp32: number; readonly tf32: number }>>;
}

export interface Report {
  readonly device: string;
  readonly size: string;
  readonly node: string;
  readonly checks: readonly Checks[] | null;
  readonly roofline: AdapterRoofline | null;
  readonly rows: readonly Row[];
  readonly memory: MemoryFigures | null;
  /** Figures of PyTorch, or why there are none. */
  readonly torch: TorchFigures | string;
  readonly seconds: number;
}

const none = "not measured";
const giga = (value: number | null | undefined, unit: string): string =>
  value == null ? none : `${(value / 1e9).toFixed(value < 1e10 ? 2 : 0)} G${unit}`;

export function show(report: Report): string {
  const { checks, roofline, rows, memory, torch } = report;
  const torchRows = typeof torch === "string" ? {} : torch.rows;
  const lines = [
    `device        ${report.device}`,
    ...(checks ?? []).map(({ name, passed, failed, declined }) =>
      [
        `${name.padEnd(30)} ${passed} passed, ${failed.length} failed, ${declined} not offered`,
        ...failed.map((text) => `    ${text}`),
      ].join("\n"),
    ),
    ...(checks === null ? [`conformance   ${none}`] : []),
    `copy          ${giga(roofline?.bytesPerSecond, "B/s")}`,
    `multiply-adds ${giga(roofline?.flopsPerSecond, "FLOP/s")}`,
    `plain matmul  ${giga(roofline?.matmulFlopsPerSecond, "FLOP/s")}`,
    `PyTorch       ${typeof torch === "string" ? `${none}: ${torch}` : `${torch.torch} on ${torch.device}`}`,
    "",
    `${"".padEnd(56)}${"ms".padStart(12)}${"GFLOP/s".padStart(12)}${"GB/s".padStart(12)}${"of roofline".padStart(13)}${"PyTorch ms".padStart(13)}${"with TF32".padStart(13)}${"faster".padStart(9)}`,
  ];
  for (const { name, milliseconds, flopsPerSecond, bytesPerSecond, share, note = "" } of rows) {
    const peer = torchRows[name];
    const rate = (value: number | null): string => (value === null ? "" : (value / 1e9).toFixed(1));
    const cells = [
      (milliseconds === null ? none : milliseconds.toFixed(3)).padStart(12),
      rate(flopsPerSecond).padStart(12),
      rate(bytesPerSecond).padStart(12),
      (share === null ? "" : `${(100 * share).toFixed(0)} %`).padStart(13),
      (peer?.fp32.toFixed(3) ?? none).padStart(13),
      (peer?.tf32.toFixed(3) ?? none).padStart(13),
      (peer && milliseconds !== null ? `${(peer.fp32 / milliseconds).toFixed(2)}×` : "").padStart(9),
    ];
    lines.push(`${name.padEnd(56)}${cells.join("")}  ${note}`.trimEnd());
  }
  const grown = memory && memory.lateBytes - memory.earlyBytes;
  const kept =
    memory && `${memory.lateBytes} bytes after ${memory.steps} steps, ${grown} more than early on; ${memory.laterPlans} plans made since`;
  return [...lines, "", `memory        ${kept ?? none}`].join("\n");
}

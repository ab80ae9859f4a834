/** What the project set itself, as ratios of medians of one run: against the better JavaScript peer, PyTorch, and the machine's limit; one is a rate. */
import type { Cell, Row } from "./compare.js";
import { isGpu, isSoftware } from "./players.js";
import type { Roofline } from "./roofline.js";

export interface Verdict {
  readonly workload: string;
  readonly direction: string;
  readonly device: string;
  readonly against: string;
  /** How many times faster, which part of the limit, or how many GF/s are wanted and were found. */
  readonly wanted: number;
  readonly found: number;
  readonly holds: boolean;
}

interface Goal {
  readonly row: RegExp;
  readonly factor: number;
}

/** The first that fits a row, as `workload direction`, counts. */
const overJavaScript: readonly Goal[] = [
  { row: /^hornet_micro\S* step$/, factor: 12 },
  { row: /^gnconv\S* fwd\+bwd$/, factor: 15 },
  { row: /^fourier/, factor: 10 },
  { row: /^(conv|patch|dw7)\S* fwd\+bwd$/, factor: 10 },
  { row: /^dw7/, factor: 10 },
  { row: /^conv/, factor: 1.5 },
  { row: /^matmul_(512|1024) fwd$/, factor: 1.5 },
  { row: /^matmul\S* fwd\+bwd$/, factor: 1.5 },
  { row: /^(norm|gelu|attention)/, factor: 2 },
  { row: /^adamw/, factor: 1.5 },
  { row: /^softmax/, factor: 1.2 },
  { row: /./, factor: 1 },
];
const overTorch: readonly Goal[] = [
  { row: /^hornet_micro\S* step$/, factor: 1.3 },
  { row: /^hornet_tiny\S* step$/, factor: 1 },
  { row: /^hornet_tiny\S* fwd$/, factor: 1 / 2 },
  { row: /^dw7\S* fwd\+bwd$/, factor: 2 },
  { row: /^conv3x3/, factor: 1 / 8 },
  { row: /./, factor: 1 / 5 },
];
/** On a software GPU, against the better JavaScript library on the same adapter. */
const overGpuPeers: readonly Goal[] = [
  { row: /^hornet_micro\S* step$/, factor: 5 },
  { row: /^(gnconv|block|hornet)/, factor: 1 },
  { row: /./, factor: 2 },
];
const ofTheLimit: readonly Goal[] = [
  { row: /^matmul_1024 fwd$/, factor: 0.55 },
  { row: /^(chain\S* fwd|adamw\S* step)$/, factor: 0.6 },
];
/** What other runtimes do with the same network in a browser, and a little more. */
const gigaflops: readonly Goal[] = [{ row: /^hornet_tiny_1x3x224x224 fwd$/, factor: 30 }];

const goal = (goals: readonly Goal[], { workload, direction }: Row): number | null =>
  goals.find(({ row }) => row.test(`${workload} ${direction}`))?.factor ?? null;

/** The fastest of the cells that are measured and right. */
export function fastest(cells: readonly Cell[]): Cell | null {
  const valid = cells.filter((cell) => cell.status === "ok" && cell.ms !== null);
  return valid.reduce<Cell | null>((best, cell) => (best === null || (cell.ms as number) < (best.ms as number) ? cell : best), null);
}

/** The part of the machine's limit that a time comes to, where the row is bound by arithmetic or memory as counted; else null. */
export function shareOfLimit({ flops, bytes }: Row, ms: number, roofline: Roofline): number | null {
  const seconds = Math.max(flops / (roofline.gigaflops * 1e9), bytes / (roofline.gigabytes * 1e9));
  return seconds === 0 ? null : (seconds * 1000) / ms;
}

/** Judges one device in one row. What a peer cannot do, or gets wrong, has no target. */
export function verdicts(row: Row, device: string, roofline: Roofline | null): Verdict[] {
  const own = row.cells.find((cell) => cell.id === device);
  if (own === undefined || own.ms === null || own.status !== "ok") return [];
  const { ms } = own;
  const found: Verdict[] = [];
  const judge = (against: string, wanted: number | null, value: number | null): void => {
    if (wanted === null || value === null) return;
    const { workload, direction } = row;
    found.push({ workload, direction, device, against, wanted, found: value, holds: value >= wanted });
  };
  const among = (...ids: string[]): Cell | null => fastest(row.cells.filter((cell) => ids.includes(cell.id)));
  const ratio = (cell: Cell | null): number | null => (cell === null ? null : (cell.ms as number) / ms);
  if (device === "wasm") {
    const peer = among("jax-wasm", "tfjs-wasm");
    judge(peer?.id ?? "", goal(overJavaScript, row), ratio(peer));
    judge("torch", goal(overTorch, row), ratio(among("torch")));
    if (roofline !== null) judge("limit", goal(ofTheLimit, row), shareOfLimit(row, ms, roofline));
    judge("rate", goal(gigaflops, row), row.flops / ms / 1e6);
  }
  if (isGpu(device) && isSoftware(device)) {
    const peer = among("jax-webgpu", "tfjs-webgpu");
    judge(peer?.id ?? "", goal(overGpuPeers, row), ratio(peer));
  }
  return found;
}

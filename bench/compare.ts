/** Runs tasks on all contestants in turn: each measures a slice, several times over, so that what slows the machine slows all alike. */
import type { Result, Work } from "./contestant.js";
import { median } from "./measure.js";
import { CutOff, type Entrant, Player } from "./players.js";
import { bytesOf, flopsOf, type Task } from "./workloads.js";

export type Status =
  /** Measured, and its numbers agree with ours. */
  | "ok"
  /** Its numbers differ. */
  | "invalid"
  /** It cannot do this: `note` says why. */
  | "none"
  /** It did not end in time. */
  | "cut off";

export interface Cell {
  readonly id: string;
  readonly status: Status;
  /** Why, where the status is not "ok". */
  readonly note: string;
  /** Median, in milliseconds; null where nothing was measured. */
  readonly ms: number | null;
  readonly samples: number;
  /** Half of the distance between the quartiles, relative to the median. */
  readonly spread: number;
  /** From nothing to the first result. */
  readonly firstMs: number | null;
  readonly result: Result | null;
  readonly work: Work | null;
  /** The largest distance from the reference's results, relative to their largest value; null for the reference, and where it has none. */
  readonly error: number | null;
}

export interface Row {
  readonly workload: string;
  readonly direction: Task["direction"];
  /** Of the work as counted by hand; 0 where it was not. */
  readonly flops: number;
  readonly bytes: number;
  readonly cells: readonly Cell[];
}

export interface Pace {
  /** Seconds of measuring for each contestant and task. */
  readonly seconds: number;
  readonly rounds: number;
  /** Seconds after which a contestant that has not answered is cut off. */
  readonly limit: number;
}

/** Results differ where sums differ by more than this part of the sum of absolute values, or losses by more than the second. */
const [sumTolerance, lossTolerance] = [3e-5, 1e-3];

/** Null where two results agree, else how they differ. Losses are compared as far as both have them. */
export function difference(a: Result, b: Result): string | null {
  if (a.sums.length !== b.sums.length) return `${a.sums.length} results, not ${b.sums.length}`;
  for (const [i, [sum, absolute]] of a.sums.entries()) {
    const [otherSum, otherAbsolute] = b.sums[i];
    const scale = sumTolerance * Math.max(Math.abs(otherAbsolute), 1e-30);
    if (!(Math.abs(sum - otherSum) <= scale) || !(Math.abs(absolute - otherAbsolute) <= scale)) {
      const show = (x: number): string => x.toPrecision(7);
      return `result ${i + 1}: sum ${show(sum)} and sum of |x| ${show(absolute)}, not ${show(otherSum)} and ${show(otherAbsolute)}`;
    }
  }
  for (let i = 0; i < Math.min(a.losses.length, b.losses.length); i++) {
    if (!(Math.abs(a.losses[i] - b.losses[i]) <= lossTolerance * Math.abs(b.losses[i]))) {
      return `loss ${i + 1} is ${a.losses[i].toPrecision(6)}, not ${b.losses[i].toPrecision(6)}`;
    }
  }
  return null;
}

/** The largest distance of elements, or of losses, relative to the largest of the reference; null where nothing can be compared. */
export function errorOf(found: Result, reference: Result): number | null {
  const outputs = [...(found.probes ?? []), found.losses];
  const wanted = [...(reference.probes ?? []), reference.losses];
  const errors = wanted.flatMap((values, i) => {
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const common = Math.min(values.length, outputs[i]?.length ?? 0);
    if (common === 0) return [];
    const off = values.slice(0, common).reduce((most, value, at) => Math.max(most, Math.abs(outputs[i][at] - value)), 0);
    return [off / (largest || 1)];
  });
  return errors.length === 0 ? null : Math.max(...errors);
}

interface Draft {
  readonly player: Player;
  status: Status;
  note: string;
  result: Result | null;
  firstMs: number | null;
  warmMs: number;
  work: Work | null;
  error: number | null;
  readonly samples: number[];
}

export type Progress = (text: string) => void;

/** Keeps the players of a run, and opens again those that had to be ended. */
export class Comparison {
  private readonly players: readonly Player[];
  readonly descriptions = new Map<string, string>();
  /** Contestants that do not start here, and why. */
  readonly absent = new Map<string, string>();

  constructor(
    entrants: readonly Entrant[],
    private readonly pace: Pace,
    private readonly progress: Progress = () => {},
    /** Whose results are right. Default: the first of ours that has any. */
    private readonly reference: string | null = null,
  ) {
    this.players = entrants.map((entrant) => new Player(entrant));
  }

  /** Starts everyone. @throws where one of ours does not start. */
  async open(): Promise<void> {
    for (const player of this.players) {
      const { id, ours } = player.entrant;
      this.progress(`starting ${id}`);
      try {
        this.descriptions.set(id, await player.open());
      } catch (error) {
        player.close();
        if (ours) throw new Error(`${id} does not start: ${(error as Error).message}`);
        this.absent.set(id, (error as Error).message);
      }
    }
  }

  close(): void {
    for (const player of this.players) player.close();
  }

  async row(task: Task): Promise<Row> {
    const drafts: Draft[] = [];
    for (const player of this.players) if (!this.absent.has(player.entrant.id)) drafts.push(await this.load(player, task));
    const isReference = ({ player: { entrant } }: Draft): boolean =>
      this.reference === null ? entrant.ours : entrant.id === this.reference;
    const reference = drafts.find((draft) => isReference(draft) && draft.result !== null);
    for (const draft of drafts) {
      if (draft.result === null || reference === undefined || draft === reference) continue;
      draft.error = errorOf(draft.result, reference.result as Result);
      const found = difference(draft.result, reference.result as Result);
      if (found !== null) Object.assign(draft, { status: "invalid", note: found });
    }
    for (let round = 0; round < this.pace.rounds; round++) {
      for (const draft of drafts) await this.measure(draft, task, round);
    }
    for (const draft of drafts) {
      if (draft.player.isOpen && draft.result !== null) await draft.player.unload().catch(() => draft.player.close());
    }
    return { workload: task.workload, direction: task.direction, flops: flopsOf(task), bytes: bytesOf(task), cells: drafts.map(cellOf) };
  }

  private async load(player: Player, task: Task): Promise<Draft> {
    const { id } = player.entrant;
    this.progress(`${task.workload} ${task.direction}: ${id} prepares`);
    const draft: Draft = { player, status: "ok", note: "", result: null, firstMs: null, warmMs: 0, work: null, error: null, samples: [] };
    try {
      if (!player.isOpen) await player.open();
      const { sums, losses, probes, firstMs, warmMs, work = null } = await player.load(task, this.pace.limit);
      Object.assign(draft, { result: { sums, losses, probes }, firstMs, warmMs, work });
    } catch (error) {
      Object.assign(draft, { status: error instanceof CutOff ? "cut off" : "none", note: (error as Error).message });
    }
    return draft;
  }

  private async measure(draft: Draft, task: Task, round: number): Promise<void> {
    if (draft.result === null || !draft.player.isOpen) return;
    const { seconds, rounds, limit } = this.pace;
    const slice = seconds / rounds;
    const spent = draft.samples.reduce((sum, ms) => sum + ms, 0) / 1000;
    // What takes longer than a slice each time need not run in every round.
    if (round > 0 && spent > seconds) return;
    this.progress(`${task.workload} ${task.direction}: ${draft.player.entrant.id} ${round + 1}/${rounds}`);
    try {
      draft.samples.push(...(await draft.player.measure(slice, draft.warmMs > 500 * slice ? 1 : 3, limit + 10 * slice)));
    } catch (error) {
      if (draft.samples.length > 0) return;
      Object.assign(draft, { status: error instanceof CutOff ? "cut off" : "none", note: (error as Error).message, result: null });
    }
  }
}

function cellOf({ player, status, note, result, firstMs, work, error, samples }: Draft): Cell {
  const sorted = [...samples].sort((a, b) => a - b);
  const ms = sorted.length > 0 ? median(sorted) : null;
  const spread = ms === null ? 0 : (sorted[Math.floor(sorted.length * 0.75)] - sorted[Math.floor(sorted.length * 0.25)]) / 2 / ms;
  const kept = result === null ? null : { sums: result.sums, losses: result.losses };
  return { id: player.entrant.id, status, note, ms, samples: samples.length, spread, firstMs, result: kept, work, error };
}

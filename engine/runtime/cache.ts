/** Plans by structure: a hash finds the bucket, equality of the integer array decides. The least recently used go first. */
import type { Executable } from "../../backends/backend.js";
import type { Plan } from "../schedule/plan.js";
import { hashKey, sameKey } from "../schedule/walk.js";

/** A plan with its kernels compiled, or being compiled. */
export interface CompiledPlan {
  readonly plan: Plan;
  /** One a kernel step, in order. */
  executables: readonly Executable[] | null;
  readonly ready: Promise<void> | null;
}

export interface PlanCacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly size: number;
}

interface Entry {
  readonly key: Int32Array;
  readonly hash: number;
  readonly compiled: CompiledPlan;
}

export class PlanCache {
  private readonly buckets = new Map<number, Entry[]>();
  /** Oldest first: Sets keep insertion order. */
  private readonly order = new Set<Entry>();
  private hits = 0;
  private misses = 0;

  constructor(private readonly capacity = 256) {}

  find(key: Int32Array): CompiledPlan | null {
    const entry = this.buckets.get(hashKey(key))?.find((e) => sameKey(e.key, key));
    if (entry === undefined) {
      this.misses++;
      return null;
    }
    this.hits++;
    this.order.delete(entry);
    this.order.add(entry);
    return entry.compiled;
  }

  add(key: Int32Array, compiled: CompiledPlan): void {
    const entry: Entry = { key, hash: hashKey(key), compiled };
    const bucket = this.buckets.get(entry.hash);
    if (bucket) bucket.push(entry);
    else this.buckets.set(entry.hash, [entry]);
    this.order.add(entry);
    if (this.order.size > this.capacity) {
      const oldest = this.order.values().next().value as Entry;
      this.remove(oldest);
    }
  }

  drop(compiled: CompiledPlan): void {
    for (const entry of this.order) if (entry.compiled === compiled) this.remove(entry);
  }

  stats(): PlanCacheStats {
    return { hits: this.hits, misses: this.misses, size: this.order.size };
  }

  private remove(entry: Entry): void {
    this.order.delete(entry);
    const bucket = (this.buckets.get(entry.hash) ?? []).filter((e) => e !== entry);
    if (bucket.length > 0) this.buckets.set(entry.hash, bucket);
    else this.buckets.delete(entry.hash);
  }
}

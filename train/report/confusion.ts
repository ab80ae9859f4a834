/** Which classes are taken for which. */
import type { Prediction } from "../evaluate.js";

/** Counts of labels against predictions. */
export class Confusion {
  readonly classes: number;
  /** [label × classes + predicted] */
  readonly counts: Uint32Array;

  constructor(classes: number) {
    this.classes = classes;
    this.counts = new Uint32Array(classes * classes);
  }

  add({ label, predicted }: Prediction): void {
    this.counts[label * this.classes + predicted]++;
  }

  count(label: number, predicted: number): number {
    return this.counts[label * this.classes + predicted];
  }

  /** Pictures of a class. */
  total(label: number): number {
    return this.counts.subarray(label * this.classes, (label + 1) * this.classes).reduce((sum, count) => sum + count, 0);
  }

  /** The commonest mistakes, most frequent first. */
  mistakes(most: number): { readonly label: number; readonly predicted: number; readonly count: number }[] {
    const found: { label: number; predicted: number; count: number }[] = [];
    this.counts.forEach((count, i) => {
      const [label, predicted] = [Math.floor(i / this.classes), i % this.classes];
      if (count > 0 && label !== predicted) found.push({ label, predicted, count });
    });
    return found.sort((a, b) => b.count - a.count || a.label - b.label || a.predicted - b.predicted).slice(0, most);
  }
}

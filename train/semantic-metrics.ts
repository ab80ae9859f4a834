/** Measures of segmentation: how well the classes of pixels are told. */
import { OpError } from "../engine/errors.js";
import { ignoredClass } from "./data/scene.js";

/** How well one class is told. */
export interface ClassScores {
  /** Overlap over union of what is and what was said; NaN where the class is in neither. */
  readonly iou: number;
  /** Share of the class's pixels that were told; NaN where there are none. */
  readonly acc: number;
}

/** How well all of them are. */
export interface SemanticResult {
  /** Share of all pixels. */
  readonly aAcc: number;
  /** Means over the classes for which there is a value. */
  readonly mIoU: number;
  readonly mAcc: number;
  readonly perClass: readonly ClassScores[];
}

/** Counts pixels by class and by what was said of them. */
export class SemanticEvaluator {
  readonly #classes: number;
  /** [class × classes + said] */
  readonly #counts: Float64Array;

  constructor(classes: number) {
    this.#classes = classes;
    this.#counts = new Float64Array(classes * classes);
  }

  /** A picture's pixels; those of class 255 are left out. Throws OpError where sizes differ, or values are no classes. */
  add(truth: ArrayLike<number>, said: ArrayLike<number>): void {
    if (truth.length !== said.length)
      throw new OpError("SemanticEvaluator", `${truth.length} pixels are known, of ${said.length} something is said`);
    for (let i = 0; i < truth.length; i++) {
      if (truth[i] === ignoredClass) continue;
      if (!(truth[i] < this.#classes && said[i] < this.#classes && said[i] >= 0))
        throw new OpError(
          "SemanticEvaluator",
          `pixel ${i} is of class ${truth[i]} and called ${said[i]}; there are ${this.#classes} classes`,
        );
      this.#counts[truth[i] * this.#classes + said[i]]++;
    }
  }

  result(): SemanticResult {
    const classes = this.#classes;
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    const mean = (values: readonly number[]): number => {
      const known = values.filter((value) => !Number.isNaN(value));
      return sum(known) / known.length;
    };
    const all = Array.from({ length: classes }, (_, c) => c);
    const count = (c: number, said: number): number => this.#counts[c * classes + said];
    const perClass = all.map((c) => {
      const is = sum(all.map((other) => count(c, other)));
      const said = sum(all.map((other) => count(other, c)));
      return { iou: count(c, c) / (is + said - count(c, c)), acc: count(c, c) / is };
    });
    return {
      aAcc: sum(all.map((c) => count(c, c))) / sum([...this.#counts]),
      mIoU: mean(perClass.map(({ iou }) => iou)),
      mAcc: mean(perClass.map(({ acc }) => acc)),
      perClass,
    };
  }
}

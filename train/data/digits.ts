/** Digits from the contents of their files, wherever those came from: `mnist` reads them in Node, a page fetches them. */
import { OpError } from "../../engine/errors.js";
import { openBytes } from "./bytes.js";
import type { Dataset } from "./dataset.js";
import type { IdxFile } from "./idx.js";

/** Mean and deviation of the training pixels, on a scale of 0 to 1. */
export const mnistStatistics = { mean: [0.1307], std: [0.3081] };

/** Mean and deviation of Fashion-MNIST's training pixels, on a scale of 0 to 1. */
export const fashionStatistics = { mean: [0.286], std: [0.353] };

/** Class names of MNIST. */
export const digitNames = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/** Class names of Fashion-MNIST. */
export const fashionNames = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

export interface DigitsOptions {
  /** Class names and statistics. Default "mnist". */
  readonly variant?: "mnist" | "fashion";
  /** Of the data set. Default "digits". */
  readonly name?: string;
  /** Names of the two files, for messages. */
  readonly files?: readonly [images: string, labels: string];
}

const side = 28;

/**
 * Pictures [N, 28, 28] and labels [N] as a data set.
 * @throws OpError where the two do not fit each other, or a label is above 9.
 */
export function openDigits(images: IdxFile, labels: IdxFile, options: DigitsOptions = {}): Dataset {
  const { variant = "mnist", name = "digits", files = ["the pictures", "the labels"] } = options;
  const [count, height, width] = images.shape;
  if (images.shape.length !== 3 || height !== side || width !== side) {
    throw new OpError("mnist", `${files[0]} holds ${images.shape.join(" × ")}; expected images of ${side} × ${side}`);
  }
  if (labels.shape.length !== 1 || labels.shape[0] !== count) {
    throw new OpError("mnist", `${files[1]} holds ${labels.shape.join(" × ")} labels for ${count} images`);
  }
  const wrong = labels.data.findIndex((label) => label > 9);
  if (wrong !== -1) throw new OpError("mnist", `${files[1]}: label ${wrong} is ${labels.data[wrong]}; expected 0 to 9`);
  return openBytes({
    kind: "bytes",
    name,
    side,
    channels: 1,
    layout: "pixels",
    data: images.data,
    labels: Int32Array.from(labels.data),
    classNames: variant === "mnist" ? digitNames : fashionNames,
    ...(variant === "mnist" ? mnistStatistics : fashionStatistics),
  });
}

/** What the reports of segmentation and detection show: tables of classes, and pictures of predictions beside the truth. */
import type { Picture } from "../augment/picture.js";
import { type CocoResult, cocoLineNames } from "../coco-metrics.js";
import type { SemanticResult } from "../semantic-metrics.js";
import { encodePng } from "./gallery.js";
import { escapeHtml } from "./svg.js";

const percent = (value: number): string => (Number.isFinite(value) && value >= 0 ? (100 * value).toFixed(1) : "–");

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  return `<div class="scroll"><table>${cells("th", head)}${rows.map((row) => cells("td", row)).join("")}</table></div>`;
}

/** Overlap and accuracy of each class, and their means. */
export function classTable({ aAcc, mIoU, mAcc, perClass }: SemanticResult, classes: readonly string[]): string {
  const rows = perClass.map(({ iou, acc }, i) => [classes[i] ?? String(i), percent(iou), percent(acc)]);
  return `<h2>Classes</h2>${table(["class", "IoU, %", "accuracy, %"], [...rows, ["mean", percent(mIoU), percent(mAcc)]])}<p>${percent(aAcc)} % of all pixels.</p>`;
}

/** The twelve lines for boxes and masks, and the average precision of each category. */
export function cocoTable(results: Readonly<Partial<Record<"bbox" | "segm", CocoResult>>>, categories: readonly string[]): string {
  const kinds = (["bbox", "segm"] as const).flatMap((kind) => {
    const result = results[kind];
    return result === undefined ? [] : [{ title: kind === "bbox" ? "boxes" : "masks", result }];
  });
  const lines = cocoLineNames.map(([key, name]) => [name, ...kinds.map(({ result }) => percent(result[key]))]);
  const own = categories.map((name, i) => [
    name,
    ...kinds.flatMap(({ result }) => [percent(result.perClass[i].AP), percent(result.perClass[i].AP50)]),
  ]);
  const head = kinds.flatMap(({ title }) => [`${title}: AP, %`, `${title}: AP50, %`]);
  return `<h2>Average precision</h2>${table(["", ...kinds.map(({ title }) => `${title}, %`)], lines)}<h2>Categories</h2>${table(["category", ...head], own)}`;
}

/** A scene with what is there and what was said. */
export interface ShownScene {
  readonly title: string;
  readonly truth: Picture;
  readonly said: Picture;
}

const address = (picture: Picture): string => `data:image/png;base64,${Buffer.from(encodePng(picture)).toString("base64")}`;

/** Pairs of pictures: left the truth, right what was said. */
export function sceneGallery(scenes: readonly ShownScene[]): string {
  if (scenes.length === 0) return "";
  const figures = scenes.map(({ title, truth, said }) => {
    const image = (picture: Picture, what: string): string =>
      `<img src="${address(picture)}" alt="${what} of ${escapeHtml(title)}" title="${escapeHtml(title)}: ${what}">`;
    return `<figure>${image(truth, "truth")}${image(said, "prediction")}</figure>`;
  });
  return `<h2>Truth, and what was said</h2><div class="scenes">${figures.join("")}</div>`;
}

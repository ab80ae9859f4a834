/** What the report of a classifier shows: which classes are taken for which, and pictures. */
import type { Confusion } from "./confusion.js";
import type { ShownPicture } from "./gallery.js";
import { escapeHtml } from "./svg.js";

/** The matrix of up to 40 classes, and for any number the commonest mistakes. */
export function confusionPart(confusion: Confusion, names: readonly string[]): string {
  const name = (i: number): string => escapeHtml(names[i] ?? String(i));
  const mistakes = confusion
    .mistakes(12)
    .map(({ label, predicted, count }) => `<tr><td>${name(label)} taken for ${name(predicted)}</td><td>${count}</td></tr>`);
  const list = mistakes.length === 0 ? "<p>No mistakes.</p>" : `<table>${mistakes.join("")}</table>`;
  if (confusion.classes > 40) return `<h2>Commonest mistakes</h2>${list}`;
  const classes = Array.from({ length: confusion.classes }, (_, i) => i);
  const rows = classes.map((label) => {
    const total = confusion.total(label);
    const cells = classes.map((predicted) => {
      const count = confusion.count(label, predicted);
      const colour = label === predicted ? "42,143,92" : "217,98,43";
      const strength = total === 0 ? 0 : Math.min(1, (count / total) * (label === predicted ? 0.6 : 6));
      return `<td style="background:rgba(${colour},${strength.toFixed(2)})">${count || ""}</td>`;
    });
    return `<tr><th>${name(label)}</th>${cells.join("")}</tr>`;
  });
  const head = `<tr><th>label \\ said</th>${classes.map((i) => `<th>${name(i)}</th>`).join("")}</tr>`;
  return `<h2>Confusion</h2><div class="scroll"><table class="confusion">${head}${rows.join("")}</table></div><h2>Commonest mistakes</h2>${list}`;
}

/** Pictures with what the network named, and what they are. */
export function galleryPart(title: string, shown: readonly ShownPicture[], names: readonly string[]): string {
  if (shown.length === 0) return "";
  const figures = shown.map(({ prediction: { label, predicted, probability }, title: file, address }) => {
    const said = `${escapeHtml(names[predicted] ?? String(predicted))} ${(100 * probability).toFixed(0)} %`;
    const truth = label === predicted ? "" : `<br><small>is ${escapeHtml(names[label] ?? String(label))}</small>`;
    return `<figure><img src="${address}" alt="${escapeHtml(file)}" title="${escapeHtml(file)}"><figcaption>${said}${truth}</figcaption></figure>`;
  });
  return `<h2>${title}</h2><div class="gallery">${figures.join("")}</div>`;
}

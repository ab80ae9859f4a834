/** `report.html`: a run on one page, in one file that needs nothing else. */
import type { Confusion } from "./confusion.js";
import type { ShownPicture } from "./gallery.js";
import { type History, metricOf } from "./history.js";
import { escapeHtml, lineChart } from "./svg.js";

/** What a report shows. */
export interface ReportContent {
  readonly title: string;
  /** Facts in a line each: network, data, device, versions, speed. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly args: Readonly<Record<string, unknown>>;
  readonly history: History;
  /** Steps of an epoch. */
  readonly updates: number;
  readonly classNames: readonly string[];
  readonly confusion: Confusion | null;
  readonly right: readonly ShownPicture[];
  readonly wrong: readonly ShownPicture[];
}

const style = `
:root{color-scheme:light dark;--ink:#1d2430;--faint:#69707d;--line:#d9dde3;--paper:#fff;--s0:#2563c9;--s1:#d9622b;--s2:#2a8f5c}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--faint:#98a1af;--line:#353c48;--paper:#14181f;--s0:#7aa9f7;--s1:#f09a6a;--s2:#67c795}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:980px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}small,.faint{color:var(--faint)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:1rem}
svg.chart{width:100%;height:auto;font-size:11px;fill:var(--faint)}svg .title{font-size:13px;font-weight:600;fill:var(--ink)}
svg .grid{stroke:var(--line)}svg .line{fill:none;stroke-width:1.6}
path.s0{stroke:var(--s0)}path.s1{stroke:var(--s1)}path.s2{stroke:var(--s2)}
circle.s0,tspan.s0{fill:var(--s0)}circle.s1,tspan.s1{fill:var(--s1)}circle.s2,tspan.s2{fill:var(--s2)}
table{border-collapse:collapse;font-size:13px}th,td{padding:.15rem .6rem;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}.facts td{text-align:left}.scroll{overflow-x:auto}
.confusion td{padding:.15rem .35rem;border:0;text-align:center;min-width:1.6rem}
.gallery{display:flex;flex-wrap:wrap;gap:.75rem}.gallery figure{margin:0;width:104px;font-size:12px;line-height:1.3}
.gallery img{width:96px;height:96px;object-fit:contain;image-rendering:pixelated;background:#8883}pre{font-size:12px;overflow-x:auto}
`;

const number = (value: number | undefined, digits: number): string =>
  value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);

function charts({ history: { epochs, trace }, updates }: ReportContent): string {
  const at = epochs.map(({ epoch }) => epoch + 1);
  const along = trace.steps.map((step) => step / updates);
  const averages = epochs.flatMap(({ epoch, ema }) => (ema === null ? [] : [{ epoch: epoch + 1, ...ema }]));
  const average = (name: string, y: readonly number[]) =>
    averages.length === 0 ? [] : [{ name, x: averages.map(({ epoch }) => epoch), y }];
  const list = [
    {
      title: "Loss",
      series: [
        { name: "training", x: along, y: trace.loss },
        { name: "test", x: at, y: epochs.map(({ evalLoss }) => evalLoss) },
        ...average(
          "test, average",
          averages.map(({ loss }) => loss),
        ),
      ],
    },
    {
      title: "Accuracy, %",
      series: [
        { name: "training", x: at, y: epochs.map(({ trainTop1 }) => trainTop1) },
        { name: "test", x: at, y: epochs.map(({ evalTop1 }) => evalTop1) },
        ...average(
          "test, average",
          averages.map(({ top1 }) => top1),
        ),
      ],
    },
    { title: "Learning rate", series: [{ name: "lr", x: along, y: trace.lr }] },
    { title: "Norm of the gradients", series: [{ name: "norm", x: along, y: trace.gradNorm }] },
  ];
  return `<div class="charts">${list.map(({ title, series }) => lineChart({ title, xLabel: "epoch", series })).join("")}</div>`;
}

function epochTable({ history: { epochs, best } }: ReportContent): string {
  const withEma = epochs.some(({ ema }) => ema !== null);
  const head = [
    "epoch",
    "training loss",
    "training %",
    "test loss",
    "test %",
    "top 5 %",
    ...(withEma ? ["average, test %"] : []),
    "gradients",
    "lr",
    "skipped",
  ];
  const rows = epochs.map((row) => {
    const mark = row.epoch === best?.epoch ? " ★" : "";
    const cells = [
      `${row.epoch}${mark}`,
      number(row.trainLoss, 4),
      number(row.trainTop1, 2),
      number(row.evalLoss, 4),
      number(row.evalTop1, 2),
      number(row.evalTop5, 2),
      ...(withEma ? [number(row.ema?.top1, 2)] : []),
      number(row.gradNorm, 3),
      row.lr.toExponential(2),
      String(row.skipped),
    ];
    return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
  });
  return `<div class="scroll"><table><tr>${head.map((name) => `<th>${name}</th>`).join("")}</tr>${rows.join("")}</table></div>`;
}

/** The matrix of up to 40 classes, and for any number the commonest mistakes. */
function confusionPart(confusion: Confusion, names: readonly string[]): string {
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

function gallery(title: string, shown: readonly ShownPicture[], names: readonly string[]): string {
  if (shown.length === 0) return "";
  const figures = shown.map(({ prediction: { label, predicted, probability }, title: file, address }) => {
    const said = `${escapeHtml(names[predicted] ?? String(predicted))} ${(100 * probability).toFixed(0)} %`;
    const truth = label === predicted ? "" : `<br><small>is ${escapeHtml(names[label] ?? String(label))}</small>`;
    return `<figure><img src="${address}" alt="${escapeHtml(file)}" title="${escapeHtml(file)}"><figcaption>${said}${truth}</figcaption></figure>`;
  });
  return `<h2>${title}</h2><div class="gallery">${figures.join("")}</div>`;
}

/** The report as one HTML file without references to others. */
export function reportHtml(content: ReportContent): string {
  const { title, facts, args, history, classNames, confusion, right, wrong } = content;
  const last = history.epochs.at(-1);
  const best = history.best;
  const headline =
    last === undefined || best === null
      ? "No epoch is done yet."
      : `Accuracy ${number(metricOf(last), 2)} % after ${history.epochs.length} epochs; best ${number(best.metric, 2)} % (epoch ${best.epoch}).`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)}</title><style>${style}</style></head>
<body><h1>${escapeHtml(title)}</h1><p>${headline}</p>
<table class="facts">${facts.map(([name, value]) => `<tr><td class="faint">${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`).join("")}</table>
<h2>Curves</h2>${charts(content)}
<h2>Epochs</h2>${epochTable(content)}
${confusion === null ? "" : confusionPart(confusion, classNames)}
${gallery("Wrong, and sure of it", wrong, classNames)}
${gallery("Right, and sure of it", right, classNames)}
<h2>Flags</h2><pre>${escapeHtml(JSON.stringify(args, null, 2))}</pre>
</body></html>
`;
}

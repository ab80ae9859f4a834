/** `report.html`: a run on one page, in one file that needs nothing else. */
import { type Column, type Columns, type EpochRecord, type History, metricOf } from "./history.js";
import { escapeHtml, lineChart, type Series } from "./svg.js";

/** What a report shows. */
export interface ReportContent {
  readonly title: string;
  /** Facts in a line each: network, data, device, versions, speed. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly args: Readonly<Record<string, unknown>>;
  readonly history: History;
  /** Steps of an epoch. */
  readonly updates: number;
  readonly columns: Columns;
  /** What a task shows of its last evaluation, as HTML. */
  readonly sections: string;
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
.gallery img{width:96px;height:96px;object-fit:contain;image-rendering:pixelated;background:#8883}
.scenes{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:.75rem}.scenes figure{margin:0;display:flex;gap:4px}
.scenes img{width:calc(50% - 2px);image-rendering:pixelated}pre{font-size:12px;overflow-x:auto}
`;

const number = (value: number | undefined, digits: number): string =>
  value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);

function charts({ history: { epochs, trace }, updates, columns }: ReportContent): string {
  const at = epochs.map(({ epoch }) => epoch + 1);
  const along = trace.steps.map((step) => step / updates);
  const averaged = epochs.filter(({ ema }) => ema !== null);
  const line = (name: string, rows: readonly EpochRecord[], value: (row: EpochRecord) => number): Series[] =>
    rows.length === 0 ? [] : [{ name, x: rows.map(({ epoch }) => epoch + 1), y: rows.map(value) }];
  const shown = (title: string): Series[] => {
    const on = (list: readonly Column[]): readonly Column[] => list.filter(({ chart }) => chart === title);
    // Where a chart has one measure alone, its name is the chart's.
    const called = (half: string, list: readonly Column[], { title: own }: Column): string => (list.length === 1 ? half : own);
    const [train, test] = [on(columns.train), on(columns.test)];
    return [
      ...train.flatMap((column) => line(called("training", train, column), epochs, (row) => row.train[column.key])),
      ...test.flatMap((column) => line(called("test", test, column), epochs, (row) => row.test[column.key])),
      ...(test.length === 1 ? line("test, average", averaged, ({ ema }) => ema?.[test[0].key] ?? Number.NaN) : []),
    ];
  };
  const titles = [...new Set([...columns.train, ...columns.test].flatMap(({ chart }) => chart ?? []))].filter((title) => title !== "Loss");
  const list = [
    { title: "Loss", series: [{ name: "training", x: along, y: trace.loss }, ...shown("Loss")] },
    ...titles.map((title) => ({ title, series: shown(title) })),
    { title: "Learning rate", series: [{ name: "lr", x: along, y: trace.lr }] },
    { title: "Norm of the gradients", series: [{ name: "norm", x: along, y: trace.gradNorm }] },
  ];
  return at.length + along.length === 0
    ? "<p>Nothing yet.</p>"
    : `<div class="charts">${list.map(({ title, series }) => lineChart({ title, xLabel: "epoch", series })).join("")}</div>`;
}

function epochTable({ history: { epochs, best }, columns }: ReportContent): string {
  const withEma = epochs.some(({ ema }) => ema !== null);
  const metric = columns.test.find(({ key }) => key === columns.metric);
  const titles = (list: readonly Column[]): string[] => list.map(({ title }) => title);
  const head = [
    "epoch",
    "training loss",
    ...titles(columns.train),
    ...titles(columns.test),
    ...(withEma ? [`average, ${metric?.title ?? columns.metric}`] : []),
    "gradients",
    "lr",
    "skipped",
  ];
  const rows = epochs.map((row) => {
    const mark = row.epoch === best?.epoch ? " ★" : "";
    const cells = [
      `${row.epoch}${mark}`,
      number(row.trainLoss, 4),
      ...columns.train.map(({ key, digits }) => number(row.train[key], digits)),
      ...columns.test.map(({ key, digits }) => number(row.test[key], digits)),
      ...(withEma ? [number(row.ema?.[columns.metric], metric?.digits ?? 2)] : []),
      number(row.gradNorm, 3),
      row.lr.toExponential(2),
      String(row.skipped),
    ];
    return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
  });
  return `<div class="scroll"><table><tr>${head.map((name) => `<th>${escapeHtml(name)}</th>`).join("")}</tr>${rows.join("")}</table></div>`;
}

/** The report as one HTML file without references to others. */
export function reportHtml(content: ReportContent): string {
  const { title, facts, args, history, columns, sections } = content;
  const last = history.epochs.at(-1);
  const best = history.best;
  const headline =
    last === undefined || best === null
      ? "No epoch is done yet."
      : `${columns.metricTitle} ${number(metricOf(last, columns), 2)} % after ${history.epochs.length} epochs; best ${number(best.metric, 2)} % (epoch ${best.epoch}).`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)}</title><style>${style}</style></head>
<body><h1>${escapeHtml(title)}</h1><p>${headline}</p>
<table class="facts">${facts.map(([name, value]) => `<tr><td class="faint">${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`).join("")}</table>
<h2>Curves</h2>${charts(content)}
<h2>Epochs</h2>${epochTable(content)}
${sections}
<h2>Flags</h2><pre>${escapeHtml(JSON.stringify(args, null, 2))}</pre>
</body></html>
`;
}

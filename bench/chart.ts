/** A chart of a run as one SVG file: a line for each row, time on a logarithmic axis, a mark for each contestant. */
import type { Cell } from "./compare.js";
import type { Report } from "./report.js";

const [left, right, top, lineHeight, plot] = [250, 30, 84, 18, 640];
/** Told apart by colour-blind readers too (Okabe and Ito, 2008). */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** What a chart shows of each cell. */
export interface Measure {
  readonly title: string;
  /** Null where there is nothing to show, as for 0. */
  readonly of: (cell: Cell) => number | null;
  readonly unit: string;
}

const time: Measure = { title: "Milliseconds", of: ({ ms, status }) => (status === "ok" ? ms : null), unit: "ms" };

export function chart({ rows, contestants, ours, machine, size }: Report, measure: Measure = time): string {
  const ids = Object.keys(contestants);
  const values = rows.flatMap((row) => row.cells.flatMap((cell) => measure.of(cell) || []));
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const x = (value: number): number => left + (plot * (Math.log10(value) - low)) / (high - low);
  const bottom = top + lineHeight * rows.length;
  const out: string[] = [];
  if (values.length === 0) return "";
  const text = (at: number, y: number, value: string, anchor = "start", more = ""): void => {
    out.push(`<text x="${at.toFixed(1)}" y="${y}" text-anchor="${anchor}"${more}>${escaped(value)}</text>`);
  };
  text(
    12,
    22,
    `${measure.title}, ${size} sizes; ${machine.processor}, ${machine.cores} cores, Node ${machine.node}`,
    "start",
    ' font-size="14"',
  );
  const colour = (id: string): string => colours[ids.indexOf(id) % colours.length];
  const mark = (id: string, at: number, y: number, title: string): void => {
    const label = `<title>${escaped(title)}</title>`;
    if (ours.includes(id)) {
      const r = 5.5;
      out.push(`<path d="M${at} ${y - r}L${at + r} ${y}L${at} ${y + r}L${at - r} ${y}Z" fill="${colour(id)}">${label}</path>`);
    } else out.push(`<circle cx="${at}" cy="${y}" r="4" fill="none" stroke="${colour(id)}" stroke-width="2">${label}</circle>`);
  };
  ids.forEach((id, i) => {
    mark(id, 18 + 118 * i, 42, contestants[id]);
    text(28 + 118 * i, 46, id);
  });
  for (let power = low; power <= high; power++) {
    const at = x(10 ** power);
    out.push(`<line x1="${at.toFixed(1)}" x2="${at.toFixed(1)}" y1="${top - 8}" y2="${bottom}" stroke="#ddd"/>`);
    text(at, top - 12, Math.abs(power) > 4 ? `1e${power}` : power >= 0 ? String(10 ** power) : (10 ** power).toFixed(-power), "middle");
  }
  rows.forEach((row, i) => {
    const y = top + lineHeight * i + lineHeight / 2;
    if (i % 2 === 0)
      out.push(
        `<rect x="0" y="${y - lineHeight / 2}" width="${left + plot + right}" height="${lineHeight}" fill="#f6f6f6" opacity="0.6"/>`,
      );
    text(left - 12, y + 4, `${row.workload} ${row.direction}`, "end");
    for (const cell of row.cells) {
      const value = measure.of(cell);
      if (value) mark(cell.id, Number(x(value).toFixed(1)), y, `${cell.id}: ${value.toPrecision(4)} ${measure.unit}`);
    }
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + plot + right}" height="${bottom + 20}" font-family="sans-serif" font-size="11">`,
    '<rect width="100%" height="100%" fill="white"/>',
    ...out,
    "</svg>",
    "",
  ].join("\n");
}

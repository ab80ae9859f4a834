/** A chart of a run as one SVG file: a line for each row, time on a logarithmic axis, a mark for each contestant. */
import type { Report } from "./report.js";

const [left, right, top, lineHeight, plot] = [250, 30, 84, 18, 640];
/** Told apart by colour-blind readers too (Okabe and Ito, 2008). */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

export function chart({ rows, contestants, ours, machine, size }: Report): string {
  const ids = Object.keys(contestants);
  const times = rows.flatMap((row) => row.cells.flatMap(({ ms, status }) => (ms !== null && status === "ok" ? [ms] : [])));
  const low = Math.floor(Math.log10(Math.min(...times, 1)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...times, 1))));
  const x = (ms: number): number => left + (plot * (Math.log10(ms) - low)) / (high - low);
  const bottom = top + lineHeight * rows.length;
  const out: string[] = [];
  const text = (at: number, y: number, value: string, anchor = "start", more = ""): void => {
    out.push(`<text x="${at.toFixed(1)}" y="${y}" text-anchor="${anchor}"${more}>${escaped(value)}</text>`);
  };
  text(
    12,
    22,
    `Milliseconds, ${size} sizes; ${machine.processor}, ${machine.cores} cores, Node ${machine.node}`,
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
    text(at, top - 12, 10 ** power >= 1 ? String(10 ** power) : (10 ** power).toFixed(-power), "middle");
  }
  rows.forEach((row, i) => {
    const y = top + lineHeight * i + lineHeight / 2;
    if (i % 2 === 0)
      out.push(
        `<rect x="0" y="${y - lineHeight / 2}" width="${left + plot + right}" height="${lineHeight}" fill="#f6f6f6" opacity="0.6"/>`,
      );
    text(left - 12, y + 4, `${row.workload} ${row.direction}`, "end");
    for (const { id, ms, status } of row.cells) {
      if (ms !== null && status === "ok") mark(id, Number(x(ms).toFixed(1)), y, `${id}: ${ms.toPrecision(4)} ms`);
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

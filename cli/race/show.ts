/** A race as lines that change in place, as a table at its end, and as a page. */
import { escapeHtml, lineChart } from "../../train/report/svg.js";
import type { Lane } from "./race.js";

const blocks = "▁▂▃▄▅▆▇█";
const curveLength = 24;

/** The curve of a loss as text: as many columns as fit, each the mean of its steps, from 0 to the largest of `top`. */
export function sparkline(losses: readonly number[], top: number, steps: number): string {
  const columns = Math.min(curveLength, steps);
  let text = "";
  for (let column = 0; column < columns; column++) {
    const part = losses.slice(Math.floor((column * steps) / columns), Math.floor(((column + 1) * steps) / columns));
    if (part.length === 0) break;
    const mean = part.reduce((sum, loss) => sum + loss, 0) / part.length;
    text += blocks[Math.max(0, Math.min(blocks.length - 1, Math.floor((mean / top) * blocks.length)))] ?? "?";
  }
  return text.padEnd(columns);
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Images a second: the median over the steps, less the first two, which compile. */
export const speedOf = ({ rates }: Lane): number | null => (rates.length > 2 ? middle(rates.slice(2)) : null);

const speedText = (lane: Lane): string => {
  const speed = speedOf(lane);
  return speed === null ? "" : `${speed.toPrecision(3)} images/s`;
};

/** One line: name, curve, loss, step, speed. */
export function laneLine(lane: Lane, lanes: readonly Lane[], steps: number): string {
  const name = lane.device.padEnd(Math.max(...lanes.map(({ device }) => device.length)));
  if (lane.state === "failed") return `${name}  failed: ${lane.reason.replaceAll("\n", " ")}`;
  if (lane.losses.length === 0) return `${name}  ${lane.state === "waits" ? "waits" : "starts"}`;
  const top = Math.max(...lanes.flatMap(({ losses }) => losses));
  const loss = (lane.losses.at(-1) as number).toFixed(4);
  const count = `${String(lane.losses.length).padStart(String(steps).length)}/${steps}`;
  return `${name}  ${sparkline(lane.losses, top, steps)}  loss ${loss}  step ${count}  ${speedText(lane)}`.trimEnd();
}

/** The largest distance of a lane's losses from those of the first lane that has any. */
export function distanceOf(lane: Lane, lanes: readonly Lane[]): number | null {
  const first = lanes.find(({ state }) => state === "done");
  if (first === undefined || first === lane || lane.losses.length === 0) return null;
  return Math.max(...lane.losses.map((loss, i) => Math.abs(loss - (first.losses[i] ?? Number.NaN))));
}

/** Results, the fastest first. */
export function raceTable(lanes: readonly Lane[]): string {
  const ranked = [...lanes].sort((a, b) => (speedOf(b) ?? -1) - (speedOf(a) ?? -1));
  const slowest = Math.min(...lanes.flatMap((lane) => speedOf(lane) ?? []));
  const rows = [
    ["device", "images/s", "×", "seconds", "last loss", "off by", "accuracy"],
    ...ranked.map((lane) => {
      const speed = speedOf(lane);
      const off = distanceOf(lane, lanes);
      return [
        lane.device,
        speed === null ? "–" : speed.toPrecision(3),
        speed === null ? "–" : (speed / slowest).toPrecision(3),
        lane.seconds.at(-1)?.toFixed(1) ?? "–",
        lane.losses.at(-1)?.toFixed(4) ?? lane.state,
        off === null ? "" : off.toExponential(1),
        lane.accuracy === null ? "–" : `${lane.accuracy.toFixed(1)} %`,
      ];
    }),
  ];
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ")).join("\n");
}

/** Losses by step and by time, and the table. */
export function racePage(title: string, lanes: readonly Lane[]): string {
  const ran = lanes.filter(({ losses }) => losses.length > 0);
  const charts = [
    lineChart({
      title: "loss",
      xLabel: "step",
      series: ran.map(({ device: name, losses: y }) => ({ name, x: y.map((_, i) => i + 1), y })),
    }),
    lineChart({ title: "loss", xLabel: "seconds", series: ran.map(({ device: name, seconds: x, losses: y }) => ({ name, x, y })) }),
  ];
  const about = lanes.map(({ device, description, reason }) => `${device}: ${description || reason}`).join("\n");
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 62em; padding: 0 1em }
svg { width: 30em; max-width: 100% }
</style>
<h1>${escapeHtml(title)}</h1>
${charts.join("\n")}
<pre>${escapeHtml(raceTable(lanes))}</pre>
<pre>${escapeHtml(about)}</pre>
</html>
`;
}

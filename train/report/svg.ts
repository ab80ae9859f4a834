/** Line charts as SVG text. */

export interface Series {
  readonly name: string;
  readonly x: readonly number[];
  readonly y: readonly number[];
}

export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly series: readonly Series[];
}

const frame = { width: 460, height: 250, left: 56, right: 12, top: 28, bottom: 34 };

export const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** Round numbers that span [low, high], about `count` of them. */
export function ticks(low: number, high: number, count = 5): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) as number;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

/** As short as a tick can be told. */
function label(value: number): string {
  const size = Math.abs(value);
  if (value !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential(1).replace(".0e", "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

function span(values: readonly number[]): readonly [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (low < high) return [low, high];
  const around = Math.abs(low) * 0.1 || 1;
  return [low - around, high + around];
}

/** A chart of lines; points that are no finite numbers are left out. */
export function lineChart({ title, xLabel, series }: ChartOptions): string {
  const { width, height, left, right, top, bottom } = frame;
  const lines = series.map(({ name, x, y }) => {
    const points = x.map((at, i) => [at, y[i]] as const).filter(([at, value]) => Number.isFinite(at) && Number.isFinite(value));
    return { name, points };
  });
  const all = lines.flatMap(({ points }) => points);
  const head = `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}"><text class="title" x="${left}" y="16">${escapeHtml(title)}</text>`;
  if (all.length === 0) return `${head}<text x="${width / 2}" y="${height / 2}" text-anchor="middle">nothing yet</text></svg>`;
  const [x0, x1] = span(all.map(([x]) => x));
  const [y0, y1] = span(all.map(([, y]) => y));
  const px = (x: number): number => left + ((x - x0) / (x1 - x0)) * (width - left - right);
  const py = (y: number): number => height - bottom - ((y - y0) / (y1 - y0)) * (height - top - bottom);
  const grid = [
    ...ticks(y0, y1).map(
      (y) =>
        `<path class="grid" d="M${left} ${py(y).toFixed(1)}H${width - right}"/><text x="${left - 6}" y="${(py(y) + 4).toFixed(1)}" text-anchor="end">${label(y)}</text>`,
    ),
    ...ticks(x0, x1).map((x) => `<text x="${px(x).toFixed(1)}" y="${height - bottom + 15}" text-anchor="middle">${label(x)}</text>`),
  ];
  const drawn = lines.map(({ points }, i) => {
    const path = points.map(([x, y], k) => `${k === 0 ? "M" : "L"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
    const dots =
      points.length > 40
        ? ""
        : points.map(([x, y]) => `<circle class="s${i}" cx="${px(x).toFixed(1)}" cy="${py(y).toFixed(1)}" r="2.5"/>`).join("");
    return `<path class="line s${i}" d="${path}"/>${dots}`;
  });
  const legend = lines.length < 2 ? [] : lines.map(({ name }, i) => `<tspan class="s${i}" dx="10">● ${escapeHtml(name)}</tspan>`);
  const names = `<text x="${width - right}" y="16" text-anchor="end">${legend.join("")}</text>`;
  const axis = `<text x="${width - right}" y="${height - 4}" text-anchor="end">${escapeHtml(xLabel)}</text>`;
  return `${head}${grid.join("")}${drawn.join("")}${names}${axis}</svg>`;
}

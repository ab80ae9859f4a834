/** The page: a form, two charts, and the worker that trains. */
import { lineChart } from "../../train/report/svg.js";
import type { FromWorker, ToWorker, TrainingRequest } from "../messages.js";

function element<T extends HTMLElement>(selector: string): T {
  const found = document.querySelector<T>(selector);
  if (found === null) throw new Error(`the page has no ${selector}`);
  return found;
}

/** `?device=wasm&trainLimit=640` fills the form, `&start` begins at once; `testLimit` tests on fewer digits. */
const given = new URLSearchParams(location.search);
const form = element<HTMLFormElement>("form");
const start = element<HTMLButtonElement>("[name=start]");
const stop = element<HTMLButtonElement>("[name=stop]");
const progress = element<HTMLProgressElement>("#progress");
const status = element("#status");
const deviceLine = element("#device");

/** What the charts show; steps without an evaluation are not in `tested`. */
const curves = {
  loss: { x: [] as number[], y: [] as number[] },
  batch: { x: [] as number[], y: [] as number[] },
  test: { x: [] as number[], y: [] as number[] },
};
let steps = 0;
let drawing = false;

/** Draws once a frame, however often it is told something. */
function redraw(): void {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const { loss, batch, test } = curves;
    element("#loss").innerHTML = lineChart({ title: "loss", xLabel: "step", series: [{ name: "batch", ...loss }] });
    element("#accuracy").innerHTML = lineChart({
      title: "accuracy, %",
      xLabel: "step",
      series: [
        { name: "batch", ...batch },
        { name: "test", ...test },
      ],
    });
  });
}

function say(text: string, error = false): void {
  status.textContent = text;
  status.classList.toggle("error", error);
}

function ended(): void {
  start.disabled = false;
  stop.disabled = true;
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

function hear(message: FromWorker): void {
  switch (message.kind) {
    case "fetched":
      progress.max = message.total;
      progress.value = message.bytes;
      say(`fetching digits: ${megabytes(message.bytes)} of ${megabytes(message.total)} MB`);
      return;
    case "start":
      steps = message.steps;
      progress.max = steps;
      progress.value = 0;
      deviceLine.textContent = `${message.device} · ${message.parameters.toLocaleString("en")} parameters`;
      say("compiling the first step");
      return;
    case "step": {
      const { step, loss, accuracy, lr, imagesPerSecond } = message;
      curves.loss.x.push(step);
      curves.loss.y.push(loss);
      curves.batch.x.push(step);
      curves.batch.y.push(accuracy);
      progress.value = step;
      say(`step ${step} of ${steps} · loss ${loss.toFixed(4)} · lr ${lr.toExponential(2)} · ${imagesPerSecond.toFixed(0)} images/s`);
      redraw();
      return;
    }
    case "evaluation":
      curves.test.x.push(message.step);
      curves.test.y.push(message.accuracy);
      say(`test accuracy ${message.accuracy.toFixed(2)} %, loss ${message.loss.toFixed(4)}`);
      redraw();
      return;
    case "end": {
      const last = curves.test.y.at(-1);
      say(
        message.stopped
          ? `stopped after ${message.seconds.toFixed(1)} s`
          : `done in ${message.seconds.toFixed(1)} s${last === undefined ? "" : ` · test accuracy ${last.toFixed(2)} %`}`,
      );
      ended();
      return;
    }
    case "error":
      say(message.message, true);
      ended();
      return;
  }
}

const worker = new Worker("./worker.js", { type: "module" });
const post = (message: ToWorker): void => worker.postMessage(message);
worker.onmessage = ({ data }: MessageEvent<FromWorker>) => hear(data);
worker.onerror = ({ message }) => {
  say(message || "the worker does not start", true);
  ended();
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  const number = (name: string): number => Number(fields.get(name));
  const request: TrainingRequest = {
    device: String(fields.get("device")),
    model: String(fields.get("model")),
    epochs: number("epochs"),
    trainLimit: number("trainLimit"),
    testLimit: Number(given.get("testLimit") ?? Number.MAX_SAFE_INTEGER),
    batchSize: number("batchSize"),
    lr: number("lr"),
    seed: number("seed"),
  };
  for (const curve of Object.values(curves)) curve.x.length = curve.y.length = 0;
  redraw();
  start.disabled = true;
  stop.disabled = false;
  say("starting");
  post({ kind: "train", request });
});
stop.addEventListener("click", () => {
  say("stopping after this step");
  post({ kind: "stop" });
});

const devices = element<HTMLSelectElement>("[name=device]");
for (const name of [...("gpu" in navigator ? ["webgpu"] : []), "wasm", "cpu", "gpujs:webgl2"]) devices.add(new Option(name));
for (const [name, value] of given) {
  const field = form.elements.namedItem(name);
  if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = value;
}
redraw();
if (given.has("start")) form.requestSubmit();

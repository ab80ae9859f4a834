/** The browser build: what an app that trains takes of `crabro/browser`, in bytes, and that what is left out is not missed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildLibrary, stripNotes, withPureValues } from "../../web/library.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-library-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeAll(async () => {
  writeFileSync(join(folder, "crabro.js"), await buildLibrary());
}, 60_000);

/** Trains a convolution, a norm and a product on one batch: the app that the budgets are for. */
const app = (backend: string) => `
  import { AdamW, ${backend}, Parameter, conv2d, crossEntropy, device, gelu, layerNorm, matmul, mean, registerBackend, setDefaultDevice, tensor } from "./crabro.js";
  export async function train() {
    registerBackend("mine", (options) => ${backend}(options));
    setDefaultDevice(await device("mine"));
    const numbers = (n, scale) => Float32Array.from({ length: n }, (_, i) => scale * Math.sin(i * i + 1));
    const made = (shape, scale) => tensor(numbers(shape.reduce((a, b) => a * b, 1), scale), { shape });
    const images = made([8, 1, 6, 6], 1);
    const labels = tensor([0, 1, 2, 0, 1, 2, 0, 1], { dtype: "int32" });
    const [filters, weight] = [new Parameter(made([4, 1, 3, 3], 0.3)), new Parameter(made([4, 3], 0.3))];
    const optimizer = new AdamW([filters, weight], { lr: 0.05 });
    const losses = [];
    for (let step = 0; step < 12; step++) {
      const features = mean(gelu(conv2d(images, filters, { padding: 1 })), { dim: [2, 3] });
      const loss = crossEntropy(matmul(layerNorm(features, [4]), weight), labels);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      losses.push(await loss.item());
    }
    return losses;
  }`;

/** A user's bundler: what it makes of a module beside the library, small. */
async function bundled(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["gpu.js"],
    write: false,
  });
  return outputFiles[0].text;
}

const kilobytes = (text: string): number => gzipSync(text, { level: 9 }).length / 1000;
const load = (name: string, text: string): Promise<Record<string, unknown>> => {
  const file = join(folder, name);
  writeFileSync(file, text);
  return import(/* @vite-ignore */ pathToFileURL(file).href);
};

/** Engine, autograd and one backend, with a single operation. */
const sum = (backend: string) => `
  import { ${backend}, add, device, registerBackend, setDefaultDevice, tensor } from "./crabro.js";
  export async function step(values) {
    registerBackend("mine", (options) => ${backend}(options));
    setDefaultDevice(await device("mine"));
    const x = tensor(values, { requiresGrad: true });
    add(x, 1).backward();
    return x.grad.data();
  }`;

/** Gradients of a loss on one batch: engine, autograd and one backend, with the operations of a small network, written as functions. */
const gradients = (backend: string) => `
  import { ${backend}, conv2d, crossEntropy, device, layerNorm, matmul, registerBackend, reshape, setDefaultDevice, tensor } from "./crabro.js";
  export async function step(images, labels, filters, weight) {
    registerBackend("mine", (options) => ${backend}(options));
    setDefaultDevice(await device("mine"));
    const kernel = tensor(filters, { requiresGrad: true });
    const features = layerNorm(reshape(conv2d(tensor(images), kernel), [8, -1]), [64]);
    crossEntropy(matmul(features, tensor(weight)), tensor(labels, { dtype: "int32" })).backward();
    return kernel.grad.data();
  }`;

describe("engine, autograd and one backend", () => {
  // At most 60 kB for all but wasm, whose compiler, memory and threads take more; it has a budget that keeps it from growing unseen.
  it.each([
    ["createCpuBackend", 51, 57, 59],
    ["createGpujsBackend", 52, 58, 60],
    ["createWebgpuBackend", 60, 66, 68],
    ["createWasmBackend", 78, 84, 86],
  ])("with %s take less than %i kB, gzipped, with a small network %i, and with an optimizer %i", async (backend, ...budgets) => {
    for (const [i, source] of [sum, gradients, app].entries()) {
      expect(kilobytes(await bundled(source(backend)))).toBeLessThan(budgets[i]);
    }
  });

  it("of which nothing is missing: they train as the sources do", async () => {
    const small = (await load("small.mjs", await bundled(app("createCpuBackend")))) as { train(): Promise<number[]> };
    writeFileSync(join(folder, "whole.mjs"), app("createCpuBackend").replace("./crabro.js", pathToFileURL(resolve("browser.ts")).href));
    const whole = (await import(/* @vite-ignore */ pathToFileURL(join(folder, "whole.mjs")).href)) as typeof small;
    const losses = await small.train();
    expect(losses[11]).toBeLessThan(0.9 * losses[0]);
    expect(losses).toEqual(await whole.train());
  });
});

describe("the module", () => {
  it("has every function of the engine, layers and models, and methods when they are asked for", async () => {
    const library = await load("all.mjs", await bundled('export * from "./crabro.js"'));
    const sources = await import("../../browser.js");
    expect(Object.keys(library).sort()).toEqual(Object.keys(sources).sort());
    const code = await bundled(`
      import * as crabro from "./crabro.js";
      export async function sizes() {
        crabro.registerBackend("cpu", crabro.createCpuBackend, crabro.createCpuBackend);
        const before = typeof crabro.Tensor.prototype.sum;
        crabro.installMethods();
        const net = crabro.createModel("hornet_tiny_7x7", { meta: true });
        return [before, await crabro.tensor([1, 2]).sum().item(), net.namedParameters !== undefined, net.constructor.name.length > 0];
      }`);
    const { sizes } = (await load("sizes.mjs", code)) as { sizes(): Promise<unknown[]> };
    expect(await sizes()).toEqual(["undefined", 3, true, true]);
  });

  it("trains a module of one's own by loader, step and schedule, and evaluates it", async () => {
    const code = await bundled(`
      import * as crabro from "./crabro.js";
      const { DataLoader, Module, SGD, cosine, evaluation, nn, plainTransform, synthetic, trainEpoch, trainingStep } = crabro;
      class Net extends Module {
        head = new nn.Linear(256, 4);
        forward(x) { return this.head.forward(x.flatten({ startDim: 1 })); }
      }
      export async function learned() {
        crabro.registerBackend("cpu", crabro.createCpuBackend, crabro.createCpuBackend);
        const data = synthetic({ length: 64, side: 16, numClasses: 4 });
        const loader = new DataLoader(data, { batchSize: 16, transform: plainTransform(data), shuffle: true });
        const net = new Net();
        const optimizer = new SGD([...net.parameters()], { lr: 0.1 });
        const before = await evaluation(net)(loader);
        const schedule = cosine({ lr: 0.1, totalSteps: 8 });
        for (const epoch of [0, 1]) await trainEpoch(trainingStep(net, optimizer), loader, { epoch, schedule, optimizer });
        return [before.loss, await evaluation(net)(loader)];
      }`);
    const { learned } = (await load("train.mjs", code)) as { learned(): Promise<[number, { loss: number; top1: number }]> };
    const [before, after] = await learned();
    expect(after.loss).toBeLessThan(0.5 * before);
    expect(after.top1).toBeGreaterThan(90);
  });

  it("says what it leaves out where it is asked for it", async () => {
    const code = await bundled(`
      import { createCpuBackend, device, registerBackend } from "./crabro.js";
      export const open = () => (registerBackend("mine", createCpuBackend), device("mine", { verify: true }));`);
    const { open } = (await load("verify.mjs", code)) as { open(): Promise<unknown> };
    await expect(open()).rejects.toThrow("provideVerifier(verifyKernel)");
  });

  it("is nothing but the gradient's method where nothing is used of it", async () => {
    const empty = await bundled('import "./crabro.js"');
    expect(empty.length).toBeLessThan(0.1 * (await bundled('export * from "./crabro.js"')).length);
  });
});

describe("the build", () => {
  it("leaves the notes of operations out, and nothing else", () => {
    const source = 'const op = defineOp({ name: "a", doc: "it does `x`", samples: [{ shapes: [[2]] }], lower: { reference: f(1) } });';
    expect(stripNotes(source)).toBe('const op = defineOp({ name: "a", doc: "", samples: [], lower: { reference: "" } });');
  });

  it("marks computed first values, keeps names of classes, and leaves plain ones as they are", () => {
    const plain = "var a = { b: [1, -2, null], c: () => f(), d() {} };\nfunction f() {}\nvar g = class { x = f(); };\n";
    expect(withPureValues(plain)).toBe(plain);
    expect(withPureValues("var a = f(1);")).toBe("var a = /* @__PURE__ */ (() => (f(1)))();");
    expect(withPureValues("var A = class extends B {};")).toBe(
      "var A = /* @__PURE__ */ (() => { var A = class extends B {}; return A; })();",
    );
    expect(withPureValues("var a = { ...b };")).toContain("@__PURE__");
  });
});

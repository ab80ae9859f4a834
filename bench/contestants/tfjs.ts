/** TensorFlow.js: `tfjs.ts wasm|cpu|webgpu THREADS`. Its images are [N, H, W, C]. */
import { existsSync, mkdtempSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as Core from "@tensorflow/tfjs-core";
import type { Tensor, Tensor2D, Tensor4D } from "@tensorflow/tfjs-core";
import type { TypedArray } from "../../index.js";
import { type Contestant, type Loaded, serve } from "../contestant.js";
import { fill, numel, type ParameterSpec, valuesOf } from "../inputs.js";
import { type HornetConfig, outputShape, type Shape, type Task, type Work } from "../workloads.js";
import { provideGpu } from "./browser.js";

const [backend] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const packageFile = (name: string): string => require.resolve(`@tensorflow/${name}/package.json`);
const { version } = require(packageFile("tfjs-core")) as { version: string };

type Library = typeof Core & { setWasmPaths?: (folder: string) => void };

/** Gradients come as modules that Node cannot import one by one: core, gradients and one backend in one file, made once. */
async function library(): Promise<Library> {
  const file = join(tmpdir(), `crabro-bench-tfjs-${backend}-${version}-${process.getuid?.() ?? 0}.cjs`);
  if (!existsSync(file)) {
    const { build } = await import("esbuild");
    const contents = [
      'export * from "@tensorflow/tfjs-core";',
      'import "@tensorflow/tfjs-core/dist/register_all_gradients";',
      `export * from "@tensorflow/tfjs-backend-${backend}";`,
    ].join("\n");
    // Under another name first: several processes may do this at once.
    const draft = join(mkdtempSync(`${file}-`), "bundle.cjs");
    await build({
      stdin: { contents, resolveDir: dirname(fileURLToPath(import.meta.url)) },
      bundle: true,
      platform: "node",
      format: "cjs",
      mainFields: ["module", "main"],
      outfile: draft,
      logLevel: "error",
    });
    renameSync(draft, file);
  }
  return require(file) as Library;
}

let adapter = "one thread, as its threads need a browser";
if (backend === "webgpu") {
  adapter = await provideGpu();
  Object.assign(globalThis, { window: globalThis, self: globalThis });
}
const tf = await library();

function permuted(data: Float32Array, shape: Shape, order: readonly number[]): Float32Array {
  const strides = shape.map((_, i) => numel(shape.slice(i + 1)));
  const [a, b, c, d] = order.map((dim) => shape[dim]);
  const [sa, sb, sc, sd] = order.map((dim) => strides[dim]);
  const out = new Float32Array(data.length);
  let at = 0;
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++) for (let k = 0; k < c; k++) for (let l = 0; l < d; l++) out[at++] = data[i * sa + j * sb + k * sc + l * sd];
  return out;
}

const filled = (seed: number, shape: Shape, scale = 1): Tensor => tf.tensor(fill(seed, numel(shape), scale), [...shape]);
const rearranged = (data: Float32Array, shape: Shape, order: readonly number[]): Tensor =>
  tf.tensor(
    permuted(data, shape, order),
    order.map((dim) => shape[dim]),
  );
/** [N, C, H, W] → [N, H, W, C]. */
const images = (seed: number, shape: Shape): Tensor => rearranged(fill(seed, numel(shape)), shape, [0, 2, 3, 1]);
/** [O, I, H, W] → [H, W, I, O], and [C, 1, H, W] → [H, W, C, 1]. */
const kernel = (data: Float32Array, shape: Shape, depthwise: boolean): Tensor =>
  rearranged(data, shape, depthwise ? [2, 3, 0, 1] : [2, 3, 1, 0]);

const gelu = (x: Tensor): Tensor => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));

function norm(x: Tensor, weight: Tensor, bias: Tensor, axis: number): Tensor {
  const centred = tf.sub(x, tf.mean(x, axis, true));
  const variance = tf.mean(tf.square(centred), axis, true);
  const shape = axis === 1 ? [-1, 1, 1] : [-1];
  return tf.add(tf.mul(tf.div(centred, tf.sqrt(tf.add(variance, 1e-6))), tf.reshape(weight, shape)), tf.reshape(bias, shape));
}

type Parameters = Record<string, Tensor>;

const conv = (x: Tensor, w: Tensor, b: Tensor, stride = 1): Tensor => tf.add(tf.conv2d(x as Tensor4D, w as Tensor4D, stride, "valid"), b);
const depthwise = (x: Tensor, w: Tensor): Tensor => tf.depthwiseConv2d(x as Tensor4D, w as Tensor4D, 1, "same");

function linear(x: Tensor, w: Tensor, b: Tensor): Tensor {
  const rows = tf.reshape(x, [-1, x.shape[x.rank - 1]]) as Tensor2D;
  return tf.reshape(tf.add(tf.matMul(rows, w as Tensor2D, false, true), b), [...x.shape.slice(0, -1), w.shape[0]]);
}

function gnconv(p: Parameters, path: string, x: Tensor, order: number): Tensor {
  const dim = x.shape[3] as number;
  const dims = Array.from({ length: order }, (_, k) => dim / 2 ** (order - 1 - k));
  const inner = dims.reduce((a, b) => a + b);
  const [gate, spatial] = tf.split(conv(x, p[`${path}proj_in.weight`], p[`${path}proj_in.bias`]), [dims[0], inner], 3);
  const windows = tf.mul(tf.add(depthwise(spatial, p[`${path}dwconv.weight`]), p[`${path}dwconv.bias`]), 1 / 3);
  const q = tf.split(windows, dims, 3);
  let y = tf.mul(gate, q[0]);
  for (let k = 0; k < order - 1; k++) y = tf.mul(conv(y, p[`${path}pws.${k}.weight`], p[`${path}pws.${k}.bias`]), q[k + 1]);
  return conv(y, p[`${path}proj_out.weight`], p[`${path}proj_out.bias`]);
}

function block(p: Parameters, path: string, x: Tensor, order: number): Tensor {
  const mixed = gnconv(p, `${path}gnconv.`, norm(x, p[`${path}norm1.weight`], p[`${path}norm1.bias`], -1), order);
  x = tf.add(x, tf.mul(mixed, p[`${path}gamma1`]));
  let z = norm(x, p[`${path}norm2.weight`], p[`${path}norm2.bias`], -1);
  z = gelu(linear(z, p[`${path}pwconv1.weight`], p[`${path}pwconv1.bias`]));
  z = linear(z, p[`${path}pwconv2.weight`], p[`${path}pwconv2.bias`]);
  return tf.add(x, tf.mul(z, p[`${path}gamma2`]));
}

function hornet(p: Parameters, x: Tensor, { depths, orders }: HornetConfig): Tensor {
  depths.forEach((depth, i) => {
    const at = (name: string): Tensor => p[`downsample_layers.${i}.${name}`];
    x =
      i === 0
        ? norm(conv(x, at("0.weight"), at("0.bias"), 4), at("1.weight"), at("1.bias"), -1)
        : conv(norm(x, at("0.weight"), at("0.bias"), -1), at("1.weight"), at("1.bias"), 2);
    for (let j = 0; j < depth; j++) x = block(p, `stages.${i}.${j}.`, x, orders[i]);
  });
  return linear(norm(tf.mean(x, [1, 2]), p["norm.weight"], p["norm.bias"], -1), p["head.weight"], p["head.bias"]);
}

interface Program {
  readonly forward: (parameters: Parameters, ...inputs: Tensor[]) => Tensor;
  readonly inputs: Tensor[];
  readonly parameters: Parameters;
  /** Of [N, C, H, W], and [N, H, W, C] here. */
  readonly imagesOut?: boolean;
}

const load = (specs: readonly ParameterSpec[]): Parameters =>
  Object.fromEntries(
    specs.map((spec) => {
      const data = valuesOf(spec);
      const value = spec.shape.length === 4 ? kernel(data, spec.shape, spec.name.includes("dwconv")) : tf.tensor(data, [...spec.shape]);
      return [spec.name, value];
    }),
  );

function program(work: Work): Program {
  const plain = (forward: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Program => ({
    forward: (_, ...given) => forward(...given),
    inputs,
    parameters: {},
  });
  switch (work.kind) {
    case "matmul":
      return plain((a, b) => tf.matMul(a as Tensor2D, b as Tensor2D), filled(1, [work.n, work.n]), filled(2, [work.n, work.n]));
    case "conv": {
      const { x, w, stride, padding, groups } = work;
      const sides = padding > 0 ? "same" : "valid";
      const weight = kernel(fill(2, numel(w), numel(w.slice(1)) ** -0.5), w, groups > 1);
      const dense = (a: Tensor, b: Tensor): Tensor => tf.conv2d(a as Tensor4D, b as Tensor4D, stride, sides);
      return { ...plain(groups > 1 ? depthwise : dense, images(1, x), weight), imagesOut: true };
    }
    case "norm-channels":
    case "norm-last": {
      const axis = work.kind === "norm-last" ? -1 : 1;
      return plain((x, w, b) => norm(x, w, b, axis), filled(1, work.x), filled(2, [work.x[1]]), filled(3, [work.x[1]]));
    }
    case "gelu":
      return plain(gelu, filled(1, work.x, 3));
    case "chain":
      return plain((x) => tf.mul(tf.relu(tf.add(tf.mul(x, 2), 1)), x), filled(1, work.x));
    case "softmax":
      return plain((x) => tf.softmax(x, -1), filled(1, work.x, 3));
    case "mean":
      return plain((x) => tf.mean(x, [2, 3]), filled(1, work.x));
    case "attention": {
      const scale = work.x[3] ** -0.5;
      const attend = (q: Tensor, k: Tensor, v: Tensor): Tensor => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), scale), -1), v);
      return plain(attend, filled(1, work.x), filled(2, work.x), filled(3, work.x));
    }
    case "fourier": {
      const [, channels, height, width] = work.x;
      const bins = [channels, height, (width >> 1) + 1];
      const turned = (z: Tensor): Tensor => tf.transpose(z, [0, 1, 3, 2]);
      const filter = (x: Tensor, re: Tensor, im: Tensor): Tensor => {
        const spectrum = turned(tf.spectral.fft(turned(tf.spectral.rfft(x))));
        return tf.spectral.irfft(turned(tf.spectral.ifft(turned(tf.mul(spectrum, tf.complex(re, im))))));
      };
      return plain(filter, filled(1, work.x), filled(2, bins), filled(3, bins));
    }
    case "gnconv":
    case "block": {
      const part = work.kind === "gnconv" ? gnconv : block;
      const parameters = load(work.parameters);
      return { forward: (p, x) => part(p, "", x, work.order), inputs: [images(7, work.x)], parameters, imagesOut: true };
    }
    case "hornet":
      return { forward: (p, x) => hornet(p, x, work.config), inputs: [images(7, work.x)], parameters: load(work.parameters) };
    case "adamw":
      throw new Error("has no forward pass");
  }
}

/** Frees results; on a GPU only after one element was read, which waits for everything before. */
async function finish(results: Tensor[]): Promise<void> {
  if (backend === "webgpu") {
    const probe = tf.tidy(() => tf.slice(tf.reshape(results[0], [-1]), 0, 1));
    await probe.data();
    probe.dispose();
  }
  tf.dispose(results);
}

async function read(tensors: readonly Tensor[]): Promise<TypedArray[]> {
  const found: TypedArray[] = [];
  for (const tensor of tensors) found.push((await tensor.data()) as TypedArray);
  tf.dispose([...tensors]);
  return found;
}

function forward(work: Work): Loaded {
  const { forward: compute, inputs, parameters } = program(work);
  const once = (): Tensor[] => [tf.tidy(() => compute(parameters, ...inputs))];
  return { run: () => finish(once()), outputs: () => read(once()), dispose: () => tf.dispose([...inputs, parameters]) };
}

function gradients(work: Work): Loaded {
  const { forward: compute, inputs, parameters, imagesOut } = program(work);
  const shape = outputShape(work);
  const gradient = imagesOut ? images(9, shape) : filled(9, shape);
  const names = Object.keys(parameters);
  const wanted = [...inputs, ...names.map((name) => parameters[name])];
  const both = tf.valueAndGrads((...given: Tensor[]) => {
    const values = Object.fromEntries(names.map((name, i) => [name, given[inputs.length + i]]));
    return compute(values, ...given.slice(0, inputs.length));
  });
  const once = (): Tensor[] => {
    const { value, grads } = both(wanted, gradient);
    return [...grads, value];
  };
  return {
    run: () => finish(once()),
    outputs: async () => (await read(once())).slice(0, inputs.length),
    dispose: () => tf.dispose([...inputs, gradient, parameters]),
  };
}

const [rate, decay, beta1, beta2] = [1e-3, 0.05, 0.9, 0.999];
type State = [p: Tensor, m: Tensor, v: Tensor];

/** Composed, as the library has no AdamW of its own. */
function adamw([p, m, v]: State, g: Tensor, t: number): State {
  return tf.tidy(() => {
    m = tf.add(tf.mul(m, beta1), tf.mul(g, 1 - beta1));
    v = tf.add(tf.mul(v, beta2), tf.mul(tf.square(g), 1 - beta2));
    const spread = tf.add(tf.mul(tf.sqrt(v), 1 / Math.sqrt(1 - beta2 ** t)), 1e-8);
    const change = tf.mul(tf.div(m, spread), rate / (1 - beta1 ** t));
    return [tf.sub(tf.mul(p, 1 - rate * decay), change), m, v];
  });
}

function update(n: number): Loaded {
  let state: State = [filled(1, [n]), tf.zeros([n]), tf.zeros([n])];
  const gradient = filled(2, [n]);
  let t = 0;
  const run = async (): Promise<void> => {
    const next = adamw(state, gradient, ++t);
    tf.dispose(state);
    state = next;
    if (backend === "webgpu") await finish([tf.clone(state[0])]);
  };
  return {
    run,
    outputs: async () => {
      await run();
      return read([tf.clone(state[0])]);
    },
    dispose: () => tf.dispose([...state, gradient]),
  };
}

function trainingStep(work: Work & { readonly kind: "hornet" }): Loaded {
  const { forward: compute, inputs, parameters } = program(work);
  const { classes } = work.config;
  const count = work.x[0];
  const labels = tf.tensor1d(
    Array.from({ length: count }, (_, i) => (i * 7 + 3) % classes),
    "int32",
  );
  const target = tf.cast(tf.oneHot(labels, classes), "float32");
  const names = Object.keys(parameters);
  const lossOf = (x: Tensor, ...given: Tensor[]): Tensor => {
    const logits = compute(Object.fromEntries(names.map((name, i) => [name, given[i]])), x);
    return tf.mul(tf.sum(tf.mul(tf.logSoftmax(logits, -1), target)), -1 / count);
  };
  const both = tf.valueAndGrads(lossOf);
  let states = names.map((name): State => [parameters[name], tf.zerosLike(parameters[name]), tf.zerosLike(parameters[name])]);
  let t = 0;
  const loss = async (): Promise<number> => {
    t++;
    const { value, grads } = both([inputs[0], ...states.map(([p]) => p)]);
    states = states.map((state, i) => {
      const next = adamw(state, grads[i + 1], t);
      tf.dispose(state);
      return next;
    });
    tf.dispose(grads);
    return (await read([value]))[0][0];
  };
  return { run: loss, loss, outputs: async () => [], dispose: () => tf.dispose([...states.flat(), ...inputs, labels, target]) };
}

await serve(async (): Promise<Contestant> => {
  if (backend === "wasm") {
    tf.setWasmPaths?.(`${dirname(packageFile("tfjs-backend-wasm"))}/dist/`);
    tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  }
  if (!(await tf.setBackend(backend))) throw new Error("the backend does not start");
  await tf.ready();
  return {
    describe: () => `TensorFlow.js ${version} ${backend}, ${adapter}`,
    load: ({ work, direction }: Task) => {
      if (work.kind === "adamw") return update(work.n);
      if (direction === "step" && work.kind === "hornet") return trainingStep(work);
      return direction === "fwd" ? forward(work) : gradients(work);
    },
  };
});

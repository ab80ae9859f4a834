/** jax-js: `jax.ts wasm|webgpu THREADS`. Its arrays are consumed by what they are given to; `.ref` keeps one. */
import { createRequire } from "node:module";
import type { Array as Value } from "@jax-js/jax";
import type { TypedArray } from "../../index.js";
import { type Contestant, type Loaded, serve } from "../contestant.js";
import { fill, numel, type ParameterSpec, valuesOf } from "../inputs.js";
import { type HornetConfig, outputShape, type Shape, type Task, type Work } from "../workloads.js";
import { provideGpu, provideWorkers } from "./browser.js";

const [backend, threads] = process.argv.slice(2);
const adapter = backend === "webgpu" ? await provideGpu() : null;
if (backend === "wasm" && Number(threads) > 1) provideWorkers(Number(threads));
const jax = await import("@jax-js/jax");
const { numpy: np, lax, nn, tree } = jax;

type Parameters = Record<string, Value>;
type Forward = (parameters: Parameters, ...inputs: Value[]) => Value;

const array = (data: Float32Array, shape: Shape): Value => np.array(data as Float32Array<ArrayBuffer>).reshape([...shape]);
const filled = (seed: number, shape: Shape, scale = 1): Value => array(fill(seed, numel(shape), scale), shape);
const perChannel = (v: Value): Value => v.reshape([1, v.shape[0], 1, 1]);

function norm(x: Value, axis: number, weight: Value, bias: Value): Value {
  const centred = x.ref.sub(np.mean(x, axis, { keepdims: true }));
  const variance = np.mean(np.square(centred.ref), axis, { keepdims: true });
  return centred
    .div(np.sqrt(variance.add(1e-6)))
    .mul(weight)
    .add(bias);
}
const normChannels = (x: Value, weight: Value, bias: Value): Value => norm(x, 1, perChannel(weight), perChannel(bias));
const normLast = (x: Value, weight: Value, bias: Value): Value => norm(x, -1, weight, bias);

function conv(x: Value, w: Value, stride: number, padding: number, groups: number): Value {
  const sides: [number, number][] = [
    [padding, padding],
    [padding, padding],
  ];
  return lax.convGeneralDilated(x, w, [stride, stride], sides, { featureGroupCount: groups });
}
const convBias = (x: Value, w: Value, b: Value, stride = 1): Value => conv(x, w, stride, 0, 1).add(perChannel(b));
const linear = (x: Value, w: Value, b: Value): Value => np.matmul(x, w.transpose()).add(b);

function split(x: Value, sizes: readonly number[]): Value[] {
  let at = 0;
  return np.split(
    x,
    sizes.slice(0, -1).map((size) => (at += size)),
    1,
  );
}

function gnconv(p: Parameters, path: string, x: Value, order: number): Value {
  const dim = x.shape[1];
  const dims = Array.from({ length: order }, (_, k) => dim / 2 ** (order - 1 - k));
  const inner = dims.reduce((a, b) => a + b);
  const [gate, spatial] = split(convBias(x, p[`${path}proj_in.weight`], p[`${path}proj_in.bias`]), [dims[0], inner]);
  const windows = conv(spatial, p[`${path}dwconv.weight`], 1, 3, inner).add(perChannel(p[`${path}dwconv.bias`]));
  const q = split(windows.mul(1 / 3), dims);
  let y = gate.mul(q[0]);
  for (let k = 0; k < order - 1; k++) y = convBias(y, p[`${path}pws.${k}.weight`], p[`${path}pws.${k}.bias`]).mul(q[k + 1]);
  return convBias(y, p[`${path}proj_out.weight`], p[`${path}proj_out.bias`]);
}

function block(p: Parameters, path: string, x: Value, order: number): Value {
  const mixed = gnconv(p, `${path}gnconv.`, normChannels(x.ref, p[`${path}norm1.weight`], p[`${path}norm1.bias`]), order);
  x = x.add(mixed.mul(perChannel(p[`${path}gamma1`])));
  let z = normLast(x.ref.transpose([0, 2, 3, 1]), p[`${path}norm2.weight`], p[`${path}norm2.bias`]);
  z = nn.gelu(linear(z, p[`${path}pwconv1.weight`], p[`${path}pwconv1.bias`]), { approximate: false });
  z = linear(z, p[`${path}pwconv2.weight`], p[`${path}pwconv2.bias`]);
  return x.add(z.mul(p[`${path}gamma2`]).transpose([0, 3, 1, 2]));
}

function hornet(p: Parameters, x: Value, { depths, orders }: HornetConfig): Value {
  depths.forEach((depth, i) => {
    const at = (name: string): Value => p[`downsample_layers.${i}.${name}`];
    x =
      i === 0
        ? normChannels(convBias(x, at("0.weight"), at("0.bias"), 4), at("1.weight"), at("1.bias"))
        : convBias(normChannels(x, at("0.weight"), at("0.bias")), at("1.weight"), at("1.bias"), 2);
    for (let j = 0; j < depth; j++) x = block(p, `stages.${i}.${j}.`, x, orders[i]);
  });
  return linear(normLast(np.mean(x, [2, 3]), p["norm.weight"], p["norm.bias"]), p["head.weight"], p["head.bias"]);
}

interface Program {
  readonly forward: Forward;
  readonly inputs: Value[];
  readonly parameters: Parameters;
}

const load = (specs: readonly ParameterSpec[]): Parameters =>
  Object.fromEntries(specs.map((spec) => [spec.name, array(valuesOf(spec), spec.shape)]));

function program(work: Work): Program {
  const plain = (forward: (...inputs: Value[]) => Value, ...inputs: Value[]): Program => ({
    forward: (_, ...given) => forward(...given),
    inputs,
    parameters: {},
  });
  switch (work.kind) {
    case "matmul":
      return plain((a, b) => np.matmul(a, b), filled(1, [work.n, work.n]), filled(2, [work.n, work.n]));
    case "conv": {
      const { x, w, stride, padding, groups } = work;
      return plain((a, b) => conv(a, b, stride, padding, groups), filled(1, x), filled(2, w, numel(w.slice(1)) ** -0.5));
    }
    case "norm-channels":
      return plain(normChannels, filled(1, work.x), filled(2, [work.x[1]]), filled(3, [work.x[1]]));
    case "norm-last":
      return plain(normLast, filled(1, work.x), filled(2, [work.x[1]]), filled(3, [work.x[1]]));
    case "gelu":
      return plain((x) => nn.gelu(x, { approximate: false }), filled(1, work.x, 3));
    case "chain":
      return plain((x) => nn.relu(x.ref.mul(2).add(1)).mul(x), filled(1, work.x));
    case "softmax":
      return plain((x) => nn.softmax(x, -1), filled(1, work.x, 3));
    case "mean":
      return plain((x) => np.mean(x, [2, 3]), filled(1, work.x));
    case "attention": {
      const scale = work.x[3] ** -0.5;
      const attend = (q: Value, k: Value, v: Value): Value =>
        np.matmul(nn.softmax(np.matmul(q, k.transpose([0, 1, 3, 2])).mul(scale), -1), v);
      return plain(attend, filled(1, work.x), filled(2, work.x), filled(3, work.x));
    }
    case "fourier": {
      const [, channels, height, width] = work.x;
      const bins = [channels, height, (width >> 1) + 1];
      const filter = (x: Value, re: Value, im: Value): Value => {
        const { real, imag } = np.fft.rfft2(x);
        const left = real.ref.mul(re.ref).sub(imag.ref.mul(im.ref));
        return np.fft.irfft2({ real: left, imag: real.mul(im).add(imag.mul(re)) });
      };
      return plain(filter, filled(1, work.x), filled(2, bins), filled(3, bins));
    }
    case "gnconv":
      return { forward: (p, x) => gnconv(p, "", x, work.order), inputs: [filled(7, work.x)], parameters: load(work.parameters) };
    case "block":
      return { forward: (p, x) => block(p, "", x, work.order), inputs: [filled(7, work.x)], parameters: load(work.parameters) };
    case "hornet":
      return { forward: (p, x) => hornet(p, x, work.config), inputs: [filled(7, work.x)], parameters: load(work.parameters) };
    case "adamw":
      throw new Error("has no forward pass");
  }
}

type Tree = Parameters[string] | Value[] | Parameters | (Value | Value[] | Parameters)[];

async function finish(result: Tree): Promise<void> {
  await jax.blockUntilReady(result);
  tree.dispose(result);
}

async function read(values: readonly Value[]): Promise<TypedArray[]> {
  const found: TypedArray[] = [];
  for (const value of values) found.push((await value.data()) as TypedArray);
  return found;
}

/**
 * Compiled functions lose to single operations where windows overlap: jit puts what precedes a convolution into its inner loop. Each
 * workload runs the way that was found to be the faster one.
 */
function compiles({ work, direction }: Task): boolean {
  if (work.kind === "conv") return work.w[2] === 1 || work.stride > 1;
  if (work.kind === "attention") return false;
  return !((work.kind === "gnconv" || work.kind === "block") && direction === "fwd");
}

function forward(task: Task): Loaded {
  const { forward: compute, inputs, parameters } = program(task.work);
  const fn = compiles(task) ? jax.jit(compute) : compute;
  const once = (): Value => fn(tree.ref(parameters), ...inputs.map((x) => x.ref)) as Value;
  return { run: () => finish(once()), outputs: () => read([once()]), dispose: () => tree.dispose([parameters, ...inputs]) };
}

function gradients(task: Task): Loaded {
  const { forward: compute, inputs, parameters } = program(task.work);
  const gradient = filled(9, outputShape(task.work));
  const both = (p: Parameters, g: Value, ...given: Value[]): [Parameters, Value, ...Value[]] => {
    const [y, pull] = jax.vjp(compute, [p, ...given]);
    const [ofParameters, ...ofInputs] = pull(g) as unknown as [Parameters, ...Value[]];
    pull.dispose();
    return [ofParameters, y as Value, ...ofInputs];
  };
  const fn = (compiles(task) ? jax.jit(both as never) : both) as unknown as typeof both;
  const once = (): [Parameters, Value, ...Value[]] => fn(tree.ref(parameters), gradient.ref, ...inputs.map((x) => x.ref));
  return {
    run: () => finish(once()),
    outputs: async () => {
      const [ofParameters, y, ...ofInputs] = once();
      tree.dispose([ofParameters, y]);
      return read(ofInputs);
    },
    dispose: () => tree.dispose([parameters, gradient, ...inputs]),
  };
}

const [rate, decay, beta1, beta2] = [1e-3, 0.05, 0.9, 0.999];
const corrections = (t: number): [Value, Value] => [np.array(rate / (1 - beta1 ** t)), np.array(1 / Math.sqrt(1 - beta2 ** t))];

function adamw(p: Value, g: Value, m: Value, v: Value, size: Value, correction: Value): [Value, Value, Value] {
  m = m.mul(beta1).add(g.ref.mul(1 - beta1));
  v = v.mul(beta2).add(np.square(g).mul(1 - beta2));
  const change = m.ref.div(np.sqrt(v.ref).mul(correction).add(1e-8)).mul(size);
  return [p.mul(1 - rate * decay).sub(change), m, v];
}

function update(n: number): Loaded {
  const fn = jax.jit(adamw);
  const gradient = filled(2, [n]);
  let state: [Value, Value, Value] = [filled(1, [n]), np.zeros([n]), np.zeros([n])];
  let t = 0;
  const run = async (): Promise<void> => {
    const [p, m, v] = state;
    state = fn(p, gradient.ref, m, v, ...corrections(++t));
    await jax.blockUntilReady(state);
  };
  return {
    run,
    outputs: async () => {
      await run();
      return read([state[0].ref]);
    },
    dispose: () => tree.dispose([...state, gradient]),
  };
}

function trainingStep(work: Work & { readonly kind: "hornet" }): Loaded {
  const { forward: compute, inputs, parameters } = program(work);
  const { classes } = work.config;
  const images = work.x[0];
  const target = new Float32Array(images * classes);
  for (let i = 0; i < images; i++) target[i * classes + ((i * 7 + 3) % classes)] = 1;
  const labels = array(target, [images, classes]);
  const names = Object.keys(parameters);
  const zeros = (): Parameters => Object.fromEntries(work.parameters.map(({ name, shape }) => [name, np.zeros([...shape])]));
  const lossOf = (p: Parameters, x: Value, y: Value): Value => np.sum(nn.logSoftmax(compute(p, x), -1).mul(y)).mul(-1 / images);
  const differentiate = jax.valueAndGrad(lossOf) as unknown as (p: Parameters, x: Value, y: Value) => [Value, Parameters];
  type State = [p: Parameters, m: Parameters, v: Parameters];
  const step = (p: Parameters, m: Parameters, v: Parameters, x: Value, y: Value, size: Value, correction: Value): [Value, ...State] => {
    const [loss, g] = differentiate(tree.ref(p), x, y);
    const next: State = [{}, {}, {}];
    for (const name of names) {
      [next[0][name], next[1][name], next[2][name]] = adamw(p[name], g[name], m[name], v[name], size.ref, correction.ref);
    }
    size.dispose();
    correction.dispose();
    return [loss, ...next];
  };
  const fn = jax.jit(step as never) as unknown as typeof step;
  let state: State = [parameters, zeros(), zeros()];
  let t = 0;
  const loss = async (): Promise<number> => {
    const [value, ...next] = fn(...state, inputs[0].ref, labels.ref, ...corrections(++t));
    state = next;
    await jax.blockUntilReady(state[0]);
    return ((await value.data()) as TypedArray)[0];
  };
  return { run: loss, loss, outputs: async () => [], dispose: () => tree.dispose([...state, ...inputs, labels]) };
}

await serve(async (): Promise<Contestant> => {
  await jax.init(backend as "wasm" | "webgpu");
  jax.defaultDevice(backend as "wasm" | "webgpu");
  const { version } = createRequire(import.meta.url)("../../node_modules/@jax-js/jax/package.json") as { version: string };
  const where = adapter ?? `at most ${threads} threads`;
  return {
    describe: () => `jax-js ${version} ${backend}, ${where}`,
    load: (task) => {
      if (task.work.kind === "adamw") return update(task.work.n);
      if (task.direction === "step" && task.work.kind === "hornet") return trainingStep(task.work);
      return task.direction === "fwd" ? forward(task) : gradients(task);
    },
  };
});

/** This project on one of its devices: `crabro.ts DEVICE THREADS`. */

import type { Tensor, TypedArray } from "../../index.js";
import * as crabro from "../../index.js";
import { GnConv, HorNet, HorNetBlock, hornetGnConv, type Module, Parameter } from "../../models/index.js";
import { AdamW } from "../../train/index.js";
import { type Contestant, type Work as Launched, type Loaded, serve } from "../contestant.js";
import { fill, numel, type ParameterSpec, valuesOf } from "../inputs.js";
import { outputShape, type Shape, type Task, type Work } from "../workloads.js";

const [name, threads] = process.argv.slice(2);

const filled = (seed: number, shape: Shape, scale = 1): Tensor => crabro.tensor(fill(seed, numel(shape), scale), { shape });

function initialised<M extends Module>(module: M, parameters: readonly ParameterSpec[]): M {
  module.loadStateDict(new Map(parameters.map((spec) => [spec.name, crabro.tensor(valuesOf(spec), { shape: spec.shape })])));
  return module.train();
}

interface Program {
  readonly forward: (...inputs: Tensor[]) => Tensor;
  readonly inputs: readonly Tensor[];
  /** Parameters whose gradients are wanted besides those of the inputs. */
  readonly parameters: readonly Tensor[];
  readonly modules: readonly Module[];
}

function program(work: Work): Program {
  const plain = (forward: Program["forward"], ...inputs: Tensor[]): Program => ({ forward, inputs, parameters: [], modules: [] });
  const ofModule = (module: Module & { forward(x: Tensor): Tensor }, ...inputs: Tensor[]): Program => ({
    forward: (x) => module.forward(x),
    inputs,
    parameters: module.parameters(),
    modules: [module],
  });
  switch (work.kind) {
    case "matmul":
      return plain((a, b) => crabro.matmul(a, b), filled(1, [work.n, work.n]), filled(2, [work.n, work.n]));
    case "conv": {
      const { x, w, stride, padding, groups } = work;
      const weight = filled(2, w, numel(w.slice(1)) ** -0.5);
      return plain((images, kernel) => crabro.conv2d(images, kernel, { stride, padding, groups }), filled(1, x), weight);
    }
    case "norm-channels": {
      const norm = (x: Tensor, weight: Tensor, bias: Tensor): Tensor => {
        const centred = x.sub(x.mean({ dim: 1, keepdim: true }));
        const variance = centred.mul(centred).mean({ dim: 1, keepdim: true });
        const scaled = centred.div(variance.add(1e-6).sqrt());
        return scaled.mul(weight.reshape([-1, 1, 1])).add(bias.reshape([-1, 1, 1]));
      };
      return plain(norm, filled(1, work.x), filled(2, [work.x[1]]), filled(3, [work.x[1]]));
    }
    case "norm-last": {
      const size = work.x[1];
      const norm = (x: Tensor, weight: Tensor, bias: Tensor): Tensor => crabro.layerNorm(x, [size], { weight, bias, eps: 1e-6 });
      return plain(norm, filled(1, work.x), filled(2, [size]), filled(3, [size]));
    }
    case "gelu":
      return plain((x) => crabro.gelu(x), filled(1, work.x, 3));
    case "chain":
      return plain((x) => crabro.relu(x.mul(2).add(1)).mul(x), filled(1, work.x));
    case "softmax":
      return plain((x) => crabro.softmax(x, { dim: -1 }), filled(1, work.x, 3));
    case "mean":
      return plain((x) => x.mean({ dim: [2, 3] }), filled(1, work.x));
    case "attention":
      return plain((q, k, v) => crabro.scaledDotProductAttention(q, k, v), filled(1, work.x), filled(2, work.x), filled(3, work.x));
    case "fourier": {
      const [, channels, height, width] = work.x;
      const bins = [channels, height, (width >> 1) + 1];
      const filter = (x: Tensor, re: Tensor, im: Tensor): Tensor =>
        crabro.irfft2(crabro.mulComplex(crabro.rfft2(x, { norm: "ortho" }), crabro.complex(re, im)), { s: [height, width], norm: "ortho" });
      return plain(filter, filled(1, work.x), filled(2, bins), filled(3, bins));
    }
    case "gnconv":
      return ofModule(initialised(new GnConv(work.x[1], { order: work.order, s: 1 / 3 }), work.parameters), filled(7, work.x));
    case "block":
      return ofModule(
        initialised(new HorNetBlock(work.x[1], { gnconv: { order: work.order, s: 1 / 3 } }), work.parameters),
        filled(7, work.x),
      );
    case "hornet": {
      const { inChans, classes: numClasses, depths, baseDim } = work.config;
      const model = new HorNet({ inChans, numClasses, depths, baseDim, gnconv: hornetGnConv() });
      return ofModule(initialised(model, work.parameters), filled(7, work.x));
    }
    case "adamw":
      return plain((x) => x, filled(1, [work.n]));
  }
}

/** Waits until a tensor of a compiled call is there: reads one element of it. */
async function done(tensor: Tensor): Promise<void> {
  const value = tensor.node.value;
  if (value?.kind === "device") await tensor.device.backend.download(value.storage.buffer, 1);
}

function forward(work: Work): Loaded {
  const { forward: compute, inputs, modules } = program(work);
  const compiled = crabro.compile(() => crabro.noGrad(() => compute(...inputs)));
  return {
    run: async () => done(await compiled()),
    outputs: async () => [await (await compiled()).data()],
    dispose: () => discard([...inputs, ...modules]),
  };
}

function gradients(work: Work): Loaded {
  const { forward: compute, inputs, parameters, modules } = program(work);
  for (const input of inputs) input.requiresGrad_();
  const gradient = filled(9, outputShape(work));
  const wanted = [...inputs, ...parameters];
  const compiled = crabro.compile(() => {
    for (const tensor of wanted) tensor.grad = null;
    const y = compute(...inputs);
    y.backward({ gradient });
    return [...wanted.map((tensor) => tensor.grad as Tensor), y.detach()];
  });
  return {
    run: async () => done((await compiled())[0]),
    outputs: async () => {
      const found = (await compiled()).slice(0, inputs.length);
      return Promise.all(found.map((tensor): Promise<TypedArray> => tensor.data()));
    },
    dispose: () => discard([...inputs, gradient, ...modules]),
  };
}

/** One update of one large parameter. */
function update(work: Work & { readonly kind: "adamw" }): Loaded {
  const parameter = new Parameter(filled(1, [work.n]));
  const gradient = filled(2, [work.n]);
  const optimizer = new AdamW([parameter], { lr: 1e-3, weightDecay: 0.05 });
  const compiled = crabro.compile(() => {
    parameter.grad = gradient;
    optimizer.step();
    return [];
  });
  return {
    run: async () => {
      await compiled();
      await done(parameter);
    },
    outputs: async () => {
      await compiled();
      return [await parameter.data()];
    },
    dispose: () => discard([parameter, gradient, optimizer]),
  };
}

function trainingStep(work: Work & { readonly kind: "hornet" }): Loaded {
  const { forward: compute, inputs, parameters, modules } = program(work);
  const optimizer = new AdamW(parameters as Parameter[], { lr: 1e-3, weightDecay: 0.05 });
  const { classes } = work.config;
  const labels = crabro.tensor(
    Array.from({ length: work.x[0] }, (_, i) => (i * 7 + 3) % classes),
    { dtype: "int32" },
  );
  const compiled = crabro.compile((images: Tensor, target: Tensor) => {
    optimizer.zeroGrad();
    const loss = crabro.crossEntropy(compute(images), target);
    loss.backward();
    optimizer.step();
    return loss.detach();
  });
  const loss = async (): Promise<number> => (await compiled(inputs[0], labels)).item();
  return { run: loss, loss, outputs: async () => [], dispose: () => discard([...inputs, labels, optimizer, ...modules]) };
}

function discard(owned: readonly { dispose(): void }[]): void {
  for (const each of owned) each.dispose();
}

function loadWork({ work, direction }: Task): Loaded {
  if (work.kind === "adamw") return update(work);
  if (direction === "step" && work.kind === "hornet") return trainingStep(work);
  return direction === "fwd" ? forward(work) : gradients(work);
}

function load(task: Task): Loaded {
  const loaded = loadWork(task);
  const work = async (): Promise<Launched> => {
    const { launches } = await crabro.profile(() => loaded.run());
    const sum = (key: "flops" | "bytes"): number => launches.reduce((total, launch) => total + launch[key], 0);
    return { launches: launches.length, flops: sum("flops"), bytes: sum("bytes") };
  };
  return { ...loaded, work };
}

await serve(async (): Promise<Contestant> => {
  const device = await crabro.device(name, { threads: Number(threads) });
  crabro.setDefaultDevice(device);
  return { describe: () => device.describe(), load };
});

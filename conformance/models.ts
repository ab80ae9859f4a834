/**
 * Cases of modules and networks: state, an eval pass, and a training pass with its gradients, on filled weights and inputs.
 * Acceptance is that of the reference data: A = max(16 × PyTorch's own float32 error, 4e-6 × norm).
 */
import { noGrad } from "../autograd/grad-mode.js";
import type { Device } from "../engine/device.js";
import type { TypedArray } from "../engine/dtype.js";
import { type Shape, showShape } from "../engine/shape.js";
import { Tensor, tensor } from "../engine/tensor.js";
import type { Module } from "../models/index.js";
import { tokenLabelLoss } from "../train/token-label.js";
import { type Built, build, type Config } from "./builders.js";
import { type Comparison, norm, Verdict, within } from "./compare.js";
import { runDecayCase } from "./decay.js";
import { fill } from "./fill.js";
import type { Folder } from "./folder.js";
import { runManifest } from "./manifest.js";
import { conclude, type Outcome, outcomeOf } from "./outcome.js";
import { bound, compareStored, loadFill, readInto, type TensorInfo } from "./reference.js";
import { runTrajectory, type TrajectoryCase } from "./trajectory.js";

export interface ModelCase {
  readonly id: string;
  readonly kind: string;
  readonly file: string;
  readonly config: Config;
  readonly inputs?: readonly { name: string; shape: Shape; fill: { name: string; scale: number; offset: number } }[];
  readonly modes?: readonly string[];
  readonly params?: number;
  readonly state?: readonly string[];
  readonly state_shapes?: readonly Shape[];
  readonly loss?: number;
  readonly grad_norm_max?: number;
  readonly tensors?: Readonly<Record<string, TensorInfo>>;
}

/** Runs one case on a device. Never throws. */
export async function runModelCase(device: Device, folder: Folder, test: ModelCase): Promise<Outcome> {
  try {
    if (test.kind === "decay_groups") return runDecayCase(folder, test);
    if (test.kind === "trajectory") return await runTrajectory(device, folder, test as unknown as TrajectoryCase);
    if (test.kind === "token_label_loss") return await runTokenLabelLoss(device, folder, test);
    if (test.kind === "manifest") return runManifest(folder, test);
    return await runModule(device, folder, test);
  } catch (error) {
    return outcomeOf(error);
  }
}

/** The loss and its gradients with respect to both kinds of logits. */
async function runTokenLabelLoss(device: Device, folder: Folder, test: ModelCase): Promise<Outcome> {
  const { bbox, dense_weight: denseWeight, cls_weight: clsWeight } = test.config as Record<string, never>;
  const [logits, tokenLogits, target] = inputsOf(test, device, true);
  const box = tensor(bbox as number[], { dtype: "int32", device });
  const loss = tokenLabelLoss({ logits, tokenLogits, box }, target.detach(), { denseWeight, clsWeight });
  loss.backward();
  const gradients = { cls_logits: logits.grad as Tensor, token_logits: tokenLogits.grad as Tensor };
  const named = Object.entries(gradients).map(([name, gradient]): [string, Tensor] => [`train.grad_in.${name}`, gradient]);
  const got = new Map<string, TypedArray>();
  await readInto(got, new Map([["train.out.0", loss], ...named]));
  const verdict = new Verdict();
  for (const [key, info] of Object.entries(test.tensors ?? {})) {
    const values = got.get(key);
    if (values === undefined) verdict.fail(key, "there is none");
    else verdict.add(key, compareStored(folder, test.file, key, info, values, 0));
  }
  return conclude(verdict);
}

async function runModule(device: Device, folder: Folder, test: ModelCase): Promise<Outcome> {
  const built = build(test.kind, test.config);
  const verdict = new Verdict();
  checkState(built.module, folder, test, verdict);
  if (verdict.messages.length > 0) return conclude(verdict);
  loadFill(built.module, device);

  const got = new Map<string, TypedArray>();
  if (test.modes?.includes("eval")) await evalPass(built, device, test, got);
  let loss: LossParts | null = null;
  if (test.modes?.includes("train")) loss = await trainPass(built, device, test, got);

  const tensors = test.tensors ?? {};
  for (const [key, info] of Object.entries(tensors)) {
    const values = got.get(key);
    if (values === undefined) verdict.fail(key, "there is none");
    else verdict.add(key, compareStored(folder, test.file, key, info, values, test.grad_norm_max ?? 0));
  }
  if (loss !== null && test.loss !== undefined) verdict.add("loss", compareLoss(loss, test.loss, tensors));
  built.module.dispose();
  return conclude(verdict);
}

/** State-dict names and shapes, in order, and the count of parameters. */
function checkState(module: Module, folder: Folder, test: ModelCase, verdict: Verdict): void {
  const want = expectedState(folder, test);
  const have = [...module.stateDict()].map(([name, { shape }]) => ({ name, shape }));
  const show = (entry: StateEntry | undefined): string => (entry === undefined ? "nothing" : `${entry.name} ${showShape(entry.shape)}`);
  const at = Array.from({ length: Math.max(want.length, have.length) }, (_, i) => i).find((i) => show(have[i]) !== show(want[i]));
  if (at !== undefined) verdict.fail("state", `entry ${at} is ${show(have[at])}, want ${show(want[at])}`);
  else if (test.params !== undefined && module.numParameters !== test.params) {
    verdict.fail("parameters", `${module.numParameters}, want ${test.params}`);
  }
}

interface StateEntry {
  readonly name: string;
  readonly shape: Shape;
}

/** Listed in the case, or, for the published networks, in their manifest. */
function expectedState(folder: Folder, { config, state, state_shapes: shapes }: ModelCase): readonly StateEntry[] {
  if (state !== undefined && shapes !== undefined) return state.map((name, i) => ({ name, shape: shapes[i] }));
  return (folder.json(`manifests/${config.model}.json`) as { entries: StateEntry[] }).entries;
}

function inputsOf(test: ModelCase, device: Device, requiresGrad: boolean): Tensor[] {
  return (test.inputs ?? []).map(({ shape, fill: { name, scale, offset } }) =>
    tensor(fill(name, shape, scale, offset), { shape, device, requiresGrad }),
  );
}

async function evalPass({ module, forward }: Built, device: Device, test: ModelCase, got: Map<string, TypedArray>): Promise<void> {
  const seen = new Map<string, Tensor>();
  const prefix = "eval.feat.";
  const removals = Object.keys(test.tensors ?? {})
    .filter((key) => key.startsWith(prefix))
    .map((key) =>
      module.getSubmodule(key.slice(prefix.length)).registerForwardHook((_, __, output) => {
        if (output instanceof Tensor) seen.set(key, output);
      }),
    );
  module.eval();
  noGrad(() => {
    forward(inputsOf(test, device, false)).forEach((output, k) => {
      seen.set(`eval.out.${k}`, output);
    });
  });
  for (const remove of removals) remove();
  await readInto(got, seen);
}

interface LossParts {
  readonly value: number;
  readonly outputs: readonly TypedArray[];
  readonly cotangents: readonly Float32Array[];
}

async function trainPass({ module, forward }: Built, device: Device, test: ModelCase, got: Map<string, TypedArray>): Promise<LossParts> {
  module.train();
  const inputs = inputsOf(test, device, true);
  const outputs = forward(inputs);
  const cotangents = outputs.map((output, k) => fill(`cotangent.${k}`, output.shape));
  const loss = outputs
    .map((output, k) => output.mul(tensor(cotangents[k], { shape: output.shape, device })).sum())
    .reduce((a, b) => a.add(b));
  loss.backward();

  const seen = new Map<string, Tensor>([["loss", loss]]);
  outputs.forEach((output, k) => {
    seen.set(`train.out.${k}`, output);
  });
  test.inputs?.forEach(({ name }, i) => {
    if (inputs[i].grad !== null) seen.set(`train.grad_in.${name}`, inputs[i].grad);
  });
  for (const [name, { grad }] of module.namedParameters()) if (grad !== null) seen.set(`train.grad.${name}`, grad);
  for (const [name, buffer] of module.namedBuffers()) seen.set(`train.state.${name}`, buffer);
  await readInto(got, seen);
  return { value: (got.get("loss") as TypedArray)[0], outputs: outputs.map((_, k) => got.get(`train.out.${k}`) as TypedArray), cotangents };
}

/**
 * L = Σ out · cot: an error of A in an output moves it by at most A·‖cot‖ (Cauchy–Schwarz), and adding up in float32 by a few units in
 * the last place of what is added.
 */
function compareLoss({ value, outputs, cotangents }: LossParts, want: number, tensors: Readonly<Record<string, TensorInfo>>): Comparison {
  let allowed = 0;
  outputs.forEach((output, k) => {
    const info = tensors[`train.out.${k}`];
    if (info !== undefined) allowed += bound(info) * norm(cotangents[k]);
    for (let i = 0; i < output.length; i++) allowed += 4 * 2 ** -24 * Math.abs(output[i] * cotangents[k][i]);
  });
  return within(Math.abs(value - want), allowed, "the difference");
}

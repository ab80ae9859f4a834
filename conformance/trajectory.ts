/** Short trainings: per-step loss and gradient norm, and the state at the end, its moving average included. */
import { noGrad } from "../autograd/grad-mode.js";
import type { Device } from "../engine/device.js";
import type { TypedArray } from "../engine/dtype.js";
import { crossEntropy } from "../engine/functional/loss.js";
import type { Shape } from "../engine/shape.js";
import { type Tensor, tensor } from "../engine/tensor.js";
import type { Module } from "../models/index.js";
import { ModelEma } from "../train/ema.js";
import { AdamW } from "../train/optim/adamw.js";
import { clipGradNorm } from "../train/optim/clip.js";
import { paramGroups } from "../train/optim/groups.js";
import type { Optimizer } from "../train/optim/optimizer.js";
import { SGD } from "../train/optim/sgd.js";
import { constantRate, cosine, type Schedule } from "../train/schedule.js";
import { type Built, build, type Config } from "./builders.js";
import { type Comparison, Verdict, within } from "./compare.js";
import { fill } from "./fill.js";
import type { Folder } from "./folder.js";
import { conclude, type Outcome } from "./outcome.js";
import { compareStored, loadFill, readInto, type TensorInfo } from "./reference.js";

interface OptimizerConfig {
  readonly type: "AdamW" | "SGD";
  readonly lr: number;
  readonly weight_decay: number;
  readonly label_smoothing: number;
  readonly min_lr?: number;
  readonly warmup?: number;
  readonly betas?: readonly [number, number];
  readonly eps?: number;
  readonly clip?: number;
  readonly ema?: number;
  readonly momentum?: number;
  readonly nesterov?: boolean;
}

export interface TrajectoryCase {
  readonly file: string;
  readonly config: Config & { readonly model: string };
  readonly optimizer: OptimizerConfig;
  readonly steps: number;
  readonly batch: { readonly scale: number; readonly offset: number; readonly shape: Shape };
  readonly labels: readonly (readonly number[])[];
  readonly loss: readonly number[];
  readonly loss32: readonly number[];
  readonly grad_norm: readonly number[];
  readonly grad_norm32: readonly number[];
  readonly lr: readonly number[];
  readonly param_names: readonly string[];
  readonly param_decay?: readonly boolean[];
  readonly tensors: Readonly<Record<string, TensorInfo>>;
}

/** Per-step numbers may be off by 16 times PyTorch's own float32 error, or by this fraction. */
const relativeFloor = 1e-5;

const close = (got: number, want: number, want32: number): Comparison =>
  within(Math.abs(got - want), Math.max(16 * Math.abs(want32 - want), relativeFloor * Math.abs(want)), "the difference");

export async function runTrajectory(device: Device, folder: Folder, test: TrajectoryCase): Promise<Outcome> {
  const built = build(test.config.model, test.config);
  const { module } = built;
  loadFill(module, device);
  const verdict = new Verdict();
  const { optimizer, schedule } = recipe(module, test, verdict);
  const ema = test.optimizer.ema === undefined ? null : await ModelEma.of(module, { decay: test.optimizer.ema });
  const got = new Map<string, TypedArray>();

  module.train();
  for (let s = 0; s < test.steps; s++) {
    verdict.add(`step ${s}: lr`, close(schedule(s), test.lr[s], test.lr[s]));
    optimizer.setLr(schedule(s));
    const logits = built.forward([batch(test, s, device)])[0];
    const target = tensor(Int32Array.from(test.labels[s]), { device });
    const loss = crossEntropy(logits, target, { labelSmoothing: test.optimizer.label_smoothing });
    optimizer.zeroGrad();
    loss.backward();
    const norm = clipGradNorm(module.parameters(), test.optimizer.clip ?? Number.POSITIVE_INFINITY);
    optimizer.step();
    ema?.update();
    const step = new Map<string, TypedArray>();
    await readInto(
      step,
      new Map([
        ["loss", loss],
        ["norm", norm],
        ["logits", logits],
      ]),
    );
    if (s === 0) got.set("step0.logits", step.get("logits") as TypedArray);
    verdict.add(`step ${s}: loss`, close((step.get("loss") as TypedArray)[0], test.loss[s], test.loss32[s]));
    verdict.add(`step ${s}: gradient norm`, close((step.get("norm") as TypedArray)[0], test.grad_norm[s], test.grad_norm32[s]));
  }

  await finalValues("final", built, module.stateDict(), test, device, got);
  if (ema !== null) {
    const averaged = build(test.config.model, test.config);
    averaged.module.loadStateDict(ema.stateDict());
    await finalValues("ema", averaged, ema.stateDict(), test, device, got);
    averaged.module.dispose();
    ema.dispose();
  }
  for (const [key, info] of Object.entries(test.tensors)) {
    const values = got.get(key);
    if (values === undefined) verdict.fail(key, "there is none");
    else verdict.add(key, compareStored(folder, test.file, key, info, values, 0));
  }
  optimizer.dispose();
  module.dispose();
  return conclude(verdict);
}

function recipe(module: Module, test: TrajectoryCase, verdict: Verdict): { optimizer: Optimizer; schedule: Schedule } {
  const { type, lr, weight_decay: weightDecay, ...rest } = test.optimizer;
  if (type === "SGD") {
    const { momentum, nesterov } = rest;
    return { optimizer: new SGD(module.parameters(), { lr, momentum, nesterov, weightDecay }), schedule: constantRate(lr) };
  }
  const groups = paramGroups(module, { weightDecay });
  test.param_names.forEach((name, i) => {
    const decayed = groups.some((group) => group.weightDecay > 0 && group.names.includes(name));
    if (decayed !== test.param_decay?.[i]) verdict.fail(name, decayed ? "is decayed and should not be" : "should be decayed");
  });
  const { betas, eps, min_lr: minLr, warmup: warmupSteps } = rest;
  return {
    optimizer: new AdamW(groups, { lr, betas, eps, weightDecay }),
    schedule: cosine({ lr, minLr, warmupSteps, totalSteps: test.steps }),
  };
}

function batch({ batch: { shape, scale, offset } }: TrajectoryCase, step: number, device: Device): Tensor {
  return tensor(fill(`batch${step}`, shape, scale, offset), { shape, device });
}

/** The entries of the state, and the logits that they give in eval mode on the first batch. */
async function finalValues(
  prefix: string,
  { module, forward }: Built,
  state: ReadonlyMap<string, Tensor>,
  test: TrajectoryCase,
  device: Device,
  got: Map<string, TypedArray>,
): Promise<void> {
  module.eval();
  const [logits] = noGrad(() => forward([batch(test, 0, device)]));
  const named = [...state].map(([name, value]): [string, Tensor] => [`${prefix}.${name}`, value]);
  await readInto(got, new Map([[`${prefix}.eval_logits`, logits], ...named]));
}

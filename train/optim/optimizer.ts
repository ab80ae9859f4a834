/** What optimizers share: groups of parameters, gradients, the step count. */
import { noGrad } from "../../autograd/grad-mode.js";
import type { Device } from "../../engine/device.js";
import { hostArray } from "../../engine/dtype.js";
import { OpError } from "../../engine/errors.js";
import { where } from "../../engine/functional/elementwise.js";
import { onStep } from "../../engine/runtime/scalar.js";
import { showShape } from "../../engine/shape.js";
import { fromHost, type Tensor } from "../../engine/tensor.js";
import type { Parameter } from "../../models/nn/parameter.js";

/** Parameters with settings of their own; what is left out takes the optimizer's. */
export interface GroupOptions {
  readonly params: Iterable<Parameter>;
  readonly lr?: number;
  readonly weightDecay?: number;
  /** Factor of the scheduled learning rate. Default 1. */
  readonly lrScale?: number;
  readonly name?: string;
}

/** Settings may change between steps, also of compiled steps: they are read anew each time. */
export interface ParamGroup {
  readonly params: readonly Parameter[];
  readonly name: string;
  lr: number;
  weightDecay: number;
  lrScale: number;
}

/** The state of an optimizer: tensors by name (`exp_avg.3` belongs to the fourth parameter over all groups), and its settings. */
export interface OptimizerState {
  readonly steps: number;
  readonly groups: readonly Pick<ParamGroup, "name" | "lr" | "weightDecay" | "lrScale">[];
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Gives a parameter or a state tensor its new value. */
export type Commit = (target: Tensor, value: Tensor) => void;

/** Base of the optimizers: groups of parameters, their state, and steps that can be traced. */
export abstract class Optimizer {
  readonly paramGroups: readonly ParamGroup[];
  /** Steps taken. */
  steps = 0;
  /** State tensors by name, then by position of the parameter. Made at once, so that a traced step finds them. */
  protected readonly state = new Map<string, Tensor[]>();

  constructor(
    params: Iterable<Parameter> | readonly GroupOptions[],
    { lr, weightDecay }: { readonly lr: number; readonly weightDecay: number },
  ) {
    const given = [...(params as Iterable<Parameter | GroupOptions>)];
    if (given.length === 0) throw new OpError(this.constructor.name, "there are no parameters to optimize");
    const groups = given.every(isGroup) ? given : [{ params: given as Parameter[] }];
    this.paramGroups = groups.map((group, i) => ({
      params: [...group.params],
      name: group.name ?? `group ${i}`,
      lr: group.lr ?? lr,
      weightDecay: group.weightDecay ?? weightDecay,
      lrScale: group.lrScale ?? 1,
    }));
    if (this.paramGroups.some((group) => group.params.length === 0)) throw new OpError(this.constructor.name, "a group has no parameters");
    const all = this.parameters();
    if (new Set(all).size !== all.length) throw new OpError(this.constructor.name, "a parameter is given twice");
  }

  /** All parameters, group by group: the order of state tensors. */
  parameters(): Parameter[] {
    return this.paramGroups.flatMap((group) => group.params);
  }

  /** Where the first parameter is, and the scalars of a step with it. */
  get device(): Device {
    return this.paramGroups[0].params[0].device;
  }

  protected addState(name: string): void {
    const zeros = this.parameters().map((p) => fromHost(hostArray(p.dtype, p.numel), p.shape, p.dtype, p.device));
    this.state.set(name, zeros);
  }

  /** Sets the scheduled learning rate of every group; each group's `lrScale` applies on top. */
  setLr(lr: number): void {
    for (const group of this.paramGroups) group.lr = lr;
  }

  /** Forgets the gradients. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
  }

  /**
   * One update from the gradients at hand, as effects: carried out with the next read. Parameters without a gradient stay. With `when`, a
   * bool of rank 0, parameters and state keep their values where it is false; whoever reads it then takes back the count (`undoStep`).
   */
  step({ when = null }: { readonly when?: Tensor | null } = {}): void {
    const commit: Commit = (target, value) => void target.assign(when === null ? value : where(when, value, target));
    noGrad(() => {
      onStep(() => {
        this.steps++;
      });
      let position = 0;
      for (const group of this.paramGroups) {
        const update = this.prepare(group, commit);
        for (const parameter of group.params) {
          if (parameter.grad !== null) update(parameter, parameter.grad, position);
          position++;
        }
      }
    });
  }

  /** The update of one parameter of a group. What varies per step enters as host scalars, made once a group. */
  protected abstract prepare(group: ParamGroup, commit: Commit): (parameter: Parameter, grad: Tensor, position: number) => void;

  /** Says that the last step changed nothing, as its `when` was false. */
  undoStep(): void {
    this.steps--;
  }

  stateDict(): OptimizerState {
    const tensors = new Map<string, Tensor>();
    for (const [name, list] of this.state) list.forEach((tensor, i) => void tensors.set(`${name}.${i}`, tensor));
    return {
      steps: this.steps,
      groups: this.paramGroups.map(({ name, lr, weightDecay, lrScale }) => ({ name, lr, weightDecay, lrScale })),
      tensors,
    };
  }

  /** Takes up where another optimizer of the same parameters was. Throws when the state belongs to other parameters. */
  loadStateDict(state: OptimizerState): void {
    const own = this.stateDict().tensors;
    const op = `${this.constructor.name}.loadStateDict`;
    if (state.groups.length !== this.paramGroups.length)
      throw new OpError(op, `the state has ${state.groups.length} groups; expected ${this.paramGroups.length}`);
    for (const [name, tensor] of own) {
      const value = state.tensors.get(name);
      if (value === undefined) throw new OpError(op, `the state lacks ${name}`);
      if (value.numel !== tensor.numel)
        throw new OpError(op, `${name} has shape ${showShape(value.shape)}; expected ${showShape(tensor.shape)}`);
    }
    for (const name of state.tensors.keys())
      if (!own.has(name)) throw new OpError(op, `the state holds ${name}, which this optimizer has not`);
    noGrad(() => {
      for (const [name, tensor] of own) tensor.assign(state.tensors.get(name) as Tensor);
    });
    state.groups.forEach(
      (group, i) => void Object.assign(this.paramGroups[i], { lr: group.lr, weightDecay: group.weightDecay, lrScale: group.lrScale }),
    );
    this.steps = state.steps;
  }

  /** Frees the state's device memory. */
  dispose(): void {
    for (const list of this.state.values()) for (const tensor of list) tensor.dispose();
  }
}

const isGroup = (value: Parameter | GroupOptions): value is GroupOptions => "params" in value;

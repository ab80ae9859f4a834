/** Modules: named trees of parameters with a `forward`, in PyTorch's terms (`torch.nn.Module`). */
import { noGrad } from "../../autograd/grad-mode.js";
import type { Device } from "../../engine/device.js";
import { OpError } from "../../engine/errors.js";
import { building } from "../../engine/graph.js";
import { installMethods } from "../../engine/methods.js";
import { fromHost, Tensor } from "../../engine/tensor.js";
import { compareState, fitTensor, joinPath, type LoadReport, type StateValue, showLoadReport, stateName } from "../state.js";
import { tell } from "./listen.js";
import { beginningOf, isWithoutValues, movedWithoutValues, Parameter } from "./parameter.js";

/** Sees each call of a module; what it returns, unless undefined, replaces the output. */
export type ForwardHook = (module: Module, inputs: readonly unknown[], output: unknown) => unknown;

type Member =
  | { readonly kind: "parameter"; readonly name: string; readonly value: Parameter }
  | { readonly kind: "buffer"; readonly name: string; readonly value: Tensor }
  | { readonly kind: "module"; readonly name: string; readonly value: Module };

/** The modules on the way down from the outermost running one, whose paths are known while it runs. */
let paths: ReadonlyMap<Module, string> | null = null;
const located = new WeakSet<Error>();

/**
 * Base of layers and models. Parameters, buffers (other tensors) and children (modules, and arrays of modules) are the own public
 * properties, in order of definition; private `#fields` stay out of the state dict.
 *
 * Calls of `forward` know their place: errors thrown inside end with the dotted path of the module, and graph nodes carry it.
 *
 * ```ts
 * import { gelu, rand, type Tensor } from "crabro";
 * import { nn } from "crabro/models";
 *
 * class Gated extends nn.Module {
 *   readonly projIn = new nn.Linear(8, 16); // `proj_in.weight` and `proj_in.bias` in the state dict
 *
 *   override forward(x: Tensor): Tensor {
 *     const [a, b] = this.projIn.forward(x).split(8, { dim: -1 }); // [N, 8] each
 *     return gelu(a).mul(b);
 *   }
 * }
 * new Gated().forward(rand([2, 8])); // [2, 8]
 * ```
 */
export class Module {
  /** Whether dropout, drop path and batch statistics behave as in training. */
  training = true;
  readonly #hooks = new Set<ForwardHook>();

  constructor() {
    installMethods(); // of which the forward methods of layers make use
    const forward = this.forward.bind(this) as (...inputs: unknown[]) => unknown;
    // Not enumerable, so that it is no member; an own property, so that subclasses need no ceremony.
    Object.defineProperty(this, "forward", {
      value: (...inputs: unknown[]) => this.#run(forward, inputs),
      writable: true,
      configurable: true,
    });
  }

  /** The computation; every subclass has its own signature. */
  forward(..._inputs: never[]): unknown {
    throw new OpError(this.constructor.name, "this module has no forward of its own; call its children");
  }

  #run(forward: (...inputs: unknown[]) => unknown, inputs: unknown[]): unknown {
    const outer = { paths, module: building.module };
    if (paths === null) paths = new Map([...this.namedModules()].map(([path, module]) => [module, path]));
    else building.module = paths.get(this) ?? building.module;
    try {
      let output = forward(...inputs);
      for (const hook of this.#hooks) output = hook(this, inputs, output) ?? output;
      tell(this, "", () => output);
      return output;
    } catch (error) {
      if (error instanceof OpError && !located.has(error)) {
        located.add(error);
        if (building.module !== "") error.message += ` (in ${building.module})`;
      }
      throw error;
    } finally {
      paths = outer.paths;
      building.module = outer.module;
    }
  }

  /** Calls `hook` after every forward of this module; returns the function that removes it. */
  registerForwardHook(hook: ForwardHook): () => void {
    this.#hooks.add(hook);
    return () => void this.#hooks.delete(hook);
  }

  *#members(): Generator<Member> {
    for (const [property, value] of Object.entries(this)) yield* membersOf(stateName(property), value);
  }

  /** The modules directly below, with their names. */
  *namedChildren(): Generator<[string, Module]> {
    for (const member of this.#members()) if (member.kind === "module") yield [member.name, member.value];
  }

  /** This module (path "") and all below, parents first. */
  *namedModules(path = ""): Generator<[string, Module]> {
    yield [path, this];
    for (const [name, child] of this.namedChildren()) yield* child.namedModules(joinPath(path, name));
  }

  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module;
  }

  /** The module at a dotted path, such as `stages.0.0`. */
  getSubmodule(path: string): Module {
    for (const [name, module] of this.namedModules()) if (name === path) return module;
    throw new OpError(
      "getSubmodule",
      `${this.constructor.name} has no submodule ${path}; it has ${[...this.namedChildren()].map(([name]) => name).join(", ")}`,
    );
  }

  /** Every entry of the state dict in PyTorch's order: a module's own parameters, its buffers, then its children. */
  *#entries(): Generator<[string, Tensor]> {
    for (const [path, module] of this.namedModules()) {
      const members = [...module.#members()];
      for (const kind of ["parameter", "buffer"] as const) {
        for (const member of members) if (member.kind === kind) yield [joinPath(path, member.name), member.value];
      }
    }
  }

  *namedParameters(): Generator<[string, Parameter]> {
    for (const [name, value] of this.#entries()) if (value instanceof Parameter) yield [name, value];
  }

  parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, parameter]) => parameter);
  }

  /** Tensors that are state but not trained, such as running statistics. */
  *namedBuffers(): Generator<[string, Tensor]> {
    for (const [name, value] of this.#entries()) if (!(value instanceof Parameter)) yield [name, value];
  }

  /** How many numbers are trained. */
  get numParameters(): number {
    return this.parameters().reduce((sum, parameter) => sum + parameter.numel, 0);
  }

  /** The parameters and buffers themselves, by name. */
  stateDict(): Map<string, Tensor> {
    return new Map(this.#entries());
  }

  /**
   * Gives parameters and buffers the values of `state`, converted to their dtypes. With `strict` (the default) names and shapes must
   * agree exactly, otherwise nothing is changed; without, what does not agree is left alone and reported.
   */
  loadStateDict(state: ReadonlyMap<string, StateValue>, { strict = true }: { readonly strict?: boolean } = {}): LoadReport {
    const own = this.stateDict();
    const { fitting, ...report } = compareState(own, state);
    const problems = showLoadReport(report);
    if (strict && problems !== "") {
      throw new OpError(
        "loadStateDict",
        `the entries do not fit ${this.constructor.name}: ${problems}; pass { strict: false } to load the rest`,
      );
    }
    const loads = fitting.map((name): [Tensor, Tensor] => {
      const target = own.get(name) as Tensor;
      return [target, fitTensor(state.get(name) as StateValue, target.dtype, target.device, name)];
    });
    noGrad(() => {
      for (const [target, value] of loads) setValue(target, value);
    });
    return report;
  }

  /** Training behaviour on (or off) for this module and all below. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  eval(): this {
    return this.train(false);
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
  }

  /** Gives the entries of a model built with `meta: true` their initial values, where no others were loaded. */
  initialize(): this {
    for (const tensor of this.stateDict().values()) {
      const values = isWithoutValues(tensor) ? beginningOf(tensor) : null;
      if (values !== null) replaceNode(tensor, fromHost(values, tensor.shape, tensor.dtype, tensor.device));
    }
    return this;
  }

  /** Moves every parameter and buffer to another device, by way of the host. Gradients are forgotten. */
  async to(device: Device): Promise<this> {
    const entries = [...this.stateDict().values()].filter((tensor) => tensor.device !== device);
    const read = await Promise.all(entries.map((tensor) => (isWithoutValues(tensor) ? null : tensor.data())));
    entries.forEach((tensor, i) => {
      const values = read[i];
      replaceNode(tensor, values === null ? movedWithoutValues(tensor, device) : fromHost(values, tensor.shape, tensor.dtype, device));
    });
    return this;
  }

  /** Frees the device memory of parameters and buffers. */
  dispose(): void {
    for (const tensor of this.stateDict().values()) tensor.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** What stands in the parentheses of `toString`, e.g. `64, 128, kernel=7`. */
  protected describe(): string {
    return "";
  }

  toString(): string {
    const children = [...this.namedChildren()].map(([name, child]) => `  (${name}): ${child.toString().replaceAll("\n", "\n  ")}`);
    const head = `${this.constructor.name}(${this.describe()}`;
    return children.length === 0 ? `${head})` : `${head}\n${children.join("\n")}\n)`;
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

function* membersOf(name: string, value: unknown): Generator<Member> {
  if (value instanceof Parameter) yield { kind: "parameter", name, value };
  else if (value instanceof Tensor) yield { kind: "buffer", name, value };
  else if (value instanceof Module) yield { kind: "module", name, value };
  else if (Array.isArray(value)) for (let i = 0; i < value.length; i++) yield* membersOf(`${name}.${i}`, value[i]);
}

/** Puts a leaf in the place of a handle's version, at once and without an effect. */
function replaceNode(target: Tensor, leaf: Tensor): void {
  const trained = target.requiresGrad;
  target.node = leaf.node;
  target.node.owner = target;
  target.grad = null;
  target.generations = [];
  if (trained) target.requiresGrad_();
}

function setValue(target: Tensor, value: Tensor): void {
  const held = value.node.value;
  // A parameter without values (`meta`) has no version that an assignment could follow.
  if (isWithoutValues(target) && held?.kind === "host") replaceNode(target, fromHost(held.data, target.shape, target.dtype, target.device));
  else target.assign(value);
}

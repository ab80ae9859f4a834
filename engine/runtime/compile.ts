/** `compile(fn)`: traces a function once for each signature of its arguments, and from then on replays one plan. */
import type { BufferHandle } from "../../backends/backend.js";
import { debugLog } from "../debug.js";
import { type Device, defaultDevice } from "../device.js";
import { hostArray, type TypedArray } from "../dtype.js";
import { OpError } from "../errors.js";
import { type Node, newNodeId, varying } from "../graph.js";
import type { HostFunction } from "../ops/host.js";
import { schedule } from "../schedule/schedule.js";
import { walk } from "../schedule/walk.js";
import { numel } from "../shape.js";
import { leafNode, Tensor, versionOf } from "../tensor.js";
import type { CompiledPlan } from "./cache.js";
import { predicate, rangeChecks } from "./checks.js";
import { bindHostFunctions, flushEffects } from "./realize.js";
import { collectActions, type StepAction } from "./scalar.js";
import { releaseWith, Storage, unwatch } from "./storage.js";
import { carryOut, carryOutInPlace } from "./versions.js";

/** What a compiled function takes and gives: tensors and numbers, in arrays and records. */
export type Tree = Tensor | number | boolean | string | null | undefined | readonly Tree[] | { readonly [key: string]: Tree };

export interface CompileOptions {
  /** Positions of arguments that are part of the program: a new value traces again. Numbers elsewhere are inputs. */
  readonly static?: readonly number[];
  /** Default: the device of the first tensor argument, else the default device. */
  readonly device?: Device;
}

/** A function that `compile` has made: traced once a signature, replayed from then on. */
export type Compiled<A extends readonly Tree[], R> = ((...args: A) => Promise<R>) & {
  /** Traces made so far, one a signature. */
  readonly traces: () => number;
};

type LeafSource =
  | { readonly kind: "argument"; readonly at: number }
  | { readonly kind: "scalar"; readonly at: number }
  /** A tensor from outside: whatever its newest version is when the call runs. */
  | { readonly kind: "state"; readonly handle: Tensor }
  | { readonly kind: "fixed"; readonly node: Node };

interface Trace {
  readonly compiled: CompiledPlan;
  readonly leaves: readonly LeafSource[];
  readonly actions: readonly StepAction[];
  readonly hostFunctions: readonly HostFunction[];
  readonly results: readonly { readonly shape: readonly number[]; readonly dtype: Tensor["dtype"] }[];
  readonly effects: readonly { readonly handle: Tensor; readonly inPlace: boolean }[];
  /** Range checks of indices that only the device knows; their flags follow the effects among the plan's outputs. */
  readonly checks: readonly (() => OpError)[];
  readonly rebuild: (tensors: readonly Tensor[]) => unknown;
}

const OLD_OUTPUT = "it is the output of a compiled call before the last two; read outputs of a call before calling twice more";

/**
 * A function that computes what `fn` computes, as one plan. `fn` runs once for each signature (shapes and dtypes of tensor arguments); later
 * calls bind the new arguments and run. Assignments in `fn` (optimizer steps, running statistics) are carried out in place at each
 * call. What else varies must come in as an argument, or through `hostScalar`. Outputs stay readable until the second-next call.
 * Gradients left in `.grad` inside `fn` stay inside; return what you want to see.
 */
export function compile<A extends readonly Tree[], R>(fn: (...args: A) => R, options: CompileOptions = {}): Compiled<A, R> {
  const traces = new Map<string, Trace>();
  const generations: Node[][] = [];
  let queue: Promise<unknown> = Promise.resolve();

  const call = async (args: A): Promise<R> => {
    const flat: Leaf[] = [];
    const signature = args.map((arg, at) => describe(arg, flat, options.static?.includes(at) ?? false)).join(";");
    const device = options.device ?? flat.find((leaf): leaf is Tensor => leaf instanceof Tensor)?.device ?? defaultDevice();
    const pending = flat.filter((leaf): leaf is Tensor => leaf instanceof Tensor && leaf.node.value === null);
    if (pending.length > 0) await device.realize(pending.map((t) => t.node));
    else if (device.effects.size > 0) await flushEffects(device);
    let trace = traces.get(signature);
    const isFirst = trace === undefined;
    if (trace === undefined) {
      trace = await makeTrace(fn, args, device, flat);
      traces.set(signature, trace);
      debugLog(1, () => `crabro: compile traced ${fn.name || "a function"} for ${signature}: ${trace?.compiled.plan.steps.length} kernels`);
    }
    const scalars = trace.actions.map((action) => act(action, isFirst));
    const outputs = await replay(device, trace, flat, scalars);
    generations.push(outputs.map((t) => t.node));
    while (generations.length > 2) {
      for (const node of generations.shift() as Node[]) if (node.value?.kind !== "host") device.disposeNode(node, OLD_OUTPUT);
    }
    return trace.rebuild(outputs) as R;
  };
  const compiled = (...args: A): Promise<R> => {
    const result = queue.then(() => call(args));
    queue = result.catch(() => {});
    return result;
  };
  return Object.assign(compiled, { traces: () => traces.size });
}

type Leaf = Tensor | number;

/** The signature of an argument; its tensors and numbers go to `flat`. */
function describe(tree: Tree, flat: Leaf[], isStatic: boolean): string {
  if (tree instanceof Tensor) {
    flat.push(tree);
    return `${tree.dtype}[${tree.shape.join(",")}]`;
  }
  if (typeof tree === "number" && !isStatic) {
    flat.push(tree);
    return "number";
  }
  if (Array.isArray(tree)) return `[${tree.map((part: Tree) => describe(part, flat, isStatic)).join(",")}]`;
  if (tree !== null && typeof tree === "object") {
    return `{${Object.entries(tree)
      .map(([key, part]) => `${key}:${describe(part as Tree, flat, isStatic)}`)
      .join(",")}}`;
  }
  return typeof tree === "string" ? JSON.stringify(tree) : String(tree);
}

/** The same tree with its tensors (and numbers, where given) taken from a list. */
function fill(tree: unknown, next: () => unknown, numbers: boolean): unknown {
  if (tree instanceof Tensor || (numbers && typeof tree === "number")) return next();
  if (Array.isArray(tree)) return tree.map((part) => fill(part, next, numbers));
  if (tree !== null && typeof tree === "object")
    return Object.fromEntries(Object.entries(tree).map(([key, part]) => [key, fill(part, next, numbers)]));
  return tree;
}

function collect(tree: unknown, into: Tensor[]): void {
  if (tree instanceof Tensor) into.push(tree);
  else if (Array.isArray(tree)) for (const part of tree) collect(part, into);
  else if (tree !== null && typeof tree === "object") for (const part of Object.values(tree)) collect(part, into);
  else if (tree !== undefined && tree !== null) {
    throw new OpError("compile", `the function returned a ${typeof tree}, which would stay that of the first call; return tensors`);
  }
}

async function makeTrace<A extends readonly Tree[], R>(
  fn: (...args: A) => R,
  args: A,
  device: Device,
  flat: readonly Leaf[],
): Promise<Trace> {
  const first = newNodeId();
  const placeholders = flat.map((leaf) => placeholder(leaf, device));
  let at = 0;
  const given = args.map((arg) => fill(arg, () => placeholders[at++], true)) as unknown as A;
  const actions: StepAction[] = [];
  const result = collectActions(actions, () => fn(...given));
  if (result instanceof Promise)
    throw new OpError("compile", "the function is async; build the graph without await and read the outputs of the compiled function");
  const tensors: Tensor[] = [];
  collect(result, tensors);
  const results = tensors.map((t) => (t.node.value === null ? t.node : versionOf(t).node));
  const handles = [...device.effects].filter((handle) => handle.node.value === null);
  device.effects.clear();

  const olds = handles.map((handle) => handle.generations.at(-1) as Node);
  let roots = [...results, ...handles.map((handle) => handle.node)];
  // What was pending before the function ran is state, or made of state: computed once, now, and not by every call anew.
  for (const [i, handle] of handles.entries()) olds[i].owner ??= handle;
  const before = pendingBefore(first, roots);
  if (before.length > 0) {
    // Whoever reads an assigned tensor meanwhile sees what it was.
    const versions = handles.map((handle) => handle.node);
    handles.forEach((handle, i) => {
      handle.node = olds[i];
    });
    await device.realize(before);
    handles.forEach((handle, i) => {
      handle.node = versions[i];
    });
  }
  let graph = walk(roots);
  const checks = rangeChecks(graph.nodes);
  if (checks.length > 0) {
    predicate(handles, checks);
    roots = [...results, ...handles.map((handle) => handle.node), ...checks.map((check) => check.bad)];
    graph = walk(roots);
  }
  const argumentAt = new Map(placeholders.map((t, i) => [t.node, i]));
  const scalarAt = new Map(actions.flatMap((action, i) => (action.kind === "read" ? [[action.node, i] as const] : [])));
  const leaves = graph.leaves.map((node): LeafSource => {
    const argument = argumentAt.get(node);
    if (argument !== undefined) return { kind: "argument", at: argument };
    const scalar = scalarAt.get(node);
    if (scalar !== undefined) return { kind: "scalar", at: scalar };
    makeResident(device, node);
    return node.owner === null ? { kind: "fixed", node } : { kind: "state", handle: node.owner };
  });
  for (const node of graph.leaves) if (node.leafOf !== null) node.leafOf.grad = null;
  const canFail = graph.nodes.some((node) => node.op.lower.kind === "host" && node.value === null);
  const wanted = roots.map((node, i) => {
    const old = olds[i - results.length];
    const donor = old === undefined || canFail ? -1 : graph.leaves.indexOf(old);
    return { node, donor: donor < 0 ? null : donor };
  });
  const plan = schedule(graph, wanted, device.backend, device);
  const donated = new Set(plan.slots.flatMap((slot) => (slot.kind === "output" && slot.donor !== null ? [slot.output] : [])));
  handles.forEach((handle, i) => {
    handle.node = olds[i];
  });
  return {
    compiled: device.executor.compile(plan),
    leaves,
    actions,
    hostFunctions: bindHostFunctions(graph),
    results: results.map((node) => ({ shape: node.shape, dtype: node.dtype })),
    checks: checks.map((check) => check.error),
    effects: handles.map((handle, i) => ({ handle, inPlace: donated.has(results.length + i) })),
    rebuild: (outputs) => {
      let next = 0;
      return fill(result, () => outputs[next++], false);
    },
  };
}

/** The nodes without a value that a trace reads and that are older than its first node. Constants stay parts of the program. */
function pendingBefore(first: number, roots: readonly Node[]): Node[] {
  const isState = (node: Node): boolean => node.id < first && node.value === null && (node.owner !== null || node.inputs.length > 0);
  const { nodes } = walk(roots);
  const read = nodes.filter((node) => node.id > first && node.value === null).flatMap((node) => node.inputs);
  return [...new Set([...roots, ...read])].filter(isState);
}

/** The stand-in for an argument while tracing: the same value, its own node. */
function placeholder(leaf: Leaf, device: Device): Tensor {
  const [shape, dtype] = leaf instanceof Tensor ? [leaf.shape, leaf.dtype] : [[], "float32" as const];
  const node = leafNode(shape, dtype, device);
  varying.add(node);
  if (leaf instanceof Tensor) {
    node.value = leaf.node.value;
    (node as { requiresGrad: boolean }).requiresGrad = leaf.requiresGrad;
    node.leafOf = leaf.node.leafOf;
  } else {
    const data = hostArray("float32", 1);
    data[0] = leaf;
    node.value = { kind: "host", data };
  }
  return new Tensor(node);
}

/** Puts host data that stays (parameters before their first update) on the device for good. */
function makeResident(device: Device, node: Node): void {
  if (node.value?.kind !== "host") return;
  const length = numel(node.shape);
  const storage = new Storage(device.pool, device.pool.acquire(node.dtype, length), length);
  device.backend.upload(storage.buffer, node.value.data);
  node.value = { kind: "device", storage };
  releaseWith(node, storage);
}

/** Runs an action, or reads its scalar, in order of creation. The call that traces has done both already. */
function act(action: StepAction, isFirst: boolean): TypedArray | null {
  if (action.kind === "run") {
    if (!isFirst) action.action();
    return null;
  }
  const { value } = action.node;
  return isFirst && value?.kind === "host" ? value.data : action.read();
}

async function replay(device: Device, trace: Trace, flat: readonly Leaf[], scalars: readonly (TypedArray | null)[]): Promise<Tensor[]> {
  const { compiled, results, effects } = trace;
  const bind = (node: Node): BufferHandle | TypedArray => {
    const value = node.value;
    if (value?.kind === "host") return value.data;
    if (value?.kind === "device") return value.storage.buffer;
    throw new OpError("compile", value?.kind === "gone" ? value.why : `${node.op.name} has no value`);
  };
  const leaves = trace.leaves.map((leaf): BufferHandle | TypedArray => {
    switch (leaf.kind) {
      case "argument": {
        const given = flat[leaf.at];
        return given instanceof Tensor ? bind(given.node) : Float32Array.of(given);
      }
      case "scalar": {
        const data = scalars[leaf.at];
        if (data === null) throw new OpError("compile", "a scalar lost its reader");
        return data;
      }
      case "state":
        makeResident(device, leaf.handle.node);
        return bind(leaf.handle.node);
      case "fixed":
        return bind(leaf.node);
    }
  });
  for (const { handle, inPlace } of effects) {
    const value = handle.node.value;
    if (
      inPlace &&
      value?.kind === "device" &&
      flat.some((leaf) => leaf instanceof Tensor && leaf.node.value?.kind === "device" && leaf.node.value.storage === value.storage)
    ) {
      throw new OpError("compile", "an argument is a tensor that the function itself assigns; leave it out of the arguments");
    }
  }
  const fresh = (dtype: Tensor["dtype"], shape: readonly number[]): Storage =>
    new Storage(device.pool, device.pool.acquire(dtype, numel(shape)), numel(shape));
  const storages = [
    ...results.map((r) => fresh(r.dtype, r.shape)),
    ...effects.map(({ handle, inPlace }) => (inPlace ? storageOf(handle) : fresh(handle.dtype, handle.shape))),
  ];
  const flags = trace.checks.map(() => fresh("bool", []));
  const outputs = [...storages, ...flags].map((storage) => storage.buffer);
  try {
    await device.executor.run(compiled, { leaves, outputs, hostFunctions: trace.hostFunctions });
  } catch (error) {
    storages.forEach((storage, i) => {
      if (i < results.length || !effects[i - results.length].inPlace) storage.release();
    });
    for (const flag of flags) flag.release();
    throw error;
  }
  effects.forEach(({ handle, inPlace }, i) => {
    const storage = storages[results.length + i];
    const old = handle.node;
    const node = leafNode(old.shape, old.dtype, device);
    node.owner = handle;
    (node as { requiresGrad: boolean }).requiresGrad = old.requiresGrad;
    node.leafOf = old.requiresGrad ? handle : null;
    node.value = { kind: "device", storage };
    handle.node = node;
    unwatch(storage);
    releaseWith(node, storage);
    if (inPlace) carryOutInPlace(handle, old);
    else {
      if (handle.generations.length === 0) handle.generations.push(old);
      carryOut(handle);
    }
  });
  const failed = await Promise.all(flags.map(async (flag) => (await device.backend.download(flag.buffer, 1))[0] !== 0));
  for (const flag of flags) flag.release();
  const broken = failed.indexOf(true);
  if (broken >= 0) {
    for (const storage of storages.slice(0, results.length)) storage.release();
    throw trace.checks[broken]();
  }
  return results.map((r, i) => {
    const node = leafNode(r.shape, r.dtype, device);
    node.value = { kind: "device", storage: storages[i] };
    releaseWith(node, storages[i]);
    return new Tensor(node);
  });
}

function storageOf(handle: Tensor): Storage {
  const value = handle.node.value;
  if (value?.kind !== "device") throw new OpError("compile", "a tensor that is updated in place is not on the device");
  return value.storage;
}

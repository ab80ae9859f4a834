/** Cases of single operations: call, compare the outputs, pull back the cotangents, compare the gradients. */
import type { Device } from "../engine/device.js";
import type { TypedArray } from "../engine/dtype.js";
import { BackendError, OpError } from "../engine/errors.js";
import { sameShape, showShape } from "../engine/shape.js";
import { Tensor, tensor } from "../engine/tensor.js";
import { type Call, layOut, parseArgument, someTensor } from "./calls.js";
import { compareElements, Verdict } from "./compare.js";
import { type Folder, HostTensor } from "./folder.js";
import { type Api, conclude, failed, Missing, need, type Outcome, oneLine, outcomeOf } from "./outcome.js";
import { compareTied } from "./ties.js";
import { wider } from "./wider.js";

interface CallCase {
  readonly id: string;
  readonly op: string;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
}

interface Reference {
  readonly tensor: string;
  readonly rtol?: number;
  readonly atol?: number;
}

export interface OpCase extends CallCase {
  readonly family: string;
  readonly file: string;
  readonly outputs: readonly (Reference & { readonly exact?: boolean; readonly after_call?: string; readonly complex?: boolean })[];
  readonly cotangents: readonly { readonly output: number; readonly tensor: string }[];
  readonly grads: readonly (Reference & { readonly of: string })[];
}

export interface ErrorCase extends CallCase {
  /** Whether the call makes no sense, or is one that PyTorch refuses for reasons of its own. */
  readonly kind: "invalid" | "torch_limit";
}

interface Prepared {
  readonly call: Call;
  readonly inputs: ReadonlyMap<string, Tensor>;
  readonly run: () => unknown;
}

/** The function, and its arguments with host tensors put on the device; those in `wanted` require gradients. */
function prepare(
  api: Api,
  device: Device,
  test: CallCase,
  find: (name: string, complex: boolean) => HostTensor,
  wanted: ReadonlySet<string>,
): Prepared {
  const args = test.args.map((value) => parseArgument(value, find));
  const kwargs = Object.fromEntries(Object.entries(test.kwargs).map(([key, value]) => [key, parseArgument(value, find)]));
  const call = layOut(test.op, args, kwargs);
  if (call === null) throw new Missing(`conformance/signatures.ts has no ${test.op}`);
  const from = call.fromComplex ? ((api.complexFunctions ?? {}) as Api) : api;
  const apply = need<(...args: unknown[]) => unknown>(from, call.name, call.fromComplex ? "complexFunctions" : "crabro");

  const inputs = new Map<string, Tensor>();
  const place = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(place);
    if (!(value instanceof HostTensor)) return value;
    let made = inputs.get(value.name);
    if (made === undefined || value.name === "") {
      made = tensor(value.data, { shape: value.shape, dtype: value.dtype, device, requiresGrad: wanted.has(value.name) });
      inputs.set(value.name, made);
    }
    const asPair = !value.complex && (value.dtype === "float32" || call.pairs) && (call.pairs || call.fromComplex);
    return asPair ? pairOf(api, made) : made;
  };
  const positional = call.positional.map(place);
  const options = Object.fromEntries(Object.entries(call.options).map(([key, value]) => [key, place(value)]));
  const given = [...call.positional, ...Object.values(call.options)];
  if (!someTensor(given, () => true)) options.device = device;
  const last = Object.keys(options).length > 0 ? [options] : [];
  return { call, inputs, run: () => apply(...positional, ...last) };
}

/** A real tensor as complex: the imaginary parts are 0. */
function pairOf(api: Api, real: Tensor): Tensor {
  const zero = tensor(new Float32Array(real.numel), { shape: real.shape, device: real.device });
  return need<(parts: Tensor[], options: { dim: number }) => Tensor>(api, "stack")([real.to("float32"), zero], { dim: -1 });
}

/** Results in order: a tensor, a list, or a record such as { values, indices }; what is null is left out. */
export function flattenResult(result: unknown): Tensor[] {
  if (result instanceof Tensor) return [result];
  if (Array.isArray(result)) return result.flatMap(flattenResult);
  if (typeof result === "object" && result !== null) return Object.values(result).flatMap(flattenResult);
  return [];
}

function lossOf(outputs: readonly Tensor[], cotangents: readonly Tensor[]): Tensor {
  return outputs.map((output, i) => output.mul(cotangents[i]).sum()).reduce((a, b) => a.add(b));
}

interface Expected {
  readonly name: string;
  readonly got: Tensor | null;
  readonly want: HostTensor;
  readonly rtol: number;
  readonly atol: number;
  readonly exact: boolean | undefined;
}

/** Runs one case on a device. Never throws. */
export async function runOpCase(api: Api, device: Device, folder: Folder, test: OpCase): Promise<Outcome> {
  try {
    const find = (name: string, complex = false): HostTensor => folder.tensor(test.file, name, complex);
    const { call, inputs, run } = prepare(api, device, test, find, new Set(test.grads.map((grad) => grad.of)));
    const results = flattenResult(await run());
    const direct = test.outputs.filter((output) => output.after_call === undefined);
    if (results.length !== direct.length) return failed(`${results.length} results, want ${direct.length}`);

    const expected: Expected[] = test.outputs.map((output, i) => ({
      name: `output ${i}`,
      got: output.after_call === undefined ? results[direct.indexOf(output)] : (inputs.get(output.after_call) ?? null),
      want: find(output.tensor),
      rtol: output.rtol ?? 0,
      atol: output.atol ?? 0,
      exact: output.exact,
    }));
    const verdict = new Verdict();
    checkForms(expected, verdict);
    if (verdict.messages.length > 0) return conclude(verdict);

    if (test.grads.length > 0) {
      const cotangents = test.cotangents.map(({ tensor: name }) => {
        const { data, shape } = find(name);
        return tensor(data, { shape, device });
      });
      lossOf(
        test.cotangents.map(({ output }) => results[output]),
        cotangents,
      ).backward();
      for (const { of, tensor: name, rtol = 0, atol = 0 } of test.grads) {
        const got = inputs.get(of)?.grad ?? null;
        expected.push({ name: `gradient of ${of.slice(test.id.length + 1)}`, got, want: find(name), rtol, atol, exact: undefined });
      }
      checkForms(expected.slice(test.outputs.length), verdict);
      if (verdict.messages.length > 0) return conclude(verdict);
    }

    const read = await Promise.all(expected.map(({ got }) => (got as Tensor).data()));
    expected.forEach(({ name, want, rtol, atol, exact, got }, i) => {
      if (exact === false) {
        verdict.add(name, tied(call, read[i], (got as Tensor).shape, want));
      } else verdict.add(name, compareElements(read[i], want.data, rtol, atol));
    });
    return conclude(verdict);
  } catch (error) {
    return outcomeOf(error);
  }
}

function tied(call: Call, data: TypedArray, shape: readonly number[], want: HostTensor) {
  const [input, second] = call.positional;
  const dim = call.options.dim ?? (call.name === "topk" ? undefined : second);
  return compareTied(call.name, input as HostTensor, dim, { data, shape }, want.data);
}

function checkForms(expected: readonly Expected[], verdict: Verdict): void {
  for (const { name, got, want } of expected) {
    if (got === null) verdict.fail(name, "there is none");
    else if (!sameShape(got.shape, want.shape)) verdict.fail(name, `shape ${showShape(got.shape)}, want ${showShape(want.shape)}`);
    else if (got.dtype !== want.dtype) verdict.fail(name, `dtype ${got.dtype}, want ${want.dtype}`);
  }
}

/**
 * A call that must be refused, when it is made or when its result is read, by an error of our own; where only PyTorch has to refuse it, the
 * result that `wider.ts` gives, and the documentation states, will do. Never throws.
 */
export async function runErrorCase(api: Api, device: Device, test: ErrorCase): Promise<Outcome> {
  const none = (name: string): HostTensor => {
    throw new Error(`an error case names a stored tensor: ${name}`);
  };
  let prepared: Prepared;
  try {
    prepared = prepare(api, device, test, none, new Set());
  } catch (error) {
    return outcomeOf(error);
  }
  let read: readonly TypedArray[];
  try {
    read = await Promise.all(flattenResult(await prepared.run()).map((result) => result.data()));
  } catch (error) {
    if (error instanceof OpError || error instanceof BackendError) return { status: "passed", error: 0, message: "" };
    return failed(`threw ${oneLine(error)}, which is no error of ours`);
  }
  if (test.kind === "invalid") return failed("was accepted, but must be refused");
  const documented = wider.get(test.op);
  if (documented === undefined || read.length !== 1) return failed("was accepted, and no documented result says what it means");
  const want = Float64Array.from(documented.want(prepared.call.positional));
  const verdict = new Verdict();
  if (read[0].length !== want.length) verdict.fail("output 0", `${read[0].length} elements, want ${want.length}`);
  else verdict.add("output 0", compareElements(read[0], want, 1e-6, 1e-6));
  return conclude(verdict);
}

/** From a PyTorch call in JSON to a call of ours: parse the arguments, bind them to names, lay them out in our convention. */
import { describedTensor, HostTensor } from "./folder.js";
import { type Bound, signatures } from "./signatures.js";

export interface Call {
  /** Our function. */
  readonly name: string;
  readonly positional: readonly unknown[];
  readonly options: Readonly<Record<string, unknown>>;
  /** Some argument is complex: the function is one of `complexFunctions`, or knows pairs itself. */
  readonly complex: boolean;
  /** The function wants every float tensor as pairs, real ones too. */
  readonly pairs: boolean;
  /** The function is among `complexFunctions`. */
  readonly fromComplex: boolean;
}

/** `torch.nn.functional.max_pool2d` → `maxPool2d`. */
export const camelCase = (name: string): string =>
  name.slice(name.lastIndexOf(".") + 1).replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

const special: Readonly<Record<string, number>> = {
  inf: Number.POSITIVE_INFINITY,
  "-inf": Number.NEGATIVE_INFINITY,
  nan: Number.NaN,
};

/** A JSON argument: tensors become HostTensors, the names of non-finite numbers numbers. */
export function parseArgument(value: unknown, tensor: (name: string, complex: boolean) => HostTensor): unknown {
  if (typeof value === "string") return Object.hasOwn(special, value) ? special[value] : value;
  if (Array.isArray(value)) return value.map((item) => parseArgument(item, tensor));
  if (typeof value !== "object" || value === null) return value;
  if ("tensor" in value) return tensor(value.tensor as string, (value as { complex?: boolean }).complex === true);
  if ("shape" in value) return describedTensor(value as Parameters<typeof describedTensor>[0]);
  return value;
}

interface Parameter {
  readonly name: string;
  readonly required: boolean;
  readonly rest: boolean;
}

const parameters = (text: string): Parameter[] =>
  text
    .trim()
    .split(/\s+/)
    .map((word) => ({ name: word.replace(/^\*|\?$/g, ""), required: !word.endsWith("?"), rest: word.startsWith("*") }));

function bind(op: string, params: readonly Parameter[], args: readonly unknown[], kwargs: Bound): Bound {
  const bound: Record<string, unknown> = { ...kwargs };
  for (const key of Object.keys(kwargs)) {
    if (!params.some(({ name }) => name === key)) throw new Error(`the table of signatures lacks ${key} of ${op}`);
  }
  args.forEach((value, i) => {
    const at = params[Math.min(i, params.length - 1)];
    if (at.rest) bound[at.name] = args.slice(params.length - 1);
    else if (i >= params.length)
      throw new Error(`the table of signatures has ${params.length} parameters for ${op}; the case gives ${args.length}`);
    else bound[at.name] = value;
  });
  return bound;
}

export const someTensor = (value: unknown, test: (tensor: HostTensor) => boolean): boolean =>
  value instanceof HostTensor ? test(value) : Array.isArray(value) && value.some((item) => someTensor(item, test));

/** Null when the table does not know the operation. */
export function layOut(op: string, args: readonly unknown[], kwargs: Bound): Call | null {
  const signature = signatures.get(op);
  if (signature === undefined) return null;
  let params = parameters(signature.params);
  let bound = bind(op, params, args, kwargs);
  let name = signature.as ?? camelCase(op);
  if (signature.adapt !== undefined) {
    const adapted = signature.adapt(bound);
    bound = adapted.bound;
    name = adapted.as ?? name;
    if (adapted.params !== undefined) params = parameters(adapted.params);
  }
  const positional: unknown[] = [];
  const options: Record<string, unknown> = {};
  for (const { name: key, required } of params) {
    const value = bound[key];
    if (required) positional.push(value);
    // Results are new tensors always; what PyTorch writes in place has the same values.
    else if (value !== undefined && value !== null && key !== "inplace") options[camelCase(key)] = value;
  }
  const complex = someTensor([...positional, ...Object.values(options)], (tensor) => tensor.complex);
  return { name, positional, options, complex, pairs: signature.pairs === "always", fromComplex: complex && signature.pairs === undefined };
}

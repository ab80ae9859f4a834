/** Calls that PyTorch refuses for reasons of its own and that have an evident result here: which, and what it is. */
import type { HostTensor } from "./folder.js";

export interface Wider {
  /** What docs/semantics.md says about it, word for word. */
  readonly documented: string;
  /** The result, in order, from the positional arguments of the call. */
  want(positional: readonly unknown[]): ArrayLike<number>;
}

const elements = (value: unknown): number[] => Array.from((value as HostTensor).data);

export const wider: ReadonlyMap<string, Wider> = new Map([
  [
    "torch.maximum",
    {
      documented: "numbers as the second operand of `maximum` and `minimum`",
      want: ([x, other]) => elements(x).map((value) => Math.max(value, other as number)),
    },
  ],
  // Less its mean, one value is 0.
  ["torch.nn.functional.group_norm", { documented: "`groupNorm` of one value a group", want: ([x]) => elements(x).map(() => 0) }],
]);

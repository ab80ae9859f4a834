/** gpu.js's modes, and what each can do. */
import { type Language, maxExact, native } from "./language.js";

export interface Mode {
  readonly name: string;
  /** For people: what computes. */
  readonly about: string;
  readonly language: Language;
  /** Results stay on gpu.js's device, and have to be freed. */
  readonly isResident: boolean;
  /** Buffers that one kernel takes. */
  readonly maxArguments: number;
  /** Elements of a buffer. */
  readonly maxLength: number;
  /** Further settings of each kernel. */
  readonly settings: Readonly<Record<string, unknown>>;
}

const onHost = { language: native, isResident: false, maxArguments: 250, maxLength: maxExact, settings: {} } as const;

export const modes: readonly Mode[] = [
  { name: "cpu", about: "as JavaScript, on one thread", ...onHost },
  { name: "webasm", about: "as WebAssembly, on one thread", ...onHost },
];

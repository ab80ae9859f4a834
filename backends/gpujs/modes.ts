/** gpu.js's modes, and what each can do. */
import { inQuads, type Language, maxExact, native } from "./language.js";
import { shader } from "./shader-language.js";

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
  /** What has to be there, where that is not everywhere. */
  readonly needs?: string;
  /** Further settings of each kernel. */
  readonly settings: Readonly<Record<string, unknown>>;
}

const onHost = { language: native, isResident: false, maxArguments: 250, maxLength: maxExact, settings: {} } as const;

const onGpu = { language: shader, isResident: true, maxLength: maxExact, settings: {} } as const;

const onGl = { ...onGpu, settings: { precision: "single", tactic: "precision" } } as const;

export const modes: readonly Mode[] = [
  { name: "cpu", about: "as JavaScript, on one thread", ...onHost },
  { name: "webasm", about: "as WebAssembly, on one thread", ...onHost, language: inQuads },
  // Eight storage buffers: the arguments, one of them perhaps the old contents of the result, the result, and the constants.
  { name: "webgpu", about: "as WGSL", ...onGpu, maxArguments: 6 },
  // A texture unit an argument, sixteen at least.
  { name: "webgl2", about: "as WebGL 2 shaders", ...onGl, maxArguments: 14, needs: "a browser with WebGL 2" },
  {
    name: "headlessgl",
    about: "as WebGL shaders in Node",
    ...onGl,
    maxArguments: 6,
    needs: "the package gl with its native part (npm install gl)",
  },
];

/** What of WebAssembly a runtime has. */
import { type Code, floats, get, Locals, ModuleWriter, v128 } from "./binary.js";
import { builtin } from "./threads.js";

/** Whether this runtime takes an instruction of three vectors. */
function takes(instruction: (a: Code, b: Code, c: Code) => Code): boolean {
  const module = new ModuleWriter();
  module.export("f", module.addFunction([v128, v128, v128], [v128], new Locals(3), instruction(get(0), get(1), get(2))));
  return WebAssembly.validate(module.finish());
}

export const hasVectors = (): boolean => typeof WebAssembly === "object" && takes((a, b) => floats.add(a, b));

/** In Node 20 it must be asked for. */
export function hasRelaxed(): boolean {
  if (takes(floats.relaxedMadd)) return true;
  try {
    builtin("node:v8")?.setFlagsFromString("--experimental-wasm-relaxed-simd");
  } catch {
    return false;
  }
  return takes(floats.relaxedMadd);
}

/** What the webgpu backend leaves to others. */
import type { Skip } from "../../backends/conformance.js";

export const skip: readonly Skip[] = [{ test: "float64", reason: "WGSL has no 64-bit floats" }];

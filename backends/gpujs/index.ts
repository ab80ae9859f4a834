import { BackendError } from "../../engine/errors.js";
import type { Backend } from "../backend.js";
import { GpujsBackend, type GpujsOptions } from "./backend.js";
import { type ModeName, modes } from "./modes.js";

/** Opens gpu.js in one of its modes. Throws BackendError where the mode cannot run here; it never takes another one. */
export async function createGpujsBackend(mode: ModeName, options: GpujsOptions = {}): Promise<Backend> {
  const { GPU } = await import("gpu.js");
  try {
    return new GpujsBackend(modes[mode], new GPU({ mode: mode as "cpu" }), options);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError(`gpujs:${mode}`, `gpu.js cannot run in this mode here: ${reason}`, { cause });
  }
}

/** The `gpujs` backend: gpu.js in one of its modes. */
import { BackendError } from "../../engine/errors.js";
import type { Backend } from "../backend.js";
import { GpujsBackend, type GpujsOptions } from "./backend.js";
import { modes } from "./modes.js";

/**
 * Opens gpu.js in one of its modes, or without a name in the fastest that every machine has, `webasm`. Throws BackendError for an unknown mode, and
 * where a mode cannot run here; it never takes another one.
 */
export async function createGpujsBackend(name = "webasm", options: GpujsOptions = {}): Promise<Backend> {
  const mode = modes.find((each) => each.name === name);
  if (mode === undefined) {
    throw new BackendError(`gpujs:${name}`, `gpu.js has no such mode; known are ${modes.map((each) => each.name).join(", ")}`);
  }
  const { GPU } = await import("gpu.js");
  try {
    return new GpujsBackend(mode, new GPU({ mode: mode.name as "cpu" }), options);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError(`gpujs:${name}`, `gpu.js cannot run in this mode here: ${reason}`, { cause });
  }
}

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
  const isSoftware = name === "webgpu:software";
  const mode = modes.find((each) => each.name === (isSoftware ? "webgpu" : name));
  if (mode === undefined) {
    throw new BackendError(`gpujs:${name}`, `gpu.js has no such mode; known are ${modes.map((each) => each.name).join(", ")}`);
  }
  const library: typeof import("gpu.js") & { readonly default?: typeof import("gpu.js") } = await import("gpu.js");
  // What bundlers make of it has everything under `default`.
  const { GPU } = library.GPU === undefined && library.default !== undefined ? library.default : library;
  try {
    const adapter = mode.name === "webgpu" ? await findAdapter() : null;
    if (isSoftware && adapter !== null && !isSoftwareAdapter(adapter)) throw new Error(`${titleOf(adapter)} is not a software adapter`);
    return new GpujsBackend(mode, new GPU({ mode: mode.name as "cpu" }), options, adapter === null ? "" : ` on ${titleOf(adapter)}`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const needs = mode.needs === undefined ? "" : `; it needs ${mode.needs}`;
    throw new BackendError(`gpujs:${name}`, `gpu.js cannot run in this mode here: ${reason}${needs}`, { cause });
  }
}

/** The adapter that gpu.js will take: it looks for what browsers have, `navigator.gpu`; in Node the package `webgpu` is put there. */
async function findAdapter(): Promise<GPUAdapter> {
  const scope = globalThis as { navigator?: { gpu?: GPU } };
  if (scope.navigator?.gpu === undefined && typeof process !== "undefined") {
    // Not a literal, so that no bundler follows it into a page.
    const module = "webgpu";
    const { create, globals } = (await import(/* @vite-ignore */ module)) as typeof import("webgpu");
    Object.assign(globalThis, globals);
    if (scope.navigator === undefined) Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
    Object.defineProperty(scope.navigator, "gpu", { value: create([]), configurable: true });
  }
  const adapter = await scope.navigator?.gpu?.requestAdapter();
  if (!adapter) throw new Error("there is no WebGPU adapter");
  return adapter;
}

const isSoftwareAdapter = ({ info }: GPUAdapter): boolean =>
  info.isFallbackAdapter ||
  /swiftshader|llvmpipe|lavapipe|basic render|software/i.test(`${info.vendor} ${info.architecture} ${info.description}`);

const titleOf = ({ info }: GPUAdapter): string =>
  [info.description || info.device || info.vendor || "an unnamed adapter", info.architecture].filter(Boolean).join(", ");

/** The text form of modules (WAT), for people: by the package `wabt`, which is loaded only when someone wants to read. */
import { BackendError } from "../../engine/errors.js";

/** @throws BackendError where `wabt` is not installed. */
export async function moduleText(bytes: Uint8Array): Promise<string> {
  const wabt = await (await library())();
  const module = wabt.readWasm(bytes, { simd: true, relaxed_simd: true, threads: true, sat_float_to_int: true, bulk_memory: true });
  try {
    module.generateNames();
    module.applyNames();
    return module.toText({ foldExprs: true, inlineExport: true });
  } finally {
    module.destroy();
  }
}

async function library(): Promise<typeof import("wabt")> {
  // Not spelled out in the import, so that bundles for browsers leave the package alone.
  const module = "wabt";
  try {
    return ((await import(/* @vite-ignore */ module)) as unknown as { readonly default: typeof import("wabt") }).default;
  } catch (cause) {
    throw new BackendError("wasm", "the text form of modules is written by the package wabt, which is not installed; npm install wabt", {
      cause,
    });
  }
}

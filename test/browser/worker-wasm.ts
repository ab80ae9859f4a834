/** The worker of `page-wasm.ts`. */
import type { WasmBackend } from "../../backends/wasm/index.js";
import { type DeviceOptions, device } from "../../index.js";
import { compute } from "./page-webgpu.js";

const scope = globalThis as unknown as {
  onmessage: (event: { readonly data: DeviceOptions }) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = async ({ data }) => {
  try {
    const on = await device("wasm", data);
    await (on.backend as WasmBackend).ready();
    scope.postMessage(await compute(on));
    await on.close();
  } catch (error) {
    scope.postMessage({ error: String(error) });
  }
};

/** `node.ts` for pages, which have the browser's GPU or none. */
import { BackendError } from "../../engine/errors.js";

export const ownGpu: typeof import("./node.js").ownGpu = async () => {
  throw new BackendError("webgpu", "this browser has no WebGPU (navigator.gpu)");
};

export const softwareRemedy = "";

/** Browsers wait elsewhere. */
export const restDuring: typeof import("./node.js").restDuring = () => {};

/** The engine's public face: tensors, their functions and methods, devices, compiled functions, and the tools that look inside. */
import { verifyKernel } from "./kernel/verify.js";
import { installMethods } from "./methods.js";
import { provideVerifier } from "./schedule/verifier.js";

installMethods();
provideVerifier(verifyKernel);

export * from "./core.js";

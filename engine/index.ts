/** The engine's public face: tensors, their functions and methods, devices, compiled functions, and the tools that look inside. */
import { showKernelsBy } from "./debug.js";
import { printKernel } from "./kernel/print.js";
import { verifyKernel } from "./kernel/verify.js";
import { installMethods } from "./methods.js";
import { provideVerifier } from "./schedule/verifier.js";

installMethods();
provideVerifier(verifyKernel);
showKernelsBy(printKernel);

export * from "./core.js";

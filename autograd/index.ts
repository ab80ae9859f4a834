/** Gradients. Importing this gives tensors their `backward`. */
export { type Anomaly, detectAnomaly, findAnomaly, setAnomalyMode } from "./anomaly.js";
export { type BackwardOptions, type GradientsOptions, gradients } from "./backward.js";
export { checkpoint } from "./checkpoint.js";
export { type CustomBackward, customGradient } from "./custom.js";
export { type GradOptions, grad, valueAndGrad } from "./grad.js";
export { enableGrad, isGradEnabled, noGrad } from "./grad-mode.js";
export { type GradcheckOptions, gradcheck, gradgradcheck } from "./gradcheck.js";

/** The engine's public face: tensors and their functions, devices, compiled functions, and the tools that look inside. */
import "./methods.js";

export { debugLevel, setDebugLevel } from "./debug.js";
export { backendNames, Device, type DeviceOptions, defaultDevice, device, registerBackend, setDefaultDevice } from "./device.js";
export { type DType, dtypeBytes, isFloating, promote, type TypedArray } from "./dtype.js";
export { BackendError, InternalError, OpError } from "./errors.js";
export { type Explanation, explain } from "./explain.js";
export * from "./functional/index.js";
export { type HostFunction, hostCall } from "./ops/host.js";
export { opTable } from "./ops/record.js";
export { type KernelProfile, type Profile, type ProfiledLaunch, type ProfileOptions, profile } from "./profile.js";
export * from "./random.js";
export { measureRoofline, type Roofline } from "./roofline.js";
export { type Compiled, type CompileOptions, compile } from "./runtime/compile.js";
export { hostScalar, onStep } from "./runtime/scalar.js";
export type { MemoryStats } from "./runtime/storage.js";
export { memory, realize } from "./runtime/tools.js";
export { type Shape, showShape } from "./shape.js";
export { fromHost, type Nested, Tensor, type TensorOptions, tensor } from "./tensor.js";

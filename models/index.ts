/** Networks and the layers they are made of. */
export * from "./gnconv.js";
export * from "./hornet.js";
export * as nn from "./nn/index.js";
export { Module, Parameter } from "./nn/index.js";
export * from "./registry.js";
export * from "./state.js";

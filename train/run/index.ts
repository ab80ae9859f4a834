/** Runs on disk. */
export * from "./folder.js";
export * from "./lock.js";
export * from "./state.js";

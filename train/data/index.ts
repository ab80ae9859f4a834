/** Data sets and loaders. */
export * from "./batch.js";
export * from "./bytes.js";
export * from "./cifar.js";
export * from "./dataset.js";
export * from "./decode.js";
export * from "./fetch.js";
export * from "./folder.js";
export * from "./idx.js";
export * from "./loader.js";
export * from "./mnist.js";
export * from "./order.js";
export * from "./scene.js";
export * from "./source.js";
export * from "./synthetic.js";
export * from "./tar.js";

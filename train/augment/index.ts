/** Augmentation, on the host: every random choice is a function of seed, epoch and position. */
export * from "./affine.js";
export * from "./colour.js";
export * from "./crop-box.js";
export * from "./draws.js";
export * from "./erase.js";
export * from "./mix.js";
export * from "./picture.js";
export * from "./randaugment.js";
export * from "./resize.js";
export * from "./scene-transform.js";
export * from "./transform.js";

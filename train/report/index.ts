/** What a run leaves to be read. */
export * from "./classification.js";
export * from "./confusion.js";
export * from "./draw.js";
export * from "./events.js";
export * from "./gallery.js";
export * from "./history.js";
export * from "./html.js";
export * from "./scenes.js";
export * from "./sheet.js";

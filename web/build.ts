/** The last step of `npm run build`: `dist/browser/crabro.js`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildLibrary } from "./library.js";

const folder = join(resolve(import.meta.dirname, ".."), "dist", "browser");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "crabro.js"), await buildLibrary());

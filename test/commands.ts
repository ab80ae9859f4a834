/** The commands as tests start them. */
import { join, resolve } from "node:path";

export const root = resolve(import.meta.dirname, "..");
/** Where `build.ts` puts what it makes. */
export const builtFolder = join(root, ".tmp", "js");

/** Arguments for Node that run a source file, as `vitest.config.ts` runs tests: most processes end before optimised code pays. */
export const source = (file: string): readonly string[] => ["--interrupt-budget=500000", join(builtFolder, file.replace(/\.ts$/, ".js"))];

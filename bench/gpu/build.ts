/** Bundles `npm run gpu` into `dist/gpu.js`, for machines without a package manager. */
import { resolve } from "node:path";
import { build } from "esbuild";

const root = resolve(import.meta.dirname, "../..");

export const bundleGpu = (outfile = resolve(root, "dist/gpu.js")) =>
  build({
    entryPoints: [resolve(root, "bench/gpu/main.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "warning",
    external: ["gpu.js"],
    // For packages that are CommonJS.
    banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
  });

if (process.argv[1] === import.meta.filename) await bundleGpu();

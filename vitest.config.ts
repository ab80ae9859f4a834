import { defineConfig } from "vitest/config";
import { softwareGpuEnvironment } from "./backends/webgpu/software.ts";

// Before the forks start, as the linker reads it then. GPU=real tests on the adapter of the machine instead.
if (process.env.GPU !== "real") Object.assign(process.env, softwareGpuEnvironment());

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/build.ts"],
    setupFiles: ["test/setup.ts"],
    pool: "forks",
    // Most files end before optimised code pays for its compilation.
    execArgv: ["--interrupt-budget=500000"],
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
});

/** Names like `webgpu:software` on a command line: the software adapter is found only by a process that starts in its environment. */
import { spawn } from "node:child_process";
import { softwareGpuEnvironment } from "../backends/webgpu/software.js";

const softwareNames: readonly string[] = ["webgpu:software", "gpujs:webgpu:software"];

/** The environment for processes that open this device, where it takes one; null where the present one will do. */
export function environmentFor(device: string): NodeJS.ProcessEnv | null {
  if (!softwareNames.includes(device)) return null;
  const environment = softwareGpuEnvironment();
  const isThere = process.env.VK_DRIVER_FILES === environment.VK_DRIVER_FILES;
  return isThere ? null : { ...process.env, ...environment };
}

/** The environment that the devices named in these arguments take; null where the present one will do. */
export function environmentIn(argv: readonly string[]): NodeJS.ProcessEnv | null {
  const named = softwareNames.find((name) => argv.some((argument) => argument === name || argument.endsWith(`=${name}`)));
  return named === undefined ? null : environmentFor(named);
}

/** Runs this very process once more in an environment, and returns its exit status. */
export function runAgain(env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], { env, stdio: "inherit" });
  // The terminal interrupts both; the child's own end decides.
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on("SIGINT", () => {}).on("SIGTERM", forward);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      process.off("SIGTERM", forward);
      resolve(code ?? (signal === "SIGINT" ? 130 : 1));
    });
  });
}

/** `crabro devices`: what there is to compute on, and whether it computes right. */
import { Command } from "commander";
import { backendNames, type Device, device, matmul, tensor } from "../../index.js";

const examples = `
Examples:
  crabro devices
  crabro devices webgpu:software
`;

export function devicesCommand(): Command {
  return new Command("devices")
    .description("list the devices, each with a small check")
    .argument("[devices...]", "which (default: all)")
    .addHelpText("after", examples)
    .action(async (named: string[]) => {
      for (const name of named.length > 0 ? named : backendNames().filter((each) => each !== "auto")) {
        // A software adapter takes a process of its own, and is only for those who name it.
        const isLeftOut = named.length === 0 && name.endsWith(":software");
        process.stdout.write(`${name.padEnd(16)} ${isLeftOut ? `by name only: crabro devices ${name}` : await check(name)}\n`);
      }
    });
}

/** Opens the device and multiplies two small matrices on it. */
async function check(name: string): Promise<string> {
  let opened: Device;
  try {
    opened = await device(name);
  } catch (error) {
    return `not here: ${(error as Error).message.replaceAll("\n", " ")}`;
  }
  try {
    const start = performance.now();
    const a = tensor([1, 2, 3, 4], { shape: [2, 2], device: opened });
    const product = await matmul(a, a).data();
    const passed = [7, 10, 15, 22].every((value, i) => product[i] === value);
    const time = `${(performance.now() - start).toFixed(0)} ms`;
    return `${passed ? "PASS" : `FAIL (2 × 2 product gave ${[...product].join(", ")})`}  ${time}  ${opened.describe()}  [${opened.dtypes.join(", ")}]`;
  } catch (error) {
    return `FAIL  ${(error as Error).message.replaceAll("\n", " ")}`;
  } finally {
    await opened.close();
  }
}

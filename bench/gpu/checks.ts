/** Whether the device computes right: the backend suite, and reference cases (operators, micro networks) where they lie beside. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { checkBackend } from "../../backends/conformance.js";
import { openFolder } from "../../conformance/disk.js";
import { tasksOf } from "../../conformance/tasks.js";
import * as crabro from "../../index.js";
import type { Checks } from "./report.js";

const line = (text: string): string => text.replaceAll("\n", " ").slice(0, 200);

/** The shared suite, on backends of their own. `only` keeps the cases whose name it finds. */
export async function checkSuite(open: () => Promise<crabro.Device>, progress: (text: string) => void): Promise<Checks> {
  const failed: string[] = [];
  let passed = 0;
  let declined = 0;
  const skip = [{ test: "float64", reason: "WGSL has no 64-bit floats" }];
  await checkBackend({ name: "webgpu", create: async () => (await open()).backend, skip }, ({ name, outcome, detail }) => {
    progress(name);
    if (outcome === "skipped" || detail.includes(" refuses the template: ")) declined++;
    else if (outcome === "passed") passed++;
    else failed.push(`${name}: ${line(detail)}`);
  });
  return { name: "backend suite", passed, failed, declined };
}

/** The reference cases of a folder; with `few`, one of each operation and no whole networks. */
export async function checkCases(
  on: crabro.Device,
  root: string,
  name: string,
  few: boolean,
  progress: (text: string) => void,
): Promise<Checks | null> {
  if (!existsSync(join(root, name, "index.json"))) return null;
  const all = tasksOf(openFolder(join(root, name)));
  const networks = new Set(["HorNet", "trajectory"]);
  const first = new Map(
    [...all]
      .reverse()
      .filter((task) => !networks.has(task.op))
      .map((task) => [task.op, task]),
  );
  const failed: string[] = [];
  let passed = 0;
  const before = crabro.defaultDevice();
  crabro.setDefaultDevice(on);
  for (const task of few ? [...first.values()].reverse() : all) {
    progress(`${name} ${task.id}`);
    const { status, message } = await task.run(crabro, on);
    if (status === "passed" || status === "refused") passed++;
    else failed.push(`${task.id}: ${status}: ${line(message)}`);
  }
  crabro.setDefaultDevice(before);
  return { name: `reference cases: ${name}`, passed, failed, declined: 0 };
}

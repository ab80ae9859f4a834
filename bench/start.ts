/** `npm run bench -- start`: how long processes take from nothing to what they do first, on the default device, beside Node that does nothing. */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { Command } from "commander";
import { whole } from "../cli/commands/flags.js";
import { writeJavaScript } from "./javascript.js";

const folder = resolve(import.meta.dirname, "..", ".tmp", "start");

/** Modules that start in a folder of JavaScript. */
const programs: readonly (readonly [name: string, code: string])[] = [
  ["Node alone", ""],
  [
    "a first result",
    `const { randn } = await import("./index.js");
     await randn([2, 3]).sum().item();`,
  ],
  [
    "hornet_tiny_7x7 made, and forward at 64 × 64",
    `const { noGrad, rand } = await import("./index.js");
     const { createModel } = await import("./models/index.js");
     const model = createModel("hornet_tiny_7x7").eval();
     await noGrad(() => model.forward(rand([1, 3, 64, 64]))).sum().item();`,
  ],
  [
    "a training step of the micro HorNet",
    `const { compile, rand, tensor } = await import("./index.js");
     const { createModel } = await import("./models/index.js");
     const { AdamW, trainStep } = await import("./train/index.js");
     const model = createModel("hornet_micro_7x7");
     const step = compile(trainStep(model, new AdamW(model.parameters()), { labelSmoothing: 0.1, clipGrad: 5 }));
     await (await step(rand([64, 1, 32, 32]), tensor(Array.from({ length: 64 }, (_, i) => i % 10), { dtype: "int32" }))).loss.item();`,
  ],
];

interface Start {
  /** Seconds from start to end. */
  readonly wall: number;
  /** Seconds on all processors. */
  readonly cpu: number;
}

function start(code: string): Start {
  const told = `${code}\nconst { user, system } = process.cpuUsage();\nconsole.log((user + system) / 1e6);`;
  const before = performance.now();
  const run = spawnSync(process.execPath, ["--input-type=module", "--eval", told], { cwd: folder, encoding: "utf8" });
  const wall = (performance.now() - before) / 1000;
  if (run.status !== 0) throw new Error(`a process failed: ${run.stderr}`);
  return { wall, cpu: Number(run.stdout) };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

export function startCommand(): Command {
  return new Command("start")
    .description("processes from nothing to what they do first, beside Node alone")
    .option("--rounds <count>", "how often each is started, in turn", whole(1), 5)
    .action(async ({ rounds }: { readonly rounds: number }) => {
      await writeJavaScript(folder);
      const starts = programs.map((): Start[] => []);
      for (let round = 0; round < rounds; round++) programs.forEach(([, code], i) => void starts[i].push(start(code)));
      const [alone] = starts.map((each) => median(each.map(({ wall }) => wall)));
      programs.forEach(([name], i) => {
        const wall = median(starts[i].map((each) => each.wall));
        const cpu = median(starts[i].map((each) => each.cpu));
        console.log(
          `${name.padEnd(46)} ${wall.toFixed(2)} s, ${(wall - alone).toFixed(2)} more than Node; ${cpu.toFixed(2)} s of processor time`,
        );
      });
    });
}

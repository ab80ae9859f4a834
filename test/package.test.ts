/** The package as it is installed: built, packed, and run by plain Node from a folder that has nothing but what it depends on. */
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../index.js";
import manifest from "../package.json" with { type: "json" };
import { buildLibrary } from "../web/library.js";
import { writePictures } from "./train/pictures-folder.js";

const root = resolve(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "crabro-package-"));
const app = join(folder, "app");
const installed = join(app, "node_modules", "crabro");
const command = join(installed, manifest.bin.crabro);

const execute = promisify(execFile);
/** What a program prints; throws, with all of it, where it fails. */
const node = async (...args: string[]): Promise<string> => {
  const { stdout } = await execute(process.execPath, args, { cwd: app, timeout: 120_000, env: { ...process.env, NODE_OPTIONS: "" } });
  return stdout;
};

/** Runs a module of the user's. */
const program = (code: string): Promise<string> => {
  writeFileSync(join(app, "program.mjs"), code);
  return node("program.mjs");
};

beforeAll(async () => {
  const stage = join(folder, "stage");
  mkdirSync(stage);
  for (const file of ["package.json", "README.md", "LICENSE"]) copyFileSync(join(root, file), join(stage, file));
  // As `npm run build`, less the check of types, which `npm test` makes anyway.
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  await execute(process.execPath, [tsc, "-p", "tsconfig.build.json", "--noCheck", "--outDir", join(stage, "dist")], { cwd: root });
  mkdirSync(join(stage, "dist", "browser"));
  writeFileSync(join(stage, "dist", "browser", "crabro.js"), await buildLibrary());
  await execute("npm", ["pack", "--ignore-scripts", "--offline"], { cwd: stage });
  mkdirSync(installed, { recursive: true });
  await execute("tar", ["-xzf", join(stage, `crabro-${manifest.version}.tgz`), "--strip-components=1", "-C", installed]);
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    const from = join(root, "node_modules", name);
    const to = join(app, "node_modules", name);
    mkdirSync(dirname(to), { recursive: true });
    if (existsSync(from)) symlinkSync(from, to);
  }
  writeFileSync(join(app, "package.json"), JSON.stringify({ type: "module", private: true }));
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the packed package", () => {
  it("has its documents, and a file for every export", () => {
    expect(readdirSync(installed).sort()).toEqual(["LICENSE", "README.md", "dist", "package.json"]);
    for (const target of Object.values(manifest.exports)) {
      for (const file of typeof target === "string" ? [target] : [target.types, target.default])
        for (const backend of file.includes("*") ? ["cpu", "wasm", "webgpu", "gpujs"] : [""])
          expect(existsSync(join(installed, file.replace("*", backend))), file.replace("*", backend)).toBe(true);
    }
  });

  it("prints the command's help and version", async () => {
    expect(readFileSync(command, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(await node(command, "--help")).toMatch(/^Usage: crabro /);
    expect(await node(command, "--version")).toBe(`${manifest.version}\n`);
  });

  it("runs the README's first example, and multiplies on the threads of wasm", async () => {
    const [, example] = /```ts\n(.*?)```/s.exec(readFileSync(join(root, "README.md"), "utf8")) as RegExpExecArray;
    expect(example).toContain('from "crabro/train"');
    // Types are of no concern to Node; the example has none.
    const losses = [...(await program(example)).matchAll(/^step \d+: loss (\S+)$/gm)].map(([, loss]) => Number(loss));
    expect(losses.length).toBe(4);
    expect(losses[3]).toBeLessThan(losses[0] / 4);
    const answer = await program(`
      import { device, ones, matmul } from "crabro";
      import { createModel, listModels } from "crabro/models";
      import { readWeights } from "crabro/models/node";
      for (const name of ["cpu", "wasm", "webgpu", "gpujs", "backend"]) await import(\`crabro/backends/\${name}\`);
      console.log(await ones([3]).sum().item(), ones([3]).device.name);
      const wasm = await device("wasm", { threads: 2 });
      const product = matmul(ones([256, 256], { device: wasm }), ones([256, 256], { device: wasm }));
      console.log(await product.sum().item(), wasm.describe(), typeof createModel, listModels().length > 9, typeof readWeights);
      await wasm.close();`);
    expect(answer).toMatch(/^3 wasm\n16777216 wasm: .* function true function\n$/);
    expect(answer).toContain("2 threads");
  });

  it("has engine, autograd and each backend apart", async () => {
    const answer = await program(`
      import { device, registerBackend, setDefaultDevice, tensor } from "crabro/engine";
      import { grad } from "crabro/autograd";
      import { createCpuBackend } from "crabro/backends/cpu";
      registerBackend("mine", () => createCpuBackend());
      setDefaultDevice(await device("mine"));
      console.log(await grad((x) => x.mul(x).sum())(tensor([1, 2, 3])).tolist());`);
    expect(answer).toBe("[ 2, 4, 6 ]\n");
  });

  it("trains on a folder of pictures, which workers load, evaluates what it trained, and says what a picture shows", async () => {
    writePictures(join(app, "photos"), 4);
    const data = ["photos", "-b", "4", "--workers", "2", "--device", "cpu"];
    const trained = await node(command, "train", ...data, "--epochs", "1", "--output", "run");
    const [result] = /^\* Acc@1 .*$/m.exec(trained) as RegExpExecArray;
    expect(readdirSync(join(app, "run"))).toEqual(expect.arrayContaining(["last.safetensors", "log.txt", "report.html", "summary.csv"]));
    const checkpoint = ["--checkpoint", join("run", "last.safetensors")];
    expect(await node(command, "eval", ...data, ...checkpoint)).toContain(result);
    const picture = join("photos", "val", "red", "0.png");
    expect(await node(command, "predict", picture, ...checkpoint, "--topk", "3")).toMatch(/0\.png: (\w+ [\d.]+% *){3}\n$/);
  });
});

/** The cases of a folder as a list of things to run. */
import type { Device } from "../engine/device.js";
import type { FileCase } from "./files.js";
import { type Folder, UsageError } from "./folder.js";
import { type ModelCase, runModelCase } from "./models.js";
import { type ErrorCase, type OpCase, runErrorCase, runOpCase } from "./ops.js";
import { type Api, byTable, type Outcome } from "./outcome.js";

export interface Task {
  readonly id: string;
  /** The operation, the kind of model, or the kind of file: what results are counted by. */
  readonly op: string;
  /** The family of an operation; "errors" for calls that must be refused. */
  readonly family: string;
  /** Never throws. */
  run(api: Api, device: Device): Promise<Outcome>;
}

interface Index<T> {
  readonly cases: readonly T[];
}

/** Every case, in the order of the index. */
export function tasksOf(folder: Folder): Task[] {
  if (folder.kind === "models") {
    const manifests = folder
      .list("manifests")
      .map((file): ModelCase => ({ id: `manifest_${file.replace(".json", "")}`, kind: "manifest", file: `manifests/${file}`, config: {} }));
    return [...(folder.index as Index<ModelCase>).cases, ...manifests].map((test) => ({
      id: test.id,
      op: test.kind,
      family: "models",
      run: async (_, device) => byTable(await runModelCase(device, folder, test), test.id, device.name),
    }));
  }
  if (folder.kind === "files") return fileTasks(folder);
  const tasks: Task[] = (folder.index as Index<OpCase>).cases.map((test) => ({
    id: test.id,
    op: test.op,
    family: test.family,
    run: async (api, device) => byTable(await runOpCase(api, device, folder, test), test.id, device.name),
  }));
  if (!folder.has("errors.json")) return tasks;
  return [
    ...tasks,
    ...(folder.json("errors.json") as Index<ErrorCase>).cases.map((test) => ({
      id: test.id,
      op: test.op,
      family: "errors",
      run: async (api: Api, device: Device) => byTable(await runErrorCase(api, device, test), test.id, device.name),
    })),
  ];
}

function fileTasks(folder: Folder): Task[] {
  const { runFile, path } = folder.source;
  if (runFile === undefined) throw new UsageError(`the cases of ${path} are files, which are read from a disk`);
  return Object.entries(folder.index as Record<string, FileCase>).map(([file, test]) => {
    const extension = file.slice(file.lastIndexOf(".") + 1);
    return { id: file, op: `file .${extension}`, family: "files", run: async () => runFile(file, test) };
  });
}

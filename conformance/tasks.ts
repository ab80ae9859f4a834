/** The cases of a folder as a list of things to run. */
import type { Device } from "../engine/device.js";
import { OpError } from "../engine/errors.js";
import { readSafetensors } from "../models/weights/safetensors.js";
import type { Folder } from "./folder.js";
import { type ModelCase, runModelCase } from "./models.js";
import { type ErrorCase, type OpCase, runErrorCase, runOpCase } from "./ops.js";
import { type Api, type Outcome, oneLine } from "./outcome.js";

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

/** Every case that counts, in the order of the index; PyTorch's own limits (`torch_limit`) do not. */
export function tasksOf(folder: Folder): Task[] {
  if (folder.kind === "models") {
    const manifests = folder
      .list("manifests")
      .map((file): ModelCase => ({ id: `manifest_${file.replace(".json", "")}`, kind: "manifest", file: `manifests/${file}`, config: {} }));
    return [...(folder.index as Index<ModelCase>).cases, ...manifests].map((test) => ({
      id: test.id,
      op: test.kind,
      family: "models",
      run: (_, device) => runModelCase(device, folder, test),
    }));
  }
  if (folder.kind === "files") return fileTasks(folder);
  const tasks: Task[] = (folder.index as Index<OpCase>).cases.map((test) => ({
    id: test.id,
    op: test.op,
    family: test.family,
    run: (api, device) => runOpCase(api, device, folder, test),
  }));
  if (!folder.has("errors.json")) return tasks;
  const errors = (folder.json("errors.json") as Index<ErrorCase>).cases.filter((test) => test.kind !== "torch_limit");
  return [
    ...tasks,
    ...errors.map((test) => ({
      id: test.id,
      op: test.op,
      family: "errors",
      run: (api: Api, device: Device) => runErrorCase(api, device, test),
    })),
  ];
}

interface FileEntry {
  readonly refuse?: boolean;
}

/** Checkpoint files. Those that hold a PyTorch pickle have no reader yet. */
function fileTasks(folder: Folder): Task[] {
  return Object.entries(folder.index as Record<string, FileEntry>).map(([file, entry]) => {
    const extension = file.slice(file.lastIndexOf(".") + 1);
    return { id: file, op: `file .${extension}`, family: "files", run: async () => runFile(folder, file, extension, entry) };
  });
}

function runFile(folder: Folder, file: string, extension: string, entry: FileEntry): Outcome {
  if (extension !== "safetensors") return { status: "missing", error: 0, message: `crabro has no reader of .${extension} files` };
  if (entry.refuse !== true) return { status: "missing", error: 0, message: "no check for the contents of a good safetensors file" };
  try {
    readSafetensors(folder.bytes(file));
  } catch (error) {
    if (error instanceof OpError) return { status: "passed", error: 0, message: "" };
    return { status: "failed", error: Number.POSITIVE_INFINITY, message: `threw ${oneLine(error)}, which is no error of ours` };
  }
  return { status: "failed", error: Number.POSITIVE_INFINITY, message: "was read, but must be refused" };
}

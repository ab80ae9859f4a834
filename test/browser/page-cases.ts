/** The page of `matrix.ts`: reference cases on a device, read from what the page's server has. */
import { type FileSource, Folder } from "../../conformance/folder.js";
import type { Outcome } from "../../conformance/outcome.js";
import { tasksOf } from "../../conformance/tasks.js";
import * as crabro from "../../index.js";

export interface CasesRequest {
  readonly device: string;
  /** Where the folder's files lie on the server, and their names. */
  readonly at: string;
  readonly files: readonly string[];
  /** Positions in the list of tasks. */
  readonly tasks: readonly number[];
}

/** `error` is text, as JSON has no infinity. */
export type PageOutcome = Omit<Outcome, "error"> & { readonly error: string };

export interface CasesResult {
  readonly describe: string;
  readonly outcomes: readonly PageOutcome[];
}

async function fetched(at: string, names: readonly string[]): Promise<FileSource> {
  const files = new Map<string, Uint8Array>();
  for (const name of names) files.set(name, new Uint8Array(await (await fetch(`${at}/${name}`)).arrayBuffer()));
  return {
    path: at,
    has: (file) => files.has(file),
    list: (folder) => names.filter((name) => name.startsWith(`${folder}/`)).map((name) => name.slice(folder.length + 1)),
    bytes: (file) => {
      const bytes = files.get(file);
      if (bytes === undefined) throw new Error("there is no such file");
      return bytes;
    },
  };
}

async function run({ device: name, at, files, tasks: wanted }: CasesRequest): Promise<CasesResult> {
  const all = tasksOf(new Folder(await fetched(at, files)));
  const device = await crabro.device(name);
  crabro.setDefaultDevice(device);
  const outcomes: PageOutcome[] = [];
  for (const i of wanted) {
    const { status, message, error } = await all[i].run(crabro, device);
    outcomes.push({ status, message, error: String(error) });
  }
  const describe = device.describe();
  await device.close();
  return { describe, outcomes };
}

Object.assign(globalThis, { run });

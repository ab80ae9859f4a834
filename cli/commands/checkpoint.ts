/** Checkpoints that commands begin with: which network they are of, and its weights. */
import { OpError } from "../../engine/errors.js";
import type { Device } from "../../index.js";
import { download } from "../../models/node/download.js";
import { type Classifier, createModel, modelInfo } from "../../models/registry.js";
import { type ModelCard, readModel } from "../../train/checkpoint.js";
import type { Dataset } from "../../train/data/dataset.js";
import { openDevice } from "./open-device.js";

export interface CheckpointFlags {
  readonly checkpoint: string;
  readonly model?: string;
  readonly inChans?: number;
  readonly numClasses?: number;
  readonly inputSize?: number;
}

export interface OpenedCheckpoint {
  readonly name: string;
  readonly shape: { readonly inChans: number; readonly numClasses: number };
  readonly size: number;
  readonly card: ModelCard | null;
  /** Opens a device and builds the network there. */
  readonly load: (device: string) => Promise<{ readonly device: Device; readonly model: Classifier }>;
}

/** The path of a checkpoint given by path or address; what is at an address is downloaded once. */
export const localCheckpoint = async (source: string): Promise<string> => (/^https?:\/\//.test(source) ? download(source) : source);

/** Reads a file; flags say what it does not, or come on top. */
export function openCheckpoint(op: string, flags: CheckpointFlags): OpenedCheckpoint {
  const { tensors, card } = readModel(flags.checkpoint);
  const name = flags.model ?? card?.model;
  if (name === undefined) throw new OpError(op, `${flags.checkpoint} does not name its network; pass --model`);
  const info = modelInfo(name);
  const shape = {
    inChans: flags.inChans ?? card?.inChans ?? info.inChans,
    numClasses: flags.numClasses ?? card?.numClasses ?? info.numClasses,
  };
  const load = async (deviceName: string) => {
    const device = await openDevice(deviceName);
    const model = createModel(name, { ...shape, meta: true });
    try {
      model.loadStateDict(tensors);
    } catch (error) {
      await device.close();
      if (!(error instanceof OpError)) throw error;
      const why = error.message.replace(/^.*?: /, "").replace(/; pass \{.*$/, "");
      throw new OpError(op, `${flags.checkpoint} does not fit ${name}: ${why}`, { cause: error });
    }
    return { device, model };
  };
  return { name, shape, size: flags.inputSize ?? card?.inputSize ?? info.inputSize, card, load };
}

/** Throws where a data set has classes that the network cannot tell apart. */
export function checkClasses(dataset: Dataset, model: string, numClasses: number): void {
  if (dataset.numClasses > numClasses)
    throw new OpError(
      "data",
      `${dataset.name} has ${dataset.numClasses} classes, ${model} tells ${numClasses} apart; pass --num-classes ${dataset.numClasses}`,
    );
}

/** `crabro visualize`: what a network sees in a picture: the slots of GLMix, the orders of gnConv. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { fromHost, noGrad, OpError, type Tensor } from "../../index.js";
import { activations } from "../../models/activations.js";
import { writeAtomically } from "../../models/node.js";
import { orderPicture, type Picture, slotPicture } from "../../models/picture.js";
import { createModel, modelInfo } from "../../models/registry.js";
import { withChannels } from "../../train/augment/picture.js";
import { type Box, resize } from "../../train/augment/resize.js";
import { decodePicture } from "../../train/data/decode.js";
import { imagenetStatistics } from "../../train/data/folder.js";
import { encodePng } from "../../train/report/gallery.js";
import { whole } from "./flags.js";
import { openDevice } from "./open-device.js";

interface VisualizeFlags {
  readonly model: string;
  readonly image: string;
  readonly out: string;
  readonly weights?: string;
  readonly at?: string;
  readonly layer: string;
  readonly inputSize?: number;
  readonly numClasses?: number;
  readonly inChans?: number;
  readonly device: string;
}

const examples = `
Examples:
  crabro visualize --model glnet_4g --weights glnet_4g.pth --image cat.jpg --out cat
  crabro visualize --model hornet_tiny_gf --weights https://…/hornet_tiny_gf.pth --image cat.jpg --out cat --layer "stages.2.*"
`;

export function visualizeCommand(): Command {
  return new Command("visualize")
    .description("draw what a network sees in a picture: slots of GLMix, orders of gnConv")
    .requiredOption("--model <name>", "network")
    .requiredOption("--image <file>", "picture: JPEG, PNG, or WebP where the optional package sharp is installed")
    .requiredOption("--out <folder>", "folder for the PNG files, one a layer")
    .option("--weights <source>", "file or URL of trained weights (default: as a training begins, which shows little)")
    .option("--at <path>", "where in a PyTorch file the state lies, such as model_ema")
    .option("--layer <pattern>", "which layers, with * for anything", "*")
    .option("--input-size <pixels>", "side of the square that the network sees (default: the network's)", whole(32))
    .option("--in-chans <n>", "channels of the network's images (default: the network's)", whole(1))
    .option("--num-classes <n>", "classes of the weights (default: the network's)", whole(1))
    .option("--device <name>", "where to compute", "auto")
    .addHelpText("after", examples)
    .action(async (flags: VisualizeFlags) => {
      for (const file of await visualize(flags)) console.log(`wrote ${file}`);
    });
}

/** Draws; returns the files written. */
export async function visualize(flags: VisualizeFlags): Promise<string[]> {
  const info = modelInfo(flags.model);
  const inChans = flags.inChans ?? info.inChans;
  if (inChans !== 1 && inChans !== 3) throw new OpError("visualize", `pictures have 1 or 3 channels; the network takes ${inChans}`);
  const size = flags.inputSize ?? info.inputSize;
  const picture = await seen(flags.image, size);
  const device = await openDevice(flags.device);
  try {
    const options = { numClasses: flags.numClasses, inChans };
    const model =
      flags.weights === undefined
        ? createModel(flags.model, options)
        : await createModel(flags.model, { ...options, pretrained: { source: flags.weights, at: flags.at } });
    model.eval();
    const images = fromHost(normalized(picture, inChans), [1, inChans, size, size], "float32", device);
    const names = namesIn(model, flags);
    const { activations: inside } = noGrad(() => activations(model, names, () => model.forward(images)));
    return await draw(picture, inside, flags.out);
  } finally {
    await device.close();
  }
}

/** What can be drawn of the layers wanted. */
function namesIn(model: { namedModules(): Iterable<[string, object]> }, { model: name, layer }: VisualizeFlags): string[] {
  const match = new RegExp(
    `^${layer
      .split("*")
      .map((piece) => piece.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*")}$`,
  );
  const names = [...model.namedModules()].flatMap(([path, part]) => {
    const type = part.constructor.name;
    if (!match.test(path) || !["GnConv", "GLMixBlock"].includes(type)) return [];
    return [type === "GnConv" ? `${path}.orders.*` : `${path}.slot_assignment`];
  });
  if (names.length === 0) throw new OpError("visualize", `no gnConv or GLMix block of ${name} is named ${layer}; try "stages.2.*"`);
  return names;
}

/** The middle square of a picture, as large as the network wants it. */
async function seen(path: string, size: number): Promise<Picture> {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new OpError("visualize", `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const whole = withChannels(await decodePicture(bytes, path), 3);
  const side = Math.min(whole.width, whole.height);
  const box: Box = { left: Math.floor((whole.width - side) / 2), top: Math.floor((whole.height - side) / 2), width: side, height: side };
  return { ...resize(whole, size, size, "bicubic", box), channels: 3 };
}

/** As ImageNet's pictures are shown to networks; grey is the mean of the colours. */
function normalized({ width, height, data }: Picture, inChans: number): Float32Array {
  const { mean, std } = imagenetStatistics;
  const size = width * height;
  const out = new Float32Array(inChans * size);
  for (let at = 0; at < size; at++) {
    const colour = [0, 1, 2].map((c) => (data[3 * at + c] / 255 - mean[c]) / std[c]);
    if (inChans === 1) out[at] = (colour[0] + colour[1] + colour[2]) / 3;
    else for (let c = 0; c < 3; c++) out[c * size + at] = colour[c];
  }
  return out;
}

async function draw(picture: Picture, inside: ReadonlyMap<string, Tensor>, folder: string): Promise<string[]> {
  const read = new Map(await Promise.all([...inside].map(async ([name, value]) => [name, { value, values: await value.data() }] as const)));
  const files: string[] = [];
  const shapeOf = (value: Tensor) => value.shape.slice(1) as [number, number, number];
  for (const [name, { value, values }] of read) {
    const at = /^(.*)\.(slot_assignment|orders\.0)$/.exec(name);
    if (at === null) continue;
    const [, path, kind] = at;
    const orders = [...read].filter(([other]) => other.startsWith(`${path}.orders.`)).map(([, order]) => order);
    const drawn =
      kind === "slot_assignment"
        ? slotPicture(picture, values, shapeOf(value))
        : orderPicture(
            picture,
            orders.map((order) => ({ values: order.values, shape: shapeOf(order.value) })),
          );
    const file = join(folder, `${path}.png`);
    writeAtomically(file, encodePng(drawn));
    files.push(file);
  }
  return files;
}

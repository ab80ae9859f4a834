/** Parameter groups: who is decayed, and how fast each layer learns. */
import { createBackbone, Module, nn } from "../models/index.js";
import { denseScheme, type LayerScheme, paramGroups } from "../train/optim/groups.js";
import { build, type Config } from "./builders.js";
import { Verdict, within } from "./compare.js";
import type { Folder } from "./folder.js";
import { conclude, type Outcome } from "./outcome.js";

interface GroupReference {
  readonly group: string;
  readonly layer_id: number | null;
  readonly lr_scale: number;
  readonly weight_decay: number;
}

interface DecayReference {
  readonly group_order: readonly (GroupReference & { readonly count: number })[];
  readonly params: Readonly<Record<string, GroupReference>>;
}

const classifier = ({ model }: Config): Module => build("model", { model, num_classes: 1000, drop_path_rate: 0 }).module;

const scheme = ({ decay_type, num_layers }: Config): LayerScheme => denseScheme(decay_type as "layer_wise", num_layers as number);

/** A backbone, and a neck of one 1×1 convolution that stands for everything else. */
class Detector extends Module {
  readonly backbone: Module;
  readonly neck = new Neck();

  constructor({ model }: Config) {
    super();
    const name = (model as string).replace("detection backbone hornet_", "det_backbone_");
    this.backbone = createBackbone(name, { meta: true });
  }
}
class Neck extends Module {
  readonly lateral = new nn.Conv2d(4, 4, 1);
}

export function runDecayCase(folder: Folder, test: { readonly file: string; readonly config: Config }): Outcome {
  const want = folder.json(test.file) as DecayReference;
  const { layer_decay: layerDecay, decay_rate: decayRate, base_weight_decay } = test.config;
  const weightDecay = base_weight_decay as number;
  const groups =
    decayRate === undefined
      ? paramGroups(classifier(test.config), { weightDecay, layerDecay: layerDecay as number })
      : paramGroups(new Detector(test.config), { weightDecay, layerDecay: decayRate as number, layers: scheme(test.config) });

  const verdict = new Verdict();
  const order = groups.map(({ name, params }) => `${name} (${params.length})`).join(", ");
  const wanted = want.group_order.map(({ group, count }) => `${group} (${count})`).join(", ");
  if (order !== wanted) verdict.fail("groups", `${order}; want ${wanted}`);

  const left = new Set(Object.keys(want.params));
  for (const { name: group, layerId, lrScale, weightDecay, names } of groups) {
    for (const name of names) {
      left.delete(name);
      const reference = want.params[name];
      if (reference === undefined) verdict.fail(name, "is in no group of the reference");
      else if (reference.group !== group || reference.layer_id !== layerId || reference.weight_decay !== weightDecay) {
        verdict.fail(
          name,
          `is in ${group} (layer ${layerId}, decay ${weightDecay}); want ${reference.group} (layer ${reference.layer_id}, decay ${reference.weight_decay})`,
        );
      } else verdict.add(name, within(Math.abs(lrScale - reference.lr_scale), 1e-12 * reference.lr_scale, "the difference of lr scales"));
    }
  }
  for (const name of left) verdict.fail(name, "is in no group");
  return conclude(verdict);
}

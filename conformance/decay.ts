/** Parameter groups: who is decayed, and how fast each layer learns. */
import { paramGroups } from "../train/optim/groups.js";
import { build, type Config } from "./builders.js";
import { Verdict, within } from "./compare.js";
import type { Folder } from "./folder.js";
import { conclude, Missing, type Outcome } from "./outcome.js";

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

export function runDecayCase(folder: Folder, test: { readonly file: string; readonly config: Config }): Outcome {
  const { model, base_weight_decay, layer_decay } = test.config;
  if (layer_decay === undefined) throw new Missing("train has no parameter groups for dense prediction");
  const want = folder.json(test.file) as DecayReference;
  const { module } = build("model", { model, num_classes: 1000, drop_path_rate: 0 });
  const groups = paramGroups(module, { weightDecay: base_weight_decay as number, layerDecay: layer_decay as number });

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

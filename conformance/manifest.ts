/** Manifests: every entry of a network's state, its count of parameters, and its multiply-adds. Nothing is computed or even allocated. */
import { type Shape, showShape } from "../engine/shape.js";
import { createBackbone, type Module, nn, summary } from "../models/index.js";
import { Parameter } from "../models/nn/index.js";
import { build, type Config } from "./builders.js";
import { Verdict } from "./compare.js";
import type { Folder } from "./folder.js";
import { conclude, Missing, type Outcome } from "./outcome.js";

interface Manifest {
  readonly id: string;
  readonly config: Config;
  readonly n_params: number;
  readonly input_shapes?: readonly Shape[];
  readonly macs_total?: number;
  readonly entries: readonly { readonly name: string; readonly shape: Shape; readonly param: boolean }[];
}

function network({ id, config }: Manifest): Module {
  if (config.model !== undefined) return build("model", { ...config, drop_path_rate: 0 }).module;
  if (id.startsWith("det_backbone")) return createBackbone(id, { meta: true });
  if (id.startsWith("horfpn_neck")) return nn.buildWith({ meta: true }, () => build("GNFPN", config).module);
  if (id.startsWith("horfpn_uper")) return nn.buildWith({ meta: true }, () => build("GNUPerHead", config).module);
  throw new Missing(`models has no ${id}`);
}

export function runManifest(folder: Folder, test: { readonly file: string }): Outcome {
  const want = folder.json(test.file) as Manifest;
  const module = network(want);
  const verdict = new Verdict();
  const show = (name: string, shape: Shape, param: boolean): string => `${param ? "parameter" : "buffer"} ${name} ${showShape(shape)}`;
  const have = [...module.stateDict()].map(([name, value]) => show(name, value.shape, value instanceof Parameter));
  const wanted = want.entries.map(({ name, shape, param }) => show(name, shape, param));
  for (let i = 0; i < Math.max(have.length, wanted.length); i++) {
    if (have[i] === wanted[i]) continue;
    verdict.fail(`entry ${i}`, `${have[i] ?? "nothing"}, want ${wanted[i] ?? "nothing"}`);
    break;
  }
  if (module.numParameters !== want.n_params) verdict.fail("parameters", `${module.numParameters}, want ${want.n_params}`);
  if (want.input_shapes !== undefined && verdict.messages.length === 0) {
    const { input_shapes: shapes } = want;
    const { macs } = summary(module, shapes.length === 1 ? shapes[0] : shapes);
    if (macs !== want.macs_total) verdict.fail("multiply-adds", `${macs}, want ${want.macs_total}`);
  }
  return conclude(verdict);
}

/**
 * Feature pyramids for detection: HorFPN, whose levels are gnConv modules, and the plain FPN that it is compared with.
 *
 * Papers: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017; HorNet, section 3.2 (HorFPN).
 * Original: mmdet's `FPN`; HorNet's object_detection code, class `GNFPN`.
 */
import { OpError } from "../engine/errors.js";
import { interpolate } from "../engine/functional/pool.js";
import { checkOptions } from "../engine/ops/check.js";
import type { Tensor } from "../engine/tensor.js";
import { ConvModule, GNConvModule, type GNConvModuleOptions } from "./conv-module.js";
import type { Layer } from "./nn/container.js";
import { xavierUniform, zeros } from "./nn/init.js";
import { Module } from "./nn/module.js";
import { buildWith } from "./nn/parameter.js";

export interface FPNOptions {
  /** Default 256. */
  readonly outChannels?: number;
  /** Levels wanted; those beyond the inputs take every second row and column of the one before. Default 5. */
  readonly numOuts?: number;
  /** First input that is used. Default 0. */
  readonly startLevel?: number;
}

/**
 * The input maps [N, inChannels[i], Hᵢ, Wᵢ], finest first → `numOuts` maps of `outChannels`, finest first.
 *
 * Throws OpError where `startLevel` leaves no input, for fewer outputs than inputs used, and for another number of inputs.
 * Reference: Lin et al. (2017), section 3; mmdet's `FPN`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { FPN } from "crabro/models";
 *
 * const maps = [16, 32].map((channels, i) => rand([1, channels, 8 >> i, 8 >> i]));
 * new FPN([16, 32], { outChannels: 24, numOuts: 3 }).forward(maps); // [1, 24, 8, 8], [1, 24, 4, 4], [1, 24, 2, 2]
 * ```
 */
export class FPN extends Module {
  readonly lateralConvs: readonly ConvModule[];
  readonly fpnConvs: readonly Layer[];
  readonly #inputs: number;
  readonly #startLevel: number;
  readonly #numOuts: number;

  constructor(inChannels: readonly number[], options: FPNOptions = {}, level?: () => Layer) {
    super();
    checkOptions("FPN", options, ["outChannels", "numOuts", "startLevel"]);
    const { outChannels = 256, numOuts = 5, startLevel = 0 } = options;
    const used = inChannels.slice(startLevel);
    if (used.length === 0) throw new OpError("FPN", `startLevel ${startLevel} leaves none of ${inChannels.length} inputs`);
    if (numOuts < used.length) throw new OpError("FPN", `${used.length} inputs make as many outputs at least; got numOuts ${numOuts}`);
    this.#inputs = inChannels.length;
    this.#startLevel = startLevel;
    this.#numOuts = numOuts;
    const init = { weight: xavierUniform, bias: zeros };
    const plain = () => new ConvModule(outChannels, outChannels, 3, { padding: 1 });
    this.lateralConvs = buildWith({ init }, () => used.map((channels) => new ConvModule(channels, outChannels, 1)));
    this.fpnConvs = buildWith({ init }, () => used.map(level ?? plain));
  }

  override forward(inputs: readonly Tensor[]): Tensor[] {
    if (inputs.length !== this.#inputs) throw new OpError("FPN", `expected ${this.#inputs} maps; got ${inputs.length}`);
    const laterals = this.lateralConvs.map((conv, i) => conv.forward(inputs[i + this.#startLevel])); // [N, out, Hᵢ, Wᵢ]
    addTopDown(laterals, (map, size) => interpolate(map, { size, mode: "nearest" }));
    const outputs = this.fpnConvs.map((conv, i) => conv.forward(laterals[i]));
    while (outputs.length < this.#numOuts) {
      const last = outputs[outputs.length - 1];
      outputs.push(last.slice({ dim: 2, step: 2 }).slice({ dim: 3, step: 2 })); // 1×1 max-pool of stride 2
    }
    return outputs;
  }
}

/** From the coarsest map to the finest: each takes up the resized sum of those above it. Changes the list. */
export function addTopDown(maps: Tensor[], resize: (map: Tensor, size: [number, number]) => Tensor): void {
  for (let i = maps.length - 1; i > 0; i--) {
    const [, , height, width] = maps[i - 1].shape;
    maps[i - 1] = maps[i - 1].add(resize(maps[i], [height, width]));
  }
}

export interface HorFPNOptions extends FPNOptions {
  /** Default: 7×7 gnConv of order 2 with an output projection. */
  readonly gnconv?: GNConvModuleOptions;
}

/**
 * HorFPN: the plain pyramid with gnConv modules in place of the 3×3 convolutions. Maps → maps, as FPN.
 *
 * Throws OpError as FPN and GNConvModule do. Reference: HorNet, section 3.2 (HorFPN); its detection code, `GNFPN`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { HorFPN } from "crabro/models";
 *
 * const maps = [16, 32].map((channels, i) => rand([1, channels, 8 >> i, 8 >> i]));
 * new HorFPN([16, 32], { outChannels: 24, numOuts: 3, gnconv: { type: "gngf", h: 8 } }).forward(maps); // as those of FPN
 * ```
 */
export class HorFPN extends FPN {
  constructor(inChannels: readonly number[], { gnconv = {}, ...options }: HorFPNOptions = {}) {
    const channels = options.outChannels ?? 256;
    super(inChannels, options, () => new GNConvModule(channels, channels, { projOut: true, ...gnconv }));
  }
}

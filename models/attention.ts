/**
 * Blocks of plain multi-head self-attention, on sequences and on maps.
 *
 * Original: GLNet's glnet.py, classes `MHSA_Block` and `MHSA_NCHW_Block`.
 */
import { checkOptions } from "../engine/ops/check.js";
import type { Tensor } from "../engine/tensor.js";
import { convMlp, linearInit, type MlpOptions, mlpOptions, positionConv, toMap, toSequence } from "./glmix.js";
import { GELU } from "./nn/activation.js";
import { MultiheadAttention } from "./nn/attention.js";
import { type Layer, Sequential } from "./nn/container.js";
import type { Conv2d } from "./nn/conv.js";
import { DropPath, LayerScale } from "./nn/drop.js";
import { Linear } from "./nn/linear.js";
import { Module } from "./nn/module.js";
import { LayerNorm, LayerNorm2d } from "./nn/norm.js";

/**
 * x = x + dropPath(ls1(mha(norm1(x)))); x = x + dropPath(ls2(mlp(norm2(x)))): x [N, L, C] → [N, L, C].
 *
 * Throws OpError where the heads do not divide the channels, and for other input. Reference: glnet.py, `MHSA_Block`; Vaswani et al.
 * (2017), section 3.2, with the norms first.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { MHSABlock } from "crabro/models";
 *
 * new MHSABlock(64, 2).forward(rand([1, 49, 64])); // [1, 49, 64]
 * ```
 */
export class MHSABlock extends Module {
  readonly norm1: LayerNorm;
  readonly mhaOp: MultiheadAttention;
  readonly norm2: LayerNorm;
  readonly mlp: Sequential<Layer>;
  readonly ls1: LayerScale | null;
  readonly ls2: LayerScale | null;
  readonly dropPath: DropPath;

  constructor(dim: number, numHeads: number, options: Pick<MlpOptions, "mlpRatio" | "dropPath" | "layerScale"> = {}) {
    super();
    checkOptions("MHSABlock", options, ["mlpRatio", "dropPath", "layerScale"]);
    const { mlpRatio = 4, dropPath = 0, layerScale = 0 } = options;
    const hidden = Math.floor(mlpRatio * dim);
    this.norm1 = new LayerNorm(dim, { eps: 1e-6 });
    this.mhaOp = new MultiheadAttention(dim, numHeads, { init: linearInit });
    this.norm2 = new LayerNorm(dim, { eps: 1e-6 });
    this.mlp = new Sequential<Layer>(
      new Linear(dim, hidden, { init: linearInit }),
      new GELU(),
      new Linear(hidden, dim, { init: linearInit }),
    );
    this.ls1 = layerScale > 0 ? new LayerScale(dim, { initValue: layerScale }) : null;
    this.ls2 = layerScale > 0 ? new LayerScale(dim, { initValue: layerScale }) : null;
    this.dropPath = new DropPath(dropPath);
  }

  override forward(x: Tensor): Tensor {
    const attended = this.mhaOp.forward(this.norm1.forward(x)); // [N, L, C]
    x = x.add(this.dropPath.forward(this.ls1?.forward(attended) ?? attended));
    const mlp = this.mlp.forward(this.norm2.forward(x)); // [N, L, C]
    return x.add(this.dropPath.forward(this.ls2?.forward(mlp) ?? mlp));
  }
}

/**
 * Attention between the pixels of a map, with position encoding and MLP by convolution: x [N, C, H, W] → [N, C, H, W].
 *
 * Throws OpError where the heads do not divide the channels, and for other input. Reference: glnet.py, `MHSA_NCHW_Block`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { MHSANchwBlock } from "crabro/models";
 *
 * new MHSANchwBlock(64, 2, { cpeKs: 3, mlpDw: true }).forward(rand([1, 64, 14, 14])); // [1, 64, 14, 14]
 * ```
 */
export class MHSANchwBlock extends Module {
  readonly posConv: Conv2d | null;
  readonly norm1: LayerNorm;
  readonly mhaOp: MultiheadAttention;
  readonly norm2: LayerNorm2d;
  readonly mlp: Sequential<Layer>;
  readonly ls1: LayerScale | null;
  readonly ls2: LayerScale | null;
  readonly dropPath: DropPath;

  constructor(dim: number, numHeads: number, options: MlpOptions = {}) {
    super();
    checkOptions("MHSANchwBlock", options, mlpOptions);
    const { mlpRatio = 4, mlpDw = false, cpeKs = 0, dropPath = 0, layerScale = 0 } = options;
    this.posConv = positionConv(dim, cpeKs);
    this.norm1 = new LayerNorm(dim, { eps: 1e-6 });
    this.mhaOp = new MultiheadAttention(dim, numHeads, { init: linearInit });
    this.norm2 = new LayerNorm2d(dim);
    this.mlp = convMlp(dim, Math.floor(mlpRatio * dim), mlpDw);
    this.ls1 = layerScale > 0 ? new LayerScale(dim, { initValue: layerScale }) : null;
    this.ls2 = layerScale > 0 ? new LayerScale(dim, { initValue: layerScale, format: "nchw" }) : null;
    this.dropPath = new DropPath(dropPath);
  }

  override forward(x: Tensor): Tensor {
    if (this.posConv !== null) x = x.add(this.posConv.forward(x));
    const [, , height, width] = x.shape;
    const sequence = toSequence(x); // [N, L, C]
    const attended = this.mhaOp.forward(this.norm1.forward(sequence)); // [N, L, C]
    x = toMap(sequence.add(this.dropPath.forward(this.ls1?.forward(attended) ?? attended)), height, width); // [N, C, H, W]
    const mlp = this.mlp.forward(this.norm2.forward(x)); // [N, C, H, W]
    return x.add(this.dropPath.forward(this.ls2?.forward(mlp) ?? mlp));
  }
}

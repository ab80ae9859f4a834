/**
 * The loss of training with token labels.
 *
 * Original: GLNet's token-label training, classes `TokenLabelCrossEntropy` and `TokenLabelGTCrossEntropy`.
 */
import { OpError } from "../engine/errors.js";
import { logSoftmax } from "../engine/functional/activation.js";
import { where } from "../engine/functional/elementwise.js";
import { flip } from "../engine/functional/movement.js";
import { showShape } from "../engine/shape.js";
import type { Tensor } from "../engine/tensor.js";
import type { TokenLabelOutput } from "../models/glnet-tklb.js";

export interface TokenLabelLossOptions {
  /** Weight of the tokens' loss. Default 0.5. */
  readonly denseWeight?: number;
  /** Weight of the images' loss. Default 1. */
  readonly clsWeight?: number;
  /** Mixes the ground truth into the image label: the label counts half where their classes agree, 0.9 where not. Default false. */
  readonly groundTruth?: boolean;
}

/** Mean over rows of −Σ target · log softmax(logits). */
const softCrossEntropy = (logits: Tensor, target: Tensor): Tensor =>
  target
    .mul(logSoftmax(logits, { dim: -1 }))
    .sum({ dim: -1 })
    .neg()
    .mean();

/**
 * clsWeight · CE(logits, image label) + denseWeight · CE(tokenLogits, token labels), for what `GLNetTokenLabel.forwardTraining` gives.
 *
 * `target` [N, classes, 2 + L] is the ground truth, the label of the image, one label a token, or is [N, classes], which then serves
 * everywhere. The image label is mixed with that of the batch in reverse, as the images were.
 */
export function tokenLabelLoss(
  { logits, tokenLogits, box }: TokenLabelOutput,
  target: Tensor,
  options: TokenLabelLossOptions = {},
): Tensor {
  const { denseWeight = 0.5, clsWeight = 1, groundTruth = false } = options;
  const [n, tokens, classes] = tokenLogits.shape;
  const plain = target.ndim === 2 ? [n, classes] : [n, classes, 2 + tokens];
  if (target.shape.join() !== plain.join()) {
    throw new OpError(
      "tokenLabelLoss",
      `target has shape ${showShape(target.shape)}; expected ${showShape([n, classes])} or ${showShape([n, classes, 2 + tokens])}`,
    );
  }
  let image = target.ndim === 2 ? target : target.select(2, 1); // [N, classes]
  const perToken = target.ndim === 2 ? target.unsqueeze(1) : target.narrow(2, 2, tokens).transpose(1, 2); // [N, L or 1, classes]
  if (groundTruth && target.ndim === 3) {
    const truth = target.select(2, 0);
    const agrees = truth
      .argmax({ dim: 1 })
      .eq(image.argmax({ dim: 1 }))
      .unsqueeze(1); // [N, 1]
    const share = where(agrees, 0.5, 0.9);
    image = image.mul(share).add(truth.mul(share.neg().add(1)));
  }
  const [x1, y1, x2, y2] = [0, 1, 2, 3].map((i) => box.select(0, i).to(logits.dtype));
  const kept = x2.sub(x1).mul(y2.sub(y1)).div(-tokens).add(1); // the share of the image outside the box
  const mixed = image.mul(kept).add(flip(image, [0]).mul(kept.neg().add(1)));
  const dense = softCrossEntropy(tokenLogits, perToken.expand([n, tokens, classes]));
  return softCrossEntropy(logits, mixed).mul(clsWeight).add(dense.mul(denseWeight));
}

/**
 * GLNet for training with token labels: besides the image, every token of the last map is classified.
 *
 * Original: glnet_tklb.py, class `GLNet_tklb`; the scheme is that of Jiang et al., "All Tokens Matter: Token Labeling for Training Better
 * Vision Transformers", NeurIPS 2021.
 */
import { OpError } from "../engine/errors.js";
import { arange } from "../engine/functional/creation.js";
import { where } from "../engine/functional/elementwise.js";
import { flip, stack } from "../engine/functional/movement.js";
import { defaultGenerator, type Generator, hostUniform } from "../engine/random.js";
import { hostScalar, onStep } from "../engine/runtime/scalar.js";
import { showShape } from "../engine/shape.js";
import type { Tensor } from "../engine/tensor.js";
import { toSequence } from "./glmix.js";
import { GLNet, type GLNetOptions } from "./glnet.js";
import { Linear } from "./nn/linear.js";

/** A box of tokens: rows x1 to x2 − 1, columns y1 to y2 − 1. */
export type TokenBox = readonly [x1: number, y1: number, x2: number, y2: number];

export interface TokenLabelOptions extends GLNetOptions {
  /** The box that training swaps with the batch in reverse; default: drawn anew at every step. */
  readonly tokenBox?: TokenBox;
  /** Where boxes are drawn from. Default: the default generator. */
  readonly boxGenerator?: Generator;
}

/** What a network with token labels gives in training. */
export interface TokenLabelOutput {
  /** Logits of the images, [N, classes]. */
  readonly logits: Tensor;
  /** Logits of the tokens, [N, L, classes]. */
  readonly tokenLogits: Tensor;
  /** The box that was mixed, int32 [4]: x1, y1, x2, y2. */
  readonly box: Tensor;
}

/** Tokens of the last map lie under 8 × 8 pixels of the stem's. */
const stemPixels = 8;

/** A box whose share of the rows × columns tokens is about 1 − λ, λ even in [0, 1); its centre is drawn first by row, then by column. */
export function drawTokenBox(rows: number, columns: number, generator: Generator): TokenBox {
  const [lambda, row, column] = hostUniform(generator, 3);
  const side = Math.sqrt(1 - lambda);
  const [a, b] = [Math.floor(rows * side), Math.floor(columns * side)];
  const [ca, cb] = [Math.floor(row * rows), Math.floor(column * columns)];
  const clip = (value: number, most: number): number => Math.min(Math.max(value, 0), most);
  const [halfA, halfB] = [Math.floor(a / 2), Math.floor(b / 2)];
  return [clip(ca - halfA, rows), clip(cb - halfB, columns), clip(ca + halfA, rows), clip(cb + halfB, columns)];
}

/**
 * In evaluation: images [N, inChans, H, W] → logits [N, classes], those of the image plus half the largest of its tokens. In training
 * `forwardTraining` gives both apart; the map of the stem is mixed with that of the batch in reverse inside a random box, and the tokens'
 * logits in that box are swapped back.
 *
 * Throws OpError as GLNet does, and in training where the last map has not an eighth of the stem's side, as with images whose sides 32 does
 * not divide. Reference: glnet_tklb.py, `GLNet_tklb`; Jiang et al. (2021), section 3.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { GLNetTokenLabel } from "crabro/models";
 *
 * const network = new GLNetTokenLabel({ dims: [32, 64, 96, 128], depths: [1, 1, 1, 1], downsampleStyle: "ovlp", numClasses: 10 });
 * const { logits, tokenLogits } = network.forwardTraining(rand([2, 3, 64, 64])); // [2, 10] and [2, 4, 10]
 * ```
 */
export class GLNetTokenLabel extends GLNet {
  readonly tklbAuxHead: Linear;
  readonly #box: TokenBox | null;
  readonly #generator: Generator;

  constructor({ tokenBox, boxGenerator = defaultGenerator, ...options }: TokenLabelOptions = {}) {
    super(options);
    const [classes, dim] = this.head.weight.shape;
    this.tklbAuxHead = new Linear(dim, classes);
    this.#box = tokenBox ?? null;
    this.#generator = boxGenerator;
  }

  override forward(x: Tensor): Tensor {
    const { logits, tokenLogits } = this.#heads(this.stagesFrom(this.stem(x)));
    return logits.add(tokenLogits.amax({ dim: 1 }).mul(0.5)); // [N, classes]
  }

  /** What the token-label loss wants. */
  forwardTraining(x: Tensor): TokenLabelOutput {
    const stem = this.stem(x); // [N, dims[0], H₁, W₁]
    const [rows, columns] = stem.shape.slice(2).map((size) => Math.floor(size / stemPixels));
    const box = this.#boxTensor(rows, columns, x);
    const [height, width] = stem.shape.slice(2);
    const mixed = where(inBox(box.mul(stemPixels), height, width), flip(stem, [0]), stem);
    const map = this.stagesFrom(mixed); // [N, dims[3], rows, columns]
    if (map.shape[2] !== rows || map.shape[3] !== columns) {
      throw new OpError(
        "GLNetTokenLabel",
        `the box is of ${rows} × ${columns} tokens, but the last map is ${showShape(map.shape)}; take images whose sides 32 divides`,
      );
    }
    const { logits, tokenLogits } = this.#heads(map);
    const inside = inBox(box, rows, columns).reshape([1, rows * columns, 1]);
    return { logits, tokenLogits: where(inside, flip(tokenLogits, [0]), tokenLogits), box };
  }

  #heads(map: Tensor): { logits: Tensor; tokenLogits: Tensor } {
    const tokens = toSequence(this.norm.forward(map)); // [N, L, dims[3]]
    return { logits: this.head.forward(tokens.mean({ dim: 1 })), tokenLogits: this.tklbAuxHead.forward(tokens) };
  }

  /** Drawn on the host at every step, so that a compiled step takes a new one at each call. */
  #boxTensor(rows: number, columns: number, like: Tensor): Tensor {
    let box: TokenBox = this.#box ?? [0, 0, 0, 0];
    if (this.#box === null) {
      onStep(() => {
        box = drawTokenBox(rows, columns, this.#generator);
      });
    }
    return stack([0, 1, 2, 3].map((i) => hostScalar(() => box[i], { dtype: "int32", device: like.device })));
  }
}

/** Whether a pixel of a map of height × width lies in the box [x1, y1, x2, y2]. */
function inBox(box: Tensor, height: number, width: number): Tensor {
  const [x1, y1, x2, y2] = [0, 1, 2, 3].map((i) => box.select(0, i));
  const row = arange(height, { device: box.device }).reshape([height, 1]);
  const column = arange(width, { device: box.device });
  return row.ge(x1).logicalAnd(row.lt(x2)).logicalAnd(column.ge(y1)).logicalAnd(column.lt(y2)); // [height, width]
}

/**
 * How a PyTorch call maps to one of ours, in one place. A row lists PyTorch's parameters in its order, `?` marking those with a default,
 * `*` the one that takes the rest. Our function is PyTorch's last name in camelCase; required arguments go positional, the others into
 * one options object in camelCase. Where a call differs from that (overloads), `adapt` rewrites the bound arguments.
 */
import { HostTensor } from "./folder.js";

/** Arguments by PyTorch's parameter names; what was not given is absent. */
export type Bound = Readonly<Record<string, unknown>>;

export interface Signature {
  readonly params: string;
  /** Our name, where it is not PyTorch's. */
  readonly as?: string;
  /** Takes its complex arguments as pairs itself, and wants real ones as pairs too when `pairs` is "always". */
  readonly pairs?: "native" | "always";
  readonly adapt?: (bound: Bound) => Adapted;
}

export interface Adapted {
  readonly bound: Bound;
  readonly as?: string;
  readonly params?: string;
}

/** `{"slice": [start, stop, step]}` as we write it. */
const sliceItem = (item: unknown): unknown => {
  if (typeof item !== "object" || item === null || !("slice" in item)) return item;
  const [start, end, step] = item.slice as readonly (number | null)[];
  return { start, end, step };
};

const dimOrOther = (as: string) => ({
  params: "input dim? keepdim?",
  adapt: (bound: Bound): Adapted =>
    bound.dim instanceof HostTensor ? { bound: { input: bound.input, other: bound.dim }, as, params: "input other" } : { bound },
});

/** torch.var(x, true): a boolean in second place is `unbiased`. */
const varianceLike: Signature = {
  params: "input dim? unbiased? keepdim? correction?",
  adapt: (bound) => {
    if (typeof bound.dim !== "boolean") return { bound };
    const { dim: unbiased, ...rest } = bound;
    return { bound: { ...rest, unbiased } };
  },
};

const unary: Signature = { params: "input" };
const binary: Signature = { params: "input other" };
const inplace: Signature = { params: "input inplace?" };
const reduction: Signature = { params: "input dim? keepdim? dtype?" };
const sizes: Signature = { params: "input shape" };
const adaptive: Signature = { params: "input output_size" };
const conv: Signature = { params: "input weight bias? stride? padding? dilation? groups?" };
const convTranspose: Signature = { params: "input weight bias? stride? padding? output_padding? groups? dilation?" };
const maxPool: Signature = { params: "input kernel_size stride? padding? dilation? ceil_mode? return_indices?" };
const loss = (more = ""): Signature => ({ params: `input target size_average? reduce? reduction? ${more}` });
const weighted = (more = ""): Signature => ({ params: `input target weight? size_average? ${more}` });
const multihead = "query key value num_heads in_proj_weight in_proj_bias out_proj_weight out_proj_bias key_padding_mask? attn_mask?";
const complexFft1: Signature = { params: "input n? dim? norm?", pairs: "always" };
const complexFft2: Signature = { params: "input s? dim? norm?", pairs: "always" };

const rows = (prefix: string, table: Readonly<Record<string, Signature>>): [string, Signature][] =>
  Object.entries(table).map(([name, signature]) => [prefix + name, signature]);
const all = (names: string, signature: Signature): Record<string, Signature> =>
  Object.fromEntries(names.split(" ").map((name) => [name, signature]));

export const signatures: ReadonlyMap<string, Signature> = new Map([
  ...rows("torch.", {
    ...all("abs neg exp log log1p expm1 sqrt rsqrt reciprocal sin cos tan tanh sigmoid erf floor ceil sign square", unary),
    round: { params: "input decimals?" },
    ...all("logical_not isfinite isnan", unary),
    ...all("mul maximum minimum eq ne lt le gt ge logical_and logical_or logical_xor matmul dot", binary),
    ...all("add sub", { params: "input other alpha?" }),
    div: { params: "input other rounding_mode?" },
    pow: { params: "input exponent" },
    clamp: { params: "input min? max?" },
    where: { params: "condition input other" },

    ...all("sum mean amax amin prod argmax argmin all any", reduction),
    max: dimOrOther("maximum"),
    min: dimOrOther("minimum"),
    ...all("var std", varianceLike),
    norm: { params: "input p? dim? keepdim?" },
    "linalg.vector_norm": { params: "input ord? dim? keepdim?" },
    logsumexp: { params: "input dim keepdim?" },
    cumsum: { params: "input dim dtype?" },

    ...all("reshape broadcast_to", sizes),
    permute: { params: "input dims" },
    transpose: { params: "input dim0 dim1" },
    squeeze: { params: "input dim?" },
    unsqueeze: { params: "input dim" },
    flatten: { params: "input start_dim? end_dim?" },
    ...all("cat stack", { params: "tensors dim?" }),
    split: { params: "input split_size_or_sections dim?" },
    chunk: { params: "input chunks dim?" },
    unbind: { params: "input dim?" },
    narrow: { params: "input dim start length" },
    select: { params: "input dim index" },
    "ops.aten.slice": { params: "input dim? start? end? step?" },
    flip: { params: "input dims" },
    roll: { params: "input shifts dims?" },
    tile: { params: "input dims" },
    repeat_interleave: { params: "input repeats dim?" },
    index_select: { params: "input dim index" },
    gather: { params: "input dim index" },
    scatter: { params: "input dim index src reduce?" },
    scatter_add: { params: "input dim index src" },
    index_add: { params: "input dim index source alpha?" },
    masked_fill: { params: "input mask value" },
    ...all("tril triu diag", { params: "input diagonal?" }),
    diagonal: { params: "input offset? dim1? dim2?" },
    movedim: { params: "input source destination" },
    take_along_dim: { params: "input indices dim?" },
    "Tensor.expand": sizes,
    "Tensor.repeat": { params: "input repeats" },
    "Tensor.unfold": { params: "input dimension size step", as: "unfoldDim" },
    "Tensor.__getitem__": {
      params: "input items",
      as: "getItem",
      adapt: ({ input, items }) => ({ bound: { input, items: (items as readonly unknown[]).map(sliceItem) } }),
    },

    ...all("bmm mm", { params: "input mat2" }),
    mv: { params: "input vec" },
    outer: { params: "input vec2" },
    addmm: { params: "input mat1 mat2 beta? alpha?" },
    baddbmm: { params: "input batch1 batch2 beta? alpha?" },
    einsum: { params: "equation *operands" },

    topk: { params: "input k dim? largest? sorted?" },
    ...all("sort argsort", { params: "input dim? descending? stable?" }),
    arange: {
      params: "start end? step? dtype?",
      adapt: ({ start, end, step, dtype }) => ({
        bound: end === undefined ? { end: start, dtype } : { start, end, step, dtype },
        params: "end start? step? dtype?",
      }),
    },
    linspace: { params: "start end steps dtype?" },
    "nn.MultiheadAttention": { as: "multiheadAttention", params: multihead },
  }),
  ...rows("torch.nn.functional.", {
    ...all("relu relu6 silu mish hardswish", inplace),
    gelu: { params: "input approximate?" },
    softplus: { params: "input beta? threshold?" },
    leaky_relu: { params: "input negative_slope? inplace?" },
    elu: { params: "input alpha? inplace?" },
    hardtanh: { params: "input min_val? max_val? inplace?" },
    ...all("softmax log_softmax", { params: "input dim?" }),
    dropout: { params: "input p? training? inplace?" },

    pad: { params: "input pad mode? value?" },
    unfold: { params: "input kernel_size dilation? padding? stride?" },
    fold: { params: "input output_size kernel_size dilation? padding? stride?" },
    embedding: { params: "input weight padding_idx? max_norm? norm_type? scale_grad_by_freq? sparse?" },
    one_hot: { params: "input num_classes?" },
    pixel_shuffle: { params: "input upscale_factor" },
    pixel_unshuffle: { params: "input downscale_factor" },
    interpolate: { params: "input size? scale_factor? mode? align_corners? recompute_scale_factor? antialias?" },
    grid_sample: { params: "input grid mode? padding_mode? align_corners?" },

    linear: { params: "input weight bias?" },
    ...all("conv1d conv2d", conv),
    ...all("conv_transpose1d conv_transpose2d", convTranspose),
    ...all("avg_pool1d avg_pool2d", { params: "input kernel_size stride? padding? ceil_mode? count_include_pad? divisor_override?" }),
    ...all("max_pool1d max_pool2d", maxPool),
    ...all("adaptive_avg_pool1d adaptive_avg_pool2d", adaptive),

    layer_norm: { params: "input normalized_shape weight? bias? eps?" },
    group_norm: { params: "input num_groups weight? bias? eps?" },
    batch_norm: { params: "input running_mean running_var weight? bias? training? momentum? eps?" },
    instance_norm: { params: "input running_mean? running_var? weight? bias? use_input_stats? momentum? eps?" },
    normalize: { params: "input p? dim? eps?" },
    cosine_similarity: { params: "x1 x2 dim? eps?" },

    scaled_dot_product_attention: { params: "query key value attn_mask? dropout_p? is_causal?" },
    multi_head_attention_forward: {
      params:
        "query key value embed_dim_to_check num_heads in_proj_weight in_proj_bias bias_k bias_v add_zero_attn dropout_p out_proj_weight " +
        "out_proj_bias training? key_padding_mask? need_weights? attn_mask?",
      // The same function as the module's, with the length first.
      as: "multiheadAttention",
      adapt: ({ bias_k, bias_v, add_zero_attn, training, dropout_p, ...bound }) => {
        if (bias_k || bias_v || add_zero_attn) throw new Error("multiheadAttention has no bias_k, bias_v, add_zero_attn");
        const options = { dropout_p: training === false ? 0 : dropout_p, batch_first: false };
        return { bound: { ...bound, ...options }, params: `${multihead} dropout_p? batch_first?` };
      },
    },

    ...all("mse_loss l1_loss", loss()),
    smooth_l1_loss: loss("beta?"),
    huber_loss: { params: "input target reduction? delta?" },
    kl_div: loss("log_target?"),
    cross_entropy: weighted("ignore_index? reduce? reduction? label_smoothing?"),
    nll_loss: weighted("ignore_index? reduce? reduction?"),
    binary_cross_entropy: weighted("reduce? reduction?"),
    binary_cross_entropy_with_logits: weighted("reduce? reduction? pos_weight?"),
  }),
  ...rows("torch.fft.", {
    ...all("fft ifft irfft", complexFft1),
    ...all("fft2 ifft2 irfft2", complexFft2),
    rfft: { params: "input n? dim? norm?" },
    rfft2: { params: "input s? dim? norm?" },
    ...all("fftshift ifftshift", {
      params: "input dim? complex?",
      pairs: "native",
      adapt: (bound) => ({ bound: bound.input instanceof HostTensor && bound.input.complex ? { ...bound, complex: true } : bound }),
    }),
  }),
  ...rows("torchvision.ops.", {
    ...all("box_iou generalized_box_iou", { params: "boxes1 boxes2" }),
    box_area: { params: "boxes" },
    box_convert: { params: "boxes in_fmt out_fmt" },
    nms: { params: "boxes scores iou_threshold" },
    batched_nms: { params: "boxes scores idxs iou_threshold" },
    roi_align: { params: "input boxes output_size spatial_scale? sampling_ratio? aligned?" },
    roi_pool: { params: "input boxes output_size spatial_scale?" },
  }),
]);

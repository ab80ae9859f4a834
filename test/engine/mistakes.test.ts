/** The likeliest mistakes: each is caught at the call, and the message names the operation, what was given, and what would be right. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as c from "../../index.js";

let d: c.Device;
beforeAll(async () => {
  d = await c.device("cpu");
});
afterAll(() => d.close());

const t = (...shape: number[]): c.Tensor => c.zeros(shape, { device: d });
const ints = (...values: number[]): c.Tensor => c.tensor(values, { dtype: "int32", device: d });

/** What is called, and what its message must hold: the operation first, then the facts. */
const mistakes: readonly (readonly [() => unknown, ...RegExp[]])[] = [
  [() => c.add(t(2, 3), t(4)), /^add: /, /\[2, 3\]/, /\[4\]/],
  [() => c.mul(t(2, 3), t(3, 2)), /^mul: /, /\[3, 2\]/],
  [() => c.sub(t(5), t(6)), /^sub: /, /5.*6|6.*5/],
  [() => c.div(t(2, 2), t(3)), /^div: /],
  [() => c.maximum(t(2), t(3)), /^maximum: /],
  [() => c.where(t(2), t(2), t(2)), /^where: /, /bool/],
  [() => c.matmul(t(2, 3), t(4, 5)), /^matmul: /, /\[2, 3\]/, /\[4, 5\]/],
  [() => c.matmul(t(3), t(4)), /^matmul: /, /3/, /4/],
  [() => c.matmul(t(2, 2, 3), t(3, 3, 4)), /^matmul: /, /2/, /3/],
  [() => c.matmul(t(2, 2), c.zeros([2, 2], { dtype: "int32", device: d })), /^matmul: /, /int32/],
  [() => c.mm(t(3), t(3, 3)), /^mm: /],
  [() => c.bmm(t(2, 3), t(3, 2)), /^bmm: /],
  [() => c.linear(t(2, 3), t(5, 4)), /linear: /, /3/, /4/],
  [() => c.linear(t(2, 3), t(5, 3), { bias: t(4) }), /linear: /, /4/, /5/],
  [() => c.conv2d(t(1, 64, 8, 8), t(128, 32, 3, 3)), /^conv2d: /, /64 channels/, /\[128, 32, 3, 3\]/, /groups=1/],
  [() => c.conv2d(t(1, 4, 8, 8), t(6, 2, 3, 3), { groups: 4 }), /^conv2d: /, /groups/],
  [() => c.conv2d(t(4, 8), t(4, 4, 3, 3)), /^conv2d: /, /\[4, 8\]/],
  [() => c.conv2d(t(1, 3, 2, 2), t(4, 3, 5, 5)), /^conv2d: /, /5/],
  [() => c.conv2d(t(1, 3, 8, 8), t(4, 3, 3, 3), { bias: t(5) }), /^conv2d: /, /bias/, /5/],
  [() => c.conv2d(t(1, 3, 8, 8), t(4, 3, 3, 3), { stride: 0 }), /^conv2d: /, /stride/],
  [() => c.conv2d(t(1, 3, 8, 8), t(4, 3, 3, 3), { padding: -1 }), /^conv2d: /, /padding/],
  [() => c.reshape(t(2, 3), [4, 2]), /^reshape: /, /\[2, 3\]/, /\[4, 2\]/],
  [() => c.reshape(t(2, 3), [-1, -1]), /^reshape: /, /-1/],
  [() => c.reshape(t(2, 3), [4, -1]), /^reshape: /, /-1/],
  [() => c.permute(t(2, 3), [0, 0]), /^permute: /, /twice/],
  [() => c.permute(t(2, 3), [0]), /^permute: /, /2 dims/],
  [() => c.transpose(t(2, 3), 0, 2), /^transpose: /, /2/],
  [() => c.expand(t(2, 3), [4, 3]), /^expand: /, /\[2, 3\]/, /\[4, 3\]/],
  [() => c.squeeze(t(2, 1), { dim: 3 }), /^squeeze: /, /3/],
  [() => c.unsqueeze(t(2), 4), /^unsqueeze: /, /4/],
  [() => c.flatten(t(2, 3, 4), { startDim: 2, endDim: 1 }), /^flatten: /],
  [() => c.cat([t(2, 3), t(2, 4)], { dim: 0 }), /^cat: /, /3/, /4/],
  [() => c.cat([]), /^cat: /],
  [() => c.stack([t(2), t(3)]), /^stack: /],
  [() => c.split(t(5), [2, 2]), /^split: /, /5/],
  [() => c.split(t(5), 0), /^split: /],
  [() => c.chunk(t(5), 0), /^chunk: /],
  [() => c.narrow(t(5), 0, 3, 4), /^narrow: /],
  [() => c.select(t(5), 0, 5), /^select: /, /5/],
  [() => c.pad(t(2, 2), [1]), /^pad: /],
  [() => c.pad(t(1, 2, 2), [2, 2], { mode: "reflect" }), /^pad: /],
  [() => c.flip(t(2), [1]), /^flip: /],
  [() => c.roll(t(2, 3), [1, 2], { dims: [0] }), /^roll: /],
  [() => c.tril(t(3)), /^tril: /],
  [() => c.gather(t(2, 3), 0, ints(0, 1)), /^gather: /],
  [() => c.gather(t(3), 0, ints(3)), /^gather: /, /3/, /0 to 2/],
  [() => c.indexSelect(t(3), 0, ints(-1)), /^indexSelect: /, /-1/],
  [() => c.indexSelect(t(3), 0, t(1)), /^indexSelect: /, /int32/],
  [() => c.scatterAdd(t(3), 0, ints(0, 1), t(1)), /^scatterAdd: /],
  [() => c.sum(t(2, 3), { dim: 2 }), /^sum: /, /2/],
  [() => c.sum(t(2, 3), { dim: [0, 0] }), /^sum: /, /twice/],
  [() => c.amax(t(0)), /^amax: /],
  [() => c.argmax(t(2), { dim: 1 }), /^argmax: /],
  [() => c.mean(c.zeros([2], { dtype: "int32", device: d })), /^mean: /, /int32/],
  [() => c.softmax(t(2, 3), { dim: 5 }), /^softmax: /, /5/],
  [() => c.layerNorm(t(2, 3), [4]), /^layerNorm: /, /3/, /4/],
  [() => c.layerNorm(t(2, 3), [3], { weight: t(2) }), /^layerNorm: /, /weight/],
  [() => c.crossEntropy(t(2, 3), ints(0, 3)), /crossEntropy: /, /3/],
  [() => c.crossEntropy(t(2, 3), ints(0)), /crossEntropy: /],
  [() => c.crossEntropy(t(2, 3), ints(0, 1), { labelSmoothing: 2 }), /crossEntropy: /, /2/],
  [() => c.dropout(t(2), { p: 1.5 }), /^dropout: /, /1\.5/],
  [() => c.rfft2(t(3)), /^rfft2: /],
  [() => c.irfft2(t(3, 3)), /^irfft2: /],
  [() => c.tensor([[1, 2], [3]], { device: d }), /^tensor: /, /ragged/],
  [() => c.tensor([1, 2, 3], { shape: [2, 2], device: d }), /^tensor: /, /3/, /\[2, 2\]/],
  [() => c.tensor([1.5], { dtype: "int32", device: d }), /^tensor: /, /1\.5/],
  [() => c.zeros([-1], { device: d }), /zeros: /, /-1/],
  [() => t(2).size(3), /^size: /],
  [() => t(2, 2).requiresGrad_().mul(2).requiresGrad_(false), /^requiresGrad_: /, /detach/],
  [() => c.zeros([2], { dtype: "int32", device: d }).requiresGrad_(), /^requiresGrad_: /, /int32/],
  [() => t(2, 2).requiresGrad_().mul(1).backward(), /backward: /, /\[2, 2\]/],
  [() => t(1).sum().backward(), /backward: /, /gradient/],
];

describe("mistakes are caught at the call", () => {
  it("at least fifty of them", () => expect(mistakes.length).toBeGreaterThanOrEqual(50));

  it.each(mistakes.map(([call, ...patterns], i) => [i, String(call).replace("() => ", "").slice(0, 90), call, patterns] as const))(
    "%i %s",
    (_, __, call, patterns) => {
      let caught: unknown;
      try {
        call();
      } catch (error) {
        caught = error;
      }
      expect(caught).toBeInstanceOf(c.OpError);
      for (const pattern of patterns) expect((caught as Error).message).toMatch(pattern);
    },
  );

  it("item() of several elements", async () => {
    await expect(t(2).item()).rejects.toThrow(/^item: .*\[2\].*data\(\)/);
  });

  it("tensors of two devices", async () => {
    const other = await c.device("cpu");
    expect(() => c.add(t(2), c.zeros([2], { device: other }))).toThrow(/devices/);
    await other.close();
  });

  it("a device nobody registered", async () => {
    await expect(c.device("cuda")).rejects.toThrow(/cuda.*known are.*cpu/);
  });
});

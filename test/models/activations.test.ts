/** Values inside networks, by name. */
import { describe, expect, it } from "vitest";
import { noGrad, rand, type Tensor } from "../../index.js";
import { activations, createModel, GLMixBlock } from "../../models/index.js";

describe("activations", () => {
  const model = createModel("hornet_micro_7x7").eval();
  const images = rand([2, 1, 32, 32]);
  const inside = (names: string | string[]) => noGrad(() => activations(model, names, () => model.forward(images)));

  it("are outputs of layers, what forward hooks see", async () => {
    let hooked: Tensor | null = null;
    const remove = model.getSubmodule("stages.1.0").registerForwardHook((_, __, output) => {
      hooked = output as Tensor;
    });
    const { output, activations: found } = inside(["stages.1.0", "norm"]);
    remove();
    expect([...found.keys()]).toEqual(["stages.1.0", "norm"]);
    expect(found.get("stages.1.0")).toBe(hooked);
    expect(found.get("norm")?.shape).toEqual([2, 128]);
    expect(output.shape).toEqual([2, 10]);
  });

  it("show the orders of gnConv, ascending in width; the last is what projOut sees", async () => {
    const { activations: found } = inside(["stages.2.1.gnconv.orders.*", "stages.2.1.gnconv.proj_out"]);
    expect([...found].map(([name, { shape }]) => [name.split(".").slice(-1)[0], shape[1]])).toEqual([
      ["0", 8],
      ["1", 16],
      ["2", 32],
      ["3", 64],
      ["proj_out", 64],
    ]);
    const last = found.get("stages.2.1.gnconv.orders.3") as Tensor;
    const projected = model.getSubmodule("stages.2.1.gnconv.proj_out") as unknown as { forward(x: Tensor): Tensor };
    const want = await noGrad(() => projected.forward(last)).data();
    const got = await (found.get("stages.2.1.gnconv.proj_out") as Tensor).data();
    expect(got.every((value, i) => Math.abs(value - want[i]) < 1e-5)).toBe(true);
  });

  it("show the slots of GLMix: shares that add up to 1 in each pixel", async () => {
    const block = new GLMixBlock(16, 2, { numSlots: 4 });
    const { activations: found } = activations(block, "slot_assignment", () => block.forward(rand([1, 16, 6, 5])));
    const shares = found.get("slot_assignment") as Tensor;
    expect(shares.shape).toEqual([1, 4, 6, 5]);
    expect([...(await shares.sum({ dim: 1 }).data())]).toEqual(Array.from({ length: 30 }, () => expect.closeTo(1, 5)));
  });

  it("count the calls of a module that is called several times, and take patterns", () => {
    const { activations: found } = inside("stages.3.0.drop_path");
    expect([...found.keys()]).toEqual(["stages.3.0.drop_path", "stages.3.0.drop_path#2"]);
    expect(inside("downsample_layers.*.0").activations.size).toBe(4);
  });

  it("refuse a name that nothing has", () => {
    expect(() => inside("stages.2.1.gnconv.proj_on")).toThrow(
      /is named stages\.2\.1\.gnconv\.proj_on; did you mean stages\.2\.1\.gnconv\.proj_in/,
    );
    expect(() => inside("xyz")).toThrow("nothing that ran in HorNet is named xyz; there are ");
  });
});

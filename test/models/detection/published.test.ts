/** The published detector, 256 channels and 512 regions a picture, takes a step. */
import { expect, it } from "vitest";
import { compile, device, fromHost, Generator, type Tensor } from "../../../index.js";
import { lossNames, maskRCNN } from "../../../models/index.js";
import { SGD } from "../../../train/index.js";
import { blocks } from "./scenes.js";

it("builds at the published sizes, and its first step lowers the loss of the same picture", async () => {
  const wasm = await device("wasm");
  try {
    const model = maskRCNN({ numClasses: 80, neck: "horfpn_7x7", device: wasm, generator: new Generator(1), maskRegions: 16 });
    const optimizer = new SGD(model.parameters(), { lr: 1e-3 });
    const { images, truths } = blocks(1, 64, 5);
    const step = compile((x: Tensor) => {
      const losses = model.losses(x, () => truths, { generator: new Generator(2) });
      const loss = lossNames.map((name) => losses[name]).reduce((sum, each) => sum.add(each));
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return loss.detach();
    });
    const batch = fromHost(images, [1, 3, 64, 64], "float32", wasm);
    const first = await (await step(batch)).item();
    const second = await (await step(batch)).item();
    // Eighty classes and the ground, and masks that are not yet told from their negative: log 81 + 2 log 2, and the boxes.
    expect(first).toBeGreaterThan(5);
    expect(second).toBeLessThan(first);
  } finally {
    await wasm.close();
  }
});

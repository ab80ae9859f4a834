/** The first devices of a process, opened at once: in a file of its own, as another test's device would be the first. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { device, tensor } from "../../index.js";

it("devices that are opened at once share Dawn's instance, so that none loses its own to the collector", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const all = await Promise.all([0, 1, 2].map(() => device("webgpu")));
  for (let i = 0; i < 5; i++) {
    collect();
    await new Promise((later) => setTimeout(later, 20));
  }
  for (const on of all) expect(await tensor([1, 2, 3], { device: on }).mul(2).sum().item()).toBe(12);
  for (const on of all) await on.close();
});

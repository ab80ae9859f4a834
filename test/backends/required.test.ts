/** The devices that must be there in Node; those of a page are opened by `test/browser`. */
import { expect, it } from "vitest";
import { requiredDevices } from "../../conformance/required.js";
import { device, tensor } from "../../index.js";

it.each(requiredDevices.node)("%s opens and computes", async (name) => {
  const on = await device(name);
  const x = tensor([1, 2, 3], { device: on });
  expect(await x.mul(x).sum().item()).toBe(14);
  await on.close();
});

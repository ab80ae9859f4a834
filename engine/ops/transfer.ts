/** From one device to another. */
import type { Device } from "../device.js";
import { OpError } from "../errors.js";
import { isTracing } from "../runtime/scalar.js";
import { fromHost, type Tensor } from "../tensor.js";
import { hostValues } from "./check.js";
import { hostCall } from "./host.js";
import { alias } from "./view.js";

/**
 * The same values on another device. Lazy as everything: a node of the target whose value comes, when it is asked for, from a read of the
 * source. Graphs do not span devices, so no gradient crosses, and a compiled function, which is one plan on one device, cannot move.
 */
export function toDevice(x: Tensor, target: Device): Tensor {
  if (x.device === target) return alias(x);
  if (isTracing()) throw new OpError("to", "a compiled function runs on one device; move tensors before the call");
  if (x.requiresGrad)
    throw new OpError("to", `gradients do not cross from ${x.device.name} to ${target.name}; move x.detach(), and ask for gradients there`);
  const known = hostValues(x);
  if (known !== null) return fromHost(known, x.shape, x.dtype, target);
  const source = x.node;
  // A host function wants something to read; this is nothing worth reading.
  const nothing = fromHost(new Int32Array(1), [1], "int32", target);
  return hostCall(async () => [await source.device.read(source)], [nothing], [{ shape: x.shape, dtype: x.dtype }], { name: "to" })[0];
}

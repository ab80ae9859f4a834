/** Small public helpers over devices. */
import { type Device, defaultDevice } from "../device.js";
import { OpError } from "../errors.js";
import type { Tensor } from "../tensor.js";
import type { MemoryStats } from "./storage.js";

/** Computes several tensors, and all pending assignments, in one plan, and keeps their values on the device. */
export async function realize(...tensors: readonly Tensor[]): Promise<void> {
  if (tensors.length === 0) throw new OpError("realize", "expected at least one tensor");
  const byDevice = new Map<Device, Tensor[]>();
  for (const t of tensors) byDevice.set(t.device, [...(byDevice.get(t.device) ?? []), t]);
  await Promise.all([...byDevice].map(([device, list]) => device.realize(list.map((t) => t.node))));
}

/** Live, pooled and peak bytes of a device (default: the default device). */
export function memory(device: Device = defaultDevice()): MemoryStats {
  return device.memory();
}

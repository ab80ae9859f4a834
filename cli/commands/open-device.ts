/** Devices by name. */
import { type Device, type DeviceOptions, device, setDefaultDevice } from "../../index.js";

/** Opens the device and makes it the default. */
export async function openDevice(name: string, options: DeviceOptions = {}): Promise<Device> {
  const opened = await device(name, options);
  setDefaultDevice(opened);
  return opened;
}

/** Devices by name. */
import { type Device, device, setDefaultDevice } from "../../index.js";

/** Opens the device and makes it the default. */
export async function openDevice(name: string): Promise<Device> {
  const opened = await device(name);
  setDefaultDevice(opened);
  return opened;
}

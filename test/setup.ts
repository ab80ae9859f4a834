/**
 * Property tests try the same cases in every run, so that a failure belongs to a change; FUZZ_SEED tries others. Tests run on `cpu`, the
 * reference, where they name no device; what `wasm` is held to names it.
 */
import fc from "fast-check";
import { createCpuBackend } from "../backends/cpu/backend.js";
import { Device, setDefaultDevice } from "../engine/device.js";

fc.configureGlobal({ seed: Number(process.env.FUZZ_SEED ?? 1) });
setDefaultDevice(new Device("cpu", createCpuBackend()));

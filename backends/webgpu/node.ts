/** Where a GPU comes from in Node, the package `webgpu`, and how the host waits for it. Pages are built with `page.ts` in place of this file. */
import { BackendError } from "../../engine/errors.js";

/** Timestamps come rounded to 0.1 ms otherwise: a precaution for pages, which Node has no need of. */
const options = ["disable-dawn-features=timestamp_quantization"];

/** The one instance of this process, also for devices that are opened at once: a device must not outlive it. */
let opened: Promise<GPU> | null = null;

/** `hardware`: no other will do. Throws BackendError where there is none. */
export async function ownGpu(hardware: boolean): Promise<GPU> {
  if (typeof process === "undefined") throw new BackendError("webgpu", "this browser has no WebGPU (navigator.gpu)");
  if (hardware && !(await hasVulkanLoader())) throw new BackendError("webgpu", "there is no Vulkan loader (libvulkan.so.1)");
  opened ??= loadDawn();
  return opened;
}

/** What to do where a software adapter is asked for and none is found. */
export const softwareRemedy =
  "; a software adapter is found by processes that start in the environment of softwareGpuEnvironment(), as the command does for --device webgpu:software";

const waits = new Set<{ readonly since: number }>();
const bell = new Int32Array(new SharedArrayBuffer(4));
let resting = false;

/**
 * Lets the threads of a software adapter have the core while the host waits for them: Dawn asks for events in every turn of the event loop, without
 * pause. Each turn rests for a tenth of the time waited so far, at most two milliseconds.
 */
export function restDuring(awaited: Promise<unknown>): void {
  const wait = { since: performance.now() };
  const end = (): void => void waits.delete(wait);
  awaited.then(end, end);
  waits.add(wait);
  if (!resting) setImmediate(rest);
  resting = true;
}

function rest(): void {
  const [oldest] = waits;
  resting = oldest !== undefined;
  if (!resting) return;
  Atomics.wait(bell, 0, 0, Math.min((performance.now() - oldest.since) / 10, 2));
  setImmediate(rest);
}

async function loadDawn(): Promise<GPU> {
  // Not a literal, so that no bundler follows it into a page.
  const module = "webgpu";
  try {
    const { create } = (await import(/* @vite-ignore */ module)) as typeof import("webgpu");
    return create(options);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError("webgpu", `the package webgpu cannot be loaded: ${reason}`, { cause });
  }
}

/**
 * Whether Linux has a Vulkan loader to be found. Without one there is no adapter, and Dawn says so on stderr by itself: too loud for a device
 * that nobody asked for by name.
 */
async function hasVulkanLoader(): Promise<boolean> {
  if (process.platform !== "linux") return true;
  const module = "node:fs";
  const { existsSync, readFileSync } = (await import(/* @vite-ignore */ module)) as typeof import("node:fs");
  const loader = "libvulkan.so.1";
  const folders = [...(process.env.LD_LIBRARY_PATH ?? "").split(":"), "/lib", "/usr/lib", "/lib64", "/usr/lib64"];
  if (folders.some((folder) => folder !== "" && existsSync(`${folder}/${loader}`))) return true;
  const cache = "/etc/ld.so.cache";
  return existsSync(cache) && readFileSync(cache).includes(loader);
}

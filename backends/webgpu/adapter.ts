/** Where a GPU comes from: the browser, or the package `webgpu` in Node. */
import { BackendError } from "../../engine/errors.js";

export interface AdapterOptions {
  /**
   * `false` takes no adapter that is known to be software: a fallback adapter of the browser, SwiftShader, lavapipe, WARP.
   * `true` takes only such. By default any will do.
   */
  readonly software?: boolean;
  /** `"default"` asks for no more than every WebGPU adapter has; otherwise all that this one offers. */
  readonly limits?: "default" | "adapter";
  /** `false` makes no use of subgroups, as on adapters that have none. */
  readonly subgroups?: boolean;
}

export interface Opened {
  readonly device: GPUDevice;
  /** What runs, in words. */
  readonly description: string;
  readonly isSoftware: boolean;
}

const name = "webgpu";

/** Constants of the specification; in Node no global has them. */
export const usage = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128, queryResolve: 512 } as const;
export const computeStage = 4;
export const mapForRead = 1;

const wanted = [
  "maxStorageBuffersPerShaderStage",
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
] as const;

/** Timestamps come rounded to 0.1 ms otherwise: a precaution for pages, which Node has no need of. */
const nodeOptions = ["disable-dawn-features=timestamp_quantization"];

/** The one instance of this process, also for devices that are opened at once: a device must not outlive it. */
let nodeGpu: Promise<GPU> | null = null;

async function findGpu(): Promise<GPU> {
  const inBrowser = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (inBrowser !== undefined) return inBrowser;
  if (typeof process === "undefined") throw new BackendError(name, "this browser has no WebGPU (navigator.gpu)");
  nodeGpu ??= loadDawn();
  return nodeGpu;
}

async function loadDawn(): Promise<GPU> {
  // Not a literal, so that no bundler follows it into a page.
  const module = "webgpu";
  try {
    const { create } = (await import(/* @vite-ignore */ module)) as typeof import("webgpu");
    return create(nodeOptions);
  } catch (cause) {
    throw new BackendError(name, `the package webgpu cannot be loaded: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * Whether Linux has a Vulkan loader to be found. Without one there is no adapter, and Dawn says so on stderr by itself: too loud for a device
 * that nobody asked for by name.
 */
async function hasVulkanLoader(): Promise<boolean> {
  if (typeof process === "undefined" || process.platform !== "linux") return true;
  const module = "node:fs";
  const { existsSync, readFileSync } = (await import(/* @vite-ignore */ module)) as typeof import("node:fs");
  const loader = "libvulkan.so.1";
  const folders = [...(process.env.LD_LIBRARY_PATH ?? "").split(":"), "/lib", "/usr/lib", "/lib64", "/usr/lib64"];
  if (folders.some((folder) => folder !== "" && existsSync(`${folder}/${loader}`))) return true;
  const cache = "/etc/ld.so.cache";
  return existsSync(cache) && readFileSync(cache).includes(loader);
}

const softwareRemedy =
  "; a software adapter is found by processes that start in the environment of softwareGpuEnvironment(), as the command does for --device webgpu:software";

export const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

export function isSoftwareAdapter({ info }: GPUAdapter): boolean {
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  return info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render|software/i.test(text);
}

/** An adapter opens one device, so that each call asks for one of its own. */
export async function openDevice(options: AdapterOptions): Promise<Opened> {
  if (options.software === false && !(await hasVulkanLoader())) throw new BackendError(name, "there is no Vulkan loader (libvulkan.so.1)");
  const gpu = await findGpu();
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) {
    throw new BackendError(
      name,
      `no adapter: there is no GPU, or no driver that WebGPU can use (on Linux, Vulkan and its loader)${options.software ? softwareRemedy : ""}`,
    );
  }
  const isSoftware = isSoftwareAdapter(adapter);
  const { info } = adapter;
  const title = [info.description || info.device || info.vendor || "unnamed adapter", info.architecture].filter(Boolean).join(", ");
  if (options.software !== undefined && options.software !== isSoftware) {
    const remedy = options.software ? softwareRemedy : "";
    throw new BackendError(name, `the adapter is ${title}, which is ${isSoftware ? "" : "not "}a software adapter${remedy}`);
  }
  const requiredLimits = options.limits === "default" ? {} : Object.fromEntries(wanted.map((limit) => [limit, adapter.limits[limit]]));
  const optional: readonly GPUFeatureName[] = options.subgroups === false ? ["timestamp-query"] : ["timestamp-query", "subgroups"];
  const requiredFeatures = optional.filter((feature) => adapter.features.has(feature));
  try {
    const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
    return { device, description: isSoftware ? `${title} (software)` : title, isSoftware };
  } catch (cause) {
    throw new BackendError(name, `${title} opens no device: ${reasonOf(cause)}`, { cause });
  }
}

/** Where a GPU comes from: the browser, or the package `webgpu` in Node. */
import { BackendError } from "../../engine/errors.js";
import { ownGpu, softwareRemedy } from "./node.js";

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

export const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

export function isSoftwareAdapter({ info }: GPUAdapter): boolean {
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  return info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render|software/i.test(text);
}

/** An adapter opens one device, so that each call asks for one of its own. */
export async function openDevice(options: AdapterOptions): Promise<Opened> {
  const inBrowser = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  const gpu = inBrowser ?? (await ownGpu(options.software === false));
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

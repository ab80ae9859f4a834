/** `profile(fn)`: what the kernels cost that run meanwhile, against what the device can do, as data with a `toString()` and as a Chrome trace. */
import { type Device, defaultDevice } from "./device.js";
import { OpError } from "./errors.js";
import { amount } from "./explain.js";
import { measureRoofline, type Roofline } from "./roofline.js";
import type { KernelTime } from "./runtime/execute.js";

/** One launch of a kernel. */
export interface ProfiledLaunch {
  readonly name: string;
  readonly ops: readonly string[];
  readonly modules: readonly string[];
  /** Milliseconds from the beginning of the profile. */
  readonly start: number;
  readonly milliseconds: number;
  readonly flops: number;
  readonly bytes: number;
}

/** All launches of one kernel. */
export interface KernelProfile extends Omit<ProfiledLaunch, "start"> {
  readonly launches: number;
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
  /** The least time that the roofline allows, of the time taken; null where the roofline was not measured. */
  readonly share: number | null;
}

/** Times of a function's kernels, its result, and what memory it took. */
export interface Profile<T> {
  readonly result: T;
  readonly device: string;
  /** Time of all kernels together. */
  readonly milliseconds: number;
  /** By name, the slowest first. */
  readonly kernels: readonly KernelProfile[];
  /** In the order in which they ran. */
  readonly launches: readonly ProfiledLaunch[];
  readonly roofline: Roofline | null;
  /** The launches as JSON for chrome://tracing or ui.perfetto.dev. */
  trace(): string;
  toString(): string;
}

export interface ProfileOptions {
  readonly device?: Device;
  /** Measure the device's roofline too (once a device, some seconds on a slow one), or take this one. Default false. */
  readonly roofline?: boolean | Roofline;
}

/** Runs `fn` (which must read or realize what it wants computed) and times every kernel that runs on the device meanwhile. */
export async function profile<T>(fn: () => T | Promise<T>, options: ProfileOptions = {}): Promise<Profile<T>> {
  const device = options.device ?? defaultDevice();
  if (device.executor.onKernel !== null) throw new OpError("profile", "a profile is running on this device already; wait for it to end");
  const roofline = options.roofline === true ? await measureRoofline(device) : options.roofline || null;
  const begin = performance.now();
  const launches: ProfiledLaunch[] = [];
  let end = 0;
  device.executor.onKernel = ({ posted, start, milliseconds, ...kernel }: KernelTime) => {
    // A device's clock is not the host's: a plan's kernels are placed at the time of its posting, or after what ran before.
    if (start === 0) planStart = Math.max(posted - begin, end);
    end = planStart + start + milliseconds;
    launches.push({ ...kernel, start: planStart + start, milliseconds });
  };
  let planStart = 0;
  let result: T;
  try {
    result = await fn();
    await device.executor.timed();
  } finally {
    device.executor.onKernel = null;
  }
  const kernels = byName(launches, roofline);
  const milliseconds = kernels.reduce((n, k) => n + k.milliseconds, 0);
  return {
    result,
    device: device.describe(),
    milliseconds,
    kernels,
    launches,
    roofline,
    trace: () => chromeTrace(device.describe(), launches, roofline),
    toString: () => table(milliseconds, kernels, roofline),
  };
}

const shareOf = ({ milliseconds, flops, bytes }: Pick<ProfiledLaunch, "milliseconds" | "flops" | "bytes">, roofline: Roofline): number =>
  Math.max(flops / roofline.flopsPerSecond, bytes / roofline.bytesPerSecond) / (milliseconds / 1e3);

function byName(launches: readonly ProfiledLaunch[], roofline: Roofline | null): KernelProfile[] {
  const groups = new Map<string, ProfiledLaunch[]>();
  for (const launch of launches) {
    const group = groups.get(launch.name);
    if (group) group.push(launch);
    else groups.set(launch.name, [launch]);
  }
  const kernels = [...groups.values()].map((group): KernelProfile => {
    const { name, ops, modules } = group[0];
    const sum = (key: "milliseconds" | "flops" | "bytes"): number => group.reduce((n, launch) => n + launch[key], 0);
    const [milliseconds, flops, bytes] = [sum("milliseconds"), sum("flops"), sum("bytes")];
    const seconds = milliseconds > 0 ? milliseconds / 1e3 : Number.POSITIVE_INFINITY;
    return {
      name,
      ops,
      modules,
      launches: group.length,
      milliseconds,
      flops,
      bytes,
      flopsPerSecond: flops / seconds,
      bytesPerSecond: bytes / seconds,
      share: roofline === null || milliseconds === 0 ? null : shareOf({ milliseconds, flops, bytes }, roofline),
    };
  });
  return kernels.sort((a, b) => b.milliseconds - a.milliseconds);
}

function table(milliseconds: number, kernels: readonly KernelProfile[], roofline: Roofline | null): string {
  const total = `${milliseconds.toFixed(2)} ms in ${kernels.reduce((n, k) => n + k.launches, 0)} launches`;
  const against = roofline
    ? `; the device does ${amount(roofline.flopsPerSecond, "FLOP/s")} and ${amount(roofline.bytesPerSecond, "B/s")}, shares are of these`
    : "";
  const lines = kernels.map(({ milliseconds: time, launches, flopsPerSecond, bytesPerSecond, share, name }) => {
    const rates = `${amount(flopsPerSecond, "FLOP/s").padStart(13)}  ${amount(bytesPerSecond, "B/s").padStart(10)}`;
    const percent = share === null ? "" : `${(100 * share).toFixed(0).padStart(5)} %`;
    return `${time.toFixed(3).padStart(10)} ms ${String(launches).padStart(5)}×  ${rates}${percent}  ${name}`;
  });
  return [total + against, ...lines].join("\n");
}

/** The trace event format of Chrome: times in microseconds. */
function chromeTrace(device: string, launches: readonly ProfiledLaunch[], roofline: Roofline | null): string {
  const named = (name: string, value: string) => ({ name, ph: "M", pid: 1, tid: 1, args: { name: value } });
  const events = launches.map(({ name, start, milliseconds, ops, modules, flops, bytes }) => ({
    name,
    cat: "kernel",
    ph: "X",
    pid: 1,
    tid: 1,
    ts: 1e3 * start,
    dur: 1e3 * milliseconds,
    args: {
      ops: ops.join(" + "),
      modules: modules.join(", "),
      flops,
      bytes,
      ...(milliseconds > 0 ? { "GFLOP/s": flops / milliseconds / 1e6, "GB/s": bytes / milliseconds / 1e6 } : {}),
      ...(roofline !== null && milliseconds > 0 ? { "share of the roofline": shareOf({ milliseconds, flops, bytes }, roofline) } : {}),
    },
  }));
  return JSON.stringify({
    displayTimeUnit: "ms",
    traceEvents: [named("process_name", device), named("thread_name", "kernels"), ...events],
  });
}

/** Downloads into a cache: with progress, a checksum, and a file that is whole or not there. */
import { createHash, type Hash } from "node:crypto";
import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { OpError } from "../../engine/errors.js";
import type { DownloadOptions, DownloadProgress } from "../pretrained.js";
import { fileSource } from "./files.js";
import { claim, release, takeOver } from "./parts.js";

/** `$CRABRO_CACHE`, or `crabro` under `$XDG_CACHE_HOME`, which is `~/.cache` where it is not set. */
export function defaultCacheDir(): string {
  const { CRABRO_CACHE: own, XDG_CACHE_HOME: home } = process.env;
  if (own !== undefined && own !== "") return own;
  return join(home !== undefined && isAbsolute(home) ? home : join(homedir(), ".cache"), "crabro");
}

/** Where a URL's file is kept: its own name, behind a digest of the URL as different places use the same name. */
export function cachePath(url: string, cacheDir = defaultCacheDir()): string {
  const name = decodeURIComponent(new URL(url).pathname.split("/").pop() ?? "").replace(/[^\w.-]/g, "_");
  return join(cacheDir, `${createHash("sha256").update(url).digest("hex").slice(0, 8)}-${name === "" ? "weights" : name}`);
}

/** How long a connection may be silent. */
const silenceMs = 30_000;
const attempts = 4;
const firstDelayMs = 250;

/** What went wrong, and whether another attempt may mend it. */
class DownloadError extends Error {
  constructor(
    message: string,
    readonly again: boolean,
  ) {
    super(message);
  }
}

/**
 * The path of a URL's file: of the cache's copy where there is a good one, else of one downloaded to it. An interrupted download goes on
 * where it stopped if the server can, or else begins again, four times in all. What arrived before the line broke for good, or the process
 * was killed, is kept for the next call if `sha256` can tell that the whole is right, and removed otherwise.
 *
 * Throws OpError where the file is not to be had or has another checksum, and says how to do without a network.
 */
export async function download(url: string, options: DownloadOptions = {}): Promise<string> {
  const { sha256, cacheDir, onProgress = reportProgress() } = options;
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256))
    throw new OpError("download", `a SHA-256 checksum has 64 hexadecimal digits; got ${JSON.stringify(sha256)}`);
  const target = cachePath(url, cacheDir);
  if (existsSync(target)) {
    if (sha256 === undefined || fileSha256(target) === sha256.toLowerCase()) return target;
    rmSync(target); // another file than is wanted: old, or damaged
  }
  const partial = claim(target);
  let keep = sha256 !== undefined;
  try {
    mkdirSync(dirname(target), { recursive: true });
    const received = takeOver(target, partial, sha256 !== undefined);
    let sum = await transfer(url, partial, received, onProgress);
    // What was left over may have been of another version.
    if (received > 0 && sum !== sha256?.toLowerCase()) sum = await transfer(url, partial, 0, onProgress);
    keep = false;
    if (sha256 !== undefined && sum !== sha256.toLowerCase()) {
      throw new OpError(
        "download",
        `${url} has the SHA-256 checksum ${sum}, wanted is ${sha256.toLowerCase()}: it is another file, or was damaged on the way; nothing was kept`,
      );
    }
    renameSync(partial, target);
  } catch (error) {
    if (error instanceof OpError) throw error;
    throw new OpError("download", `cannot download ${url}: ${(error as Error).message}; ${instructions(url, target)}`, { cause: error });
  } finally {
    release(partial, keep);
  }
  return target;
}

const instructions = (url: string, target: string): string =>
  `fetch it where there is a network (curl -L -o weights '${url}') and put it at ${target}, or give the path where you put it in place of the address`;

export const fileSha256 = (path: string): string => fileHash(path).digest("hex");

/** The state of the checksum after a file's bytes. */
function fileHash(path: string): Hash {
  const source = fileSource(path);
  const hash = createHash("sha256");
  const piece = 4 << 20;
  for (let at = 0; at < source.length; at += piece) hash.update(source.view(at, Math.min(piece, source.length - at)));
  return hash;
}

/** What has arrived so far. */
interface Arrived {
  bytes: number;
  hash: Hash;
  /** The server's name of this version of the file, under which it goes on; null where it is not known. */
  version: string | null;
  /** Whether to go on without knowing the version, too. */
  readonly anyVersion: boolean;
}

/** Downloads to `path`, of which the first bytes are there; returns the checksum. */
async function transfer(url: string, path: string, received: number, onProgress: (progress: DownloadProgress) => void): Promise<string> {
  const hash = received > 0 ? fileHash(path) : createHash("sha256");
  const arrived: Arrived = { bytes: received, hash, version: null, anyVersion: received > 0 };
  const file = openSync(path, received > 0 ? "r+" : "w");
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await receive(url, file, arrived, onProgress);
        break;
      } catch (error) {
        const again = error instanceof DownloadError ? error.again : !isOffline(error);
        if (!again || attempt === attempts) throw new Error(`${reason(error)}${attempt > 1 ? ` (${attempt} attempts)` : ""}`);
        await new Promise((done) => setTimeout(done, firstDelayMs * 2 ** (attempt - 1)));
      }
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return arrived.hash.digest("hex");
}

/** One attempt. */
async function receive(url: string, file: number, arrived: Arrived, onProgress: (progress: DownloadProgress) => void): Promise<void> {
  const abort = new AbortController();
  const silence = setTimeout(() => abort.abort(new DownloadError("the server fell silent", true)), silenceMs);
  try {
    const headers: Record<string, string> = { "accept-encoding": "identity" };
    if (arrived.bytes > 0 && (arrived.version !== null || arrived.anyVersion)) {
      headers.range = `bytes=${arrived.bytes}-`;
      if (arrived.version !== null) headers["if-range"] = arrived.version;
    }
    const response = await fetch(url, { headers, signal: abort.signal });
    const { status } = response;
    const goesOn = status === 206 && response.headers.get("content-range")?.startsWith(`bytes ${arrived.bytes}-`) === true;
    if (!goesOn) {
      Object.assign(arrived, { bytes: 0, hash: createHash("sha256"), version: null });
      ftruncateSync(file, 0);
    }
    if (status !== 200 && !goesOn) {
      await response.body?.cancel();
      throw new DownloadError(
        `the server answers ${status} ${response.statusText}`.trimEnd(),
        status >= 500 || [206, 408, 416, 429].includes(status),
      );
    }
    arrived.version = strongVersion(response.headers);
    const length = response.headers.get("content-length");
    const total = length === null ? null : arrived.bytes + Number(length);
    onProgress({ url, received: arrived.bytes, total });
    for await (const chunk of response.body ?? []) {
      silence.refresh();
      for (let done = 0; done < chunk.length; ) done += writeSync(file, chunk, done, chunk.length - done, arrived.bytes + done);
      arrived.hash.update(chunk);
      arrived.bytes += chunk.length;
      onProgress({ url, received: arrived.bytes, total });
    }
    if (total !== null && arrived.bytes !== total) throw new DownloadError(`${arrived.bytes} of ${total} bytes arrived`, true);
  } finally {
    clearTimeout(silence);
  }
}

/** A version that names the very bytes: a strong ETag, or a time of change. */
function strongVersion(headers: Headers): string | null {
  const tag = headers.get("etag");
  return tag !== null && !tag.startsWith("W/") ? tag : headers.get("last-modified");
}

/** `fetch` hides what happened in the cause. */
const causeOf = (error: unknown): (Error & { code?: string }) | undefined => (error as Error).cause as Error | undefined;

const isOffline = (error: unknown): boolean =>
  ["ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED"].includes(causeOf(error)?.code ?? "");

function reason(error: unknown): string {
  const { message } = error as Error;
  const why = causeOf(error);
  if (why === undefined) return message;
  return `${isOffline(error) ? "there is no way to the server" : message}: ${why.message === "" ? why.code : why.message}`;
}

/** A line on standard error: one that rewrites itself on a terminal, or else one at the start. */
function reportProgress(): (progress: DownloadProgress) => void {
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
  let shown = Number.NEGATIVE_INFINITY;
  return ({ url, received, total }) => {
    const { stderr } = process;
    if (!stderr.isTTY) {
      if (shown < 0) stderr.write(`downloading ${url}${total === null ? "" : ` (${mb(total)} MB)`}\n`);
      shown = 0;
      return;
    }
    const ends = received === total;
    if (!ends && performance.now() - shown < 100) return;
    shown = performance.now();
    const share = total === null ? `${mb(received)} MB` : `${mb(received)} of ${mb(total)} MB`;
    stderr.write(`\r\x1b[2Kdownloading ${url}: ${share}${ends ? "\n" : ""}`);
  };
}

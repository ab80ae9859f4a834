/** Trained weights by path, URL and bytes: what is loaded, how it is made to fit, and what happens when the network does not play along. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { interpolate, manualSeed } from "../../index.js";
import { adaptState, createModel, type DownloadProgress, type Module, type StoredTensor, store } from "../../models/index.js";
import { cachePath, defaultCacheDir, download, readWeights, saveWeights } from "../../models/node.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-pretrained-"));
const cacheDir = join(folder, "cache");
const file = join(folder, "micro.pth");
const quiet = { cacheDir, onProgress: () => undefined };
const name = "hornet_micro_gf";
let bytes: Buffer;
let sha256: string;
let server: Server;
let base: string;
let answer: (request: IncomingMessage, response: ServerResponse, count: number) => void;
let requests: IncomingMessage[];

beforeAll(async () => {
  manualSeed(11);
  await saveWeights(file, createModel(name).stateDict());
  bytes = readFileSync(file);
  sha256 = createHash("sha256").update(bytes).digest("hex");
  server = createServer((request, response) => {
    requests.push(request);
    answer(request, response, requests.length);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => {
  rmSync(cacheDir, { recursive: true, force: true });
  requests = [];
  answer = (_, response) => response.end(bytes);
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const values = async (module: Module, key: string): Promise<number[]> => [...((await module.stateDict().get(key)?.data()) ?? [])];
const kept = (): string[] => (existsSync(cacheDir) ? readdirSync(cacheDir) : []);

describe("createModel with pretrained", () => {
  const key = "stages.2.1.gnconv.proj_in.weight";

  it("loads a path, a URL of either kind, and bytes", async () => {
    const want = [...new Float32Array((readWeights(file).tensors.get(key) as StoredTensor).bytes.slice().buffer)];
    const sources = [file, pathToFileURL(file), bytes, { source: `${base}/micro.pth`, sha256, ...quiet }];
    for (const pretrained of sources) expect(await values(await createModel(name, { pretrained }), key)).toEqual(want);
    expect(requests.length).toBe(1);
  });

  it("refuses a head for other classes, drops it, or takes rows of it", async () => {
    await expect(createModel(name, { numClasses: 3, pretrained: file })).rejects.toThrow(
      /micro\.pth does not fit HorNet: of another shape: head\.weight \[10, 128\] for \[3, 128\].*pass head: "drop"/,
    );
    manualSeed(2);
    const dropped = await createModel(name, { numClasses: 3, pretrained: { source: file, head: "drop" } });
    const head = await values(dropped, "head.weight");
    expect(head.length).toBe(3 * 128);
    expect(new Set(head).size).toBeGreaterThan(300); // drawn, not zeros
    const [whole, rows] = await Promise.all([
      createModel(name, { pretrained: file }).then((model) => values(model, "head.weight")),
      createModel(name, { numClasses: 2, pretrained: { source: file, head: [7, 0] } }).then((model) => values(model, "head.weight")),
    ]);
    expect(rows).toEqual([...whole.slice(7 * 128, 8 * 128), ...whole.slice(0, 128)]);
    await expect(createModel(name, { numClasses: 1, pretrained: { source: file, head: [10] } })).rejects.toThrow(
      "has the rows 0 to 9; got 10",
    );
  });

  it("loads a classifier into a backbone, whose norms begin anew", async () => {
    const backbone = await createModel(name, { featuresOnly: true, pretrained: file });
    expect(new Set(await values(backbone, "norm2.weight"))).toEqual(new Set([1]));
    expect(await values(backbone, key)).toEqual(await values(await createModel(name, { pretrained: file }), key));
  });

  it("resizes filters for good, as interpolation with aligned corners does", async () => {
    const filter = "stages.2.0.gnconv.dwconv.complex_weight";
    const [small, large] = await Promise.all([
      createModel(name, { pretrained: file }),
      createModel(name, { inputSize: 96, pretrained: file }),
    ]);
    const from = small.stateDict().get(filter);
    const to = large.stateDict().get(filter);
    expect([from?.shape.slice(1), to?.shape.slice(1)]).toEqual([
      [2, 2, 2],
      [6, 4, 2],
    ]);
    const want = interpolate((from as NonNullable<typeof from>).permute([3, 0, 1, 2]), {
      size: [6, 4],
      mode: "bilinear",
      alignCorners: true,
    });
    const resized = [...(await want.permute([1, 2, 3, 0]).data())];
    expect(await values(large, filter)).toEqual(resized.map((value) => expect.closeTo(value, 6)));
  });

  it("reports whatever else does not fit", async () => {
    await expect(createModel("hornet_micro_7x7", { pretrained: file })).rejects.toThrow(
      /missing: .*dwconv\.weight.*unexpected: .*complex_weight/,
    );
    await expect(createModel(name, { pretrained: join(folder, "none.pth") })).rejects.toThrow(/cannot read .*none\.pth: ENOENT/);
    await expect(createModel(name, { pretrained: new URL("ftp://example.org/a.pth") })).rejects.toThrow("known are http, https and file");
    await expect(createModel(name, { pretrained: { source: file, sha256: "0".repeat(64) } })).rejects.toThrow(
      `has the SHA-256 checksum ${sha256}, wanted is 000`,
    );
  });
});

it("adaptState leaves what fits, and integers, as they are", () => {
  const model = createModel(name, { meta: true });
  const odd = store(Float32Array.of(1), [1], "float32");
  const state = new Map([["head.weight", odd], ["other", odd]]); // biome-ignore format: two entries
  expect([...adaptState(state, model)]).toEqual([...state]);
  expect([...adaptState(state, model, "drop").keys()]).toEqual(["other"]);
});

describe("download", () => {
  const url = () => `${base}/some/micro.pth?dl=1`;

  it("keeps a copy, tells of its progress, and asks once", async () => {
    const progress: DownloadProgress[] = [];
    const path = await download(url(), { cacheDir, sha256, onProgress: (at) => progress.push(at) });
    expect(path).toBe(cachePath(url(), cacheDir));
    expect(path).toMatch(/[0-9a-f]{8}-micro\.pth$/);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(progress[0]).toEqual({ url: url(), received: 0, total: bytes.length });
    expect(progress.at(-1)?.received).toBe(bytes.length);
    expect(await download(url(), { cacheDir, sha256 })).toBe(path);
    expect(requests.length).toBe(1);
    expect(kept()).toEqual([path.split("/").pop()]);
  });

  it("keeps nothing with a wrong checksum, and replaces a damaged copy", async () => {
    await expect(download(url(), { ...quiet, sha256: "a".repeat(64) })).rejects.toThrow(
      new RegExp(`micro\\.pth\\?dl=1 has the SHA-256 checksum ${sha256}, wanted is aaaa.*nothing was kept`),
    );
    expect(kept()).toEqual([]);
    const path = await download(url(), { ...quiet, sha256 });
    writeFileSync(path, "rubbish");
    await download(url(), { ...quiet, sha256 });
    expect(readFileSync(path).equals(bytes)).toBe(true);
    await expect(download(url(), { ...quiet, sha256: "abc" })).rejects.toThrow("has 64 hexadecimal digits");
  });

  const half = () => Math.floor(bytes.length / 2);
  /** Sends the first half, then cuts the line. */
  const cut = (response: ServerResponse): void => {
    response.writeHead(200, { "content-length": bytes.length, etag: '"one"' });
    response.write(bytes.subarray(0, half()), () => setTimeout(() => response.destroy(), 20));
  };

  it("goes on where it was interrupted", async () => {
    answer = (request, response, count) => {
      if (count === 1) return cut(response);
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1]);
      response.writeHead(206, { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}`, etag: '"one"' });
      response.end(bytes.subarray(from));
    };
    expect(readFileSync(await download(url(), { ...quiet, sha256 })).equals(bytes)).toBe(true);
    expect(requests[1].headers["if-range"]).toBe('"one"');
    expect(Number(requests[1].headers.range?.slice(6, -1))).toBeGreaterThan(0);
  });

  it("begins again where the server cannot go on", async () => {
    answer = (_, response, count) => (count === 1 ? cut(response) : response.end(bytes));
    expect(readFileSync(await download(url(), { ...quiet, sha256 })).equals(bytes)).toBe(true);
    expect(requests.length).toBe(2);
  });

  /** A process that downloads until it is killed, with half of the file on its disk. */
  async function killedHalfway(): Promise<void> {
    answer = (_, response) => {
      response.writeHead(200, { "content-length": bytes.length, etag: '"one"' });
      response.write(bytes.subarray(0, half()));
    };
    const script = `import { download } from ${JSON.stringify(new URL("../../models/node/download.ts", import.meta.url).href)};
      await download(${JSON.stringify(url())}, { cacheDir: ${JSON.stringify(cacheDir)}, onProgress: ({ received }) => {
        if (received === ${half()}) process.stdout.write("half");
      } });`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((done) => child.stdout.once("data", done));
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await ended;
    requests = [];
  }
  /** Sends the rest where it is asked for. */
  const rest = (request: IncomingMessage, response: ServerResponse): void => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (from > 0) response.writeHead(206, { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
    response.end(bytes.subarray(from));
  };

  it("goes on with what a killed process has left, where a checksum can tell that it is right", { timeout: 30_000 }, async () => {
    await killedHalfway();
    expect(kept()).toEqual([expect.stringMatching(/-micro\.pth\..*\.part$/)]);
    answer = rest;
    const path = await download(url(), { ...quiet, sha256 });
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(requests.map(({ headers }) => headers.range)).toEqual([`bytes=${half()}-`]);
    expect(kept()).toEqual([basename(path)]);
  });

  it("goes on at the next call after the line broke for good", { timeout: 30_000 }, async () => {
    answer = (request, response, count) => (count === 1 ? cut(response) : request.socket.destroy());
    await expect(download(url(), { ...quiet, sha256 })).rejects.toThrow("cannot download");
    requests = [];
    answer = rest;
    const path = await download(url(), { ...quiet, sha256 });
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(requests[0].headers.range).toBe(`bytes=${half()}-`);
    expect(kept()).toEqual([basename(path)]);
  });

  it("begins anew where it cannot tell, or where what was left is of another file, and leaves living downloads alone", async () => {
    const left = (owner: string, content: Uint8Array): string => {
      const file = `${cachePath(url(), cacheDir)}.${hostname().replace(/[^\w-]/g, "_")}.${owner}-0.part`;
      mkdirSync(cacheDir, { recursive: true });
      writeFileSync(file, content);
      return basename(file);
    };
    answer = rest;
    left("999999999", bytes.subarray(0, half()));
    const path = await download(url(), quiet);
    expect([readFileSync(path).equals(bytes), requests[0].headers.range, kept()]).toEqual([true, undefined, [basename(path)]]);

    rmSync(path);
    requests = [];
    left("999999999", new Uint8Array(half()).fill(7));
    expect(readFileSync(await download(url(), { ...quiet, sha256 })).equals(bytes)).toBe(true);
    expect(requests.map(({ headers }) => headers.range)).toEqual([`bytes=${half()}-`, undefined]);

    rmSync(path);
    requests = [];
    const living = left(String(process.ppid), bytes.subarray(0, 9));
    const both = await Promise.all([download(url(), { ...quiet, sha256 }), download(url(), { ...quiet, sha256 })]);
    expect(both).toEqual([path, path]);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(kept().sort()).toEqual([basename(path), living].sort());
  });

  it("gives up after four attempts, and keeps nothing", async () => {
    answer = (_, response) => {
      response.writeHead(503);
      response.end();
    };
    await expect(download(url(), quiet)).rejects.toThrow(/cannot download .*: the server answers 503 Service Unavailable \(4 attempts\)/);
    expect(requests.length).toBe(4);
    expect(kept()).toEqual([]);
  });

  it("does not insist on what is not there, and says what to do", async () => {
    answer = (_, response) => {
      response.writeHead(404);
      response.end();
    };
    await expect(download(url(), quiet)).rejects.toThrow(
      /the server answers 404 Not Found; fetch it where there is a network \(curl -L -o/,
    );
    expect(requests.length).toBe(1);
  });

  it("without a network names the command and the place", async () => {
    const closed = createServer();
    await new Promise<void>((done) => closed.listen(0, "127.0.0.1", done));
    const away = `http://127.0.0.1:${(closed.address() as AddressInfo).port}/tiny.pth`;
    await new Promise((done) => closed.close(done));
    const refused = createModel(name, { pretrained: { source: away, ...quiet } });
    await expect(refused).rejects.toThrow("there is no way to the server");
    await expect(refused).rejects.toThrow(
      `curl -L -o weights '${away}') and put it at ${cachePath(away, cacheDir)}, or give the path where you put it`,
    );
    expect(kept()).toEqual([]);
  });

  it("keeps its cache where the system wants caches", () => {
    const { CRABRO_CACHE, XDG_CACHE_HOME } = process.env;
    try {
      delete process.env.CRABRO_CACHE;
      process.env.XDG_CACHE_HOME = "/caches";
      expect(defaultCacheDir()).toBe("/caches/crabro");
      process.env.XDG_CACHE_HOME = "relative"; // of no effect, by the specification
      expect(defaultCacheDir()).toMatch(/\/\.cache\/crabro$/);
      process.env.CRABRO_CACHE = "/own";
      expect(defaultCacheDir()).toBe("/own");
    } finally {
      for (const [key, value] of Object.entries({ CRABRO_CACHE, XDG_CACHE_HOME })) {
        if (value === undefined) delete process.env[key];
        else process.env[key] = value;
      }
    }
  });
});

/** Files of weights on the disk: what is written is read back and has PyTorch's form, what is damaged is refused, and memory stays small. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { crc32 as nativeCrc32 } from "node:zlib";
import fc from "fast-check";
import { unzipSync } from "fflate";
import { afterAll, describe, expect, it } from "vitest";
import "../../index.js";
import { OpError } from "../../engine/errors.js";
import { createModel, pthState, readPth, type StoredTensor, writePth } from "../../models/index.js";
import { readWeights, saveWeights, writeWeights } from "../../models/node.js";
import { crc32 } from "../../models/weights/crc32.js";
import { storedBytes, toTypedArray } from "../../models/weights/stored.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-files-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string): string => join(folder, name);

describe("crc32", () => {
  it("is that of zlib, whole and in parts", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), fc.nat(70), (bytes, at) => {
        expect(crc32(bytes)).toBe(nativeCrc32(bytes));
        expect(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at)))).toBe(nativeCrc32(bytes));
      }),
    );
  });
});

const dtypes = ["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"] as const;
const stored = fc.tuple(fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 4 })).chain(([dtype, shape]) => {
  const length = shape.reduce((n, size) => n * size, storedBytes[dtype]);
  return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes): StoredTensor => ({ dtype, shape, bytes }));
});

describe("writePth", () => {
  it("writes what readPth reads: names, order, dtypes, shapes and bytes", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(fc.string(), stored), { selector: ([name]) => name, minLength: 1 }), (entries) => {
        const root = readPth(writePth(entries, { at: "model" })) as Map<string, Map<string, StoredTensor>>;
        const read = [...(root.get("model") ?? [])].map(([name, { dtype, shape, bytes }]) => [name, { dtype, shape, bytes }]);
        expect(read).toEqual(entries);
      }),
    );
  });

  it("has the form of PyTorch's archives: stored files at multiples of 64 bytes, with checksums", () => {
    const weight: StoredTensor = { dtype: "F32", shape: [2, 3], bytes: new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer) };
    const file = writePth([["weight", weight]]);
    expect(Object.keys(unzipSync(file))).toEqual(["archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/version"]);
    const text = new TextDecoder("latin1").decode(file);
    const data = text.indexOf(new TextDecoder("latin1").decode(weight.bytes));
    expect(data % 64).toBe(0);
    const directory = text.lastIndexOf("archive/data/0") - 46;
    expect(new DataView(file.buffer).getUint32(directory + 16, true)).toBe(nativeCrc32(weight.bytes));
    // protocol 2, an OrderedDict, and nothing named but tensors
    const pickle = new TextDecoder("latin1").decode(unzipSync(file)["archive/data.pkl"]);
    expect(pickle.slice(0, 2)).toBe("\x80\x02");
    expect(pickle.slice(2)).toMatch(/^ccollections\nOrderedDict\n\)R\(X.{4}weightctorch\._utils\n_rebuild_tensor_v2\n/s);
    expect(new Set(pickle.match(/c[\w.]+\n\w+\n/g))).toEqual(
      new Set(["ccollections\nOrderedDict\n", "ctorch._utils\n_rebuild_tensor_v2\n", "ctorch\nFloatStorage\n"]),
    );
  });

  it("refuses what PyTorch has no storage for, and a name twice", () => {
    const odd: StoredTensor = { dtype: "U16", shape: [1], bytes: new Uint8Array(2) };
    expect(() => writePth([["odd", odd]])).toThrow("odd is U16, for which PyTorch has no storage");
    const one: StoredTensor = { ...odd, dtype: "I16" };
    expect(() => writePth([["a", one], ["a", one]])).toThrow('the name "a" is taken'); // biome-ignore format: two entries
    expect(() => writePth([["a", { ...one, shape: [2] }]])).toThrow("a: 4 bytes are wanted; got 2");
  });
});

describe("saveWeights and readWeights", () => {
  it("give a model's state to another, in every format", async () => {
    const model = createModel("hornet_micro_gf");
    for (const [name, options] of [
      ["a.safetensors", {}],
      ["a.pth", {}],
      ["a.pt", { at: "model" }],
    ] as const) {
      await saveWeights(path(name), model.stateDict(), options);
      const other = createModel("hornet_micro_gf", { meta: true });
      expect(other.loadStateDict(readWeights(path(name)).tensors)).toEqual({ missing: [], unexpected: [], mismatched: [] });
      for (const [key, value] of other.stateDict()) {
        const [got, want] = await Promise.all([value.data(), model.stateDict().get(key)?.data()]);
        expect(got.every((number, i) => number === want?.[i])).toBe(true);
      }
    }
    await expect(saveWeights(path("a.bin"), model.stateDict())).rejects.toThrow("let it end in .safetensors, .pth or .pt");
    await expect(saveWeights(path("b.safetensors"), model.stateDict(), { at: "model" })).rejects.toThrow("no place for model");
  });

  it("say so when a file changes after it was opened", () => {
    writeWeights(path("c.pth"), [["w", { dtype: "F32", shape: [2], bytes: new Uint8Array(8) }]]);
    const { tensors } = readWeights(path("c.pth"));
    writeFileSync(path("c.pth"), "other");
    expect(() => tensors.get("w")?.bytes).toThrow(/c\.pth has changed while it was read/);
  });

  it("refuse a folder", () => {
    expect(() => readWeights(folder)).toThrow(/cannot read .*: it is no file/);
  });
});

describe("a damaged archive", () => {
  const weight: StoredTensor = { dtype: "F32", shape: [64], bytes: new Uint8Array(256).map((_, i) => i) };
  const file = writePth([["weight", weight]]);
  const damage = (find: (text: string) => number): string => {
    const bytes = file.slice();
    bytes[find(new TextDecoder("latin1").decode(bytes))] ^= 0x10;
    writeFileSync(path("damaged.pth"), bytes);
    return path("damaged.pth");
  };

  it("is refused by its checksum, in the weights and in the pickle", () => {
    const inWeights = damage((text) => text.indexOf("\x20\x21\x22\x23\x24") + 3);
    expect(() => readWeights(inWeights)).toThrow(/damaged\.pth: the checksum of the file "archive\/data\/0" is wrong/);
    expect(() => pthState(readPth(readFileSync(inWeights)))).toThrow(OpError);
    expect(readWeights(inWeights, { checksums: false }).tensors.get("weight")?.shape).toEqual([64]);
    const inPickle = damage((text) => text.indexOf("weight"));
    expect(() => readWeights(inPickle)).toThrow(/the checksum of the file "archive\/data\.pkl" is wrong/);
  });
});

describe("a large checkpoint", () => {
  // 24 tensors of 8 MiB for the model, and as many for an optimizer that nobody asks for.
  const count = 24;
  const length = 2 << 20;
  const large = (value: number): StoredTensor => ({
    dtype: "F32",
    shape: [length],
    get bytes() {
      return new Uint8Array(new Float32Array(length).fill(value).buffer);
    },
  });
  const entries = (prefix: string) => Array.from({ length: count }, (_, i): [string, StoredTensor] => [`${prefix}${i}`, large(i)]);
  const program = (file: string) => `
    import { readWeights } from ${JSON.stringify(resolve("models/node.ts"))};
    import { toTypedArray } from ${JSON.stringify(resolve("models/weights/stored.ts"))};
    const start = process.resourceUsage().maxRSS;
    const { tensors } = readWeights(${JSON.stringify(file)});
    const opened = process.resourceUsage().maxRSS;
    const held = [...tensors].filter(([name]) => !name.startsWith("o")).map(([, tensor]) => toTypedArray(tensor, "float32"));
    const loaded = process.resourceUsage().maxRSS;
    console.log(JSON.stringify({ opened: opened - start, loaded: loaded - start, sum: held.reduce((sum, values) => sum + values[1], 0) }));
  `;

  for (const name of ["large.safetensors", "large.pth"]) {
    it(`takes little more memory than the tensors used: ${name}`, { timeout: 60_000 }, () => {
      writeWeights(path(name), [...entries("m"), ...entries("o")]);
      const script = path(`${name}.mts`);
      writeFileSync(script, program(path(name)));
      const { opened, loaded, sum } = JSON.parse(
        execFileSync(process.execPath, [resolve("node_modules/tsx/dist/cli.mjs"), script], { encoding: "utf8" }),
      ) as Record<string, number>;
      rmSync(path(name));
      const used = (count * length * 4) / 1024; // KiB, as maxRSS
      expect(sum).toBe((count * (count - 1)) / 2);
      expect(opened).toBeLessThan(40_000);
      expect(loaded).toBeLessThan(used + 40_000);
      expect(loaded).toBeGreaterThan(used / 2); // the measure measures
    });
  }
});

it("reads half precision straight into float32", () => {
  writeWeights(path("half.safetensors"), [
    ["h", { dtype: "BF16", shape: [2], bytes: new Uint8Array(Uint16Array.of(0x3f80, 0xc049).buffer) }],
  ]);
  const half = readWeights(path("half.safetensors")).tensors.get("h") as StoredTensor;
  expect([...toTypedArray(half, "float32")]).toEqual([1, -3.140625]);
});

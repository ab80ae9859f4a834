/** PyTorch's files, written here byte by byte: what is read, what is refused, and that nothing malformed does anything but throw OpError. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { OpError } from "../../engine/errors.js";
import { castStored, PickleRecord, type PickleValue, type PthTensor, pthState, readPth, toTypedArray } from "../../models/index.js";
import { readWeights } from "../../models/node.js";
import { unpickle } from "../../models/weights/pickle.js";

type Piece = string | number | readonly Piece[];

/** Bytes of opcodes: characters of strings, numbers as bytes. */
const code = (...pieces: Piece[]): Uint8Array => {
  const flat = (piece: Piece): number[] =>
    typeof piece === "string" ? [...new TextEncoder().encode(piece)] : typeof piece === "number" ? [piece] : piece.flatMap(flat);
  return Uint8Array.from(flat(pieces));
};
const text = (value: string): Piece => ["X", value.length, 0, 0, 0, value];
const int = (value: number): Piece => ["M", value & 255, value >> 8];
const tuple = (...items: Piece[]): Piece => ["(", ...items, "t"];
const global = (module: string, name: string): Piece => `c${module}\n${name}\n`;
const pickled = (...body: Piece[]): Uint8Array => code(0x80, 2, ...body, ".");

interface Layout {
  readonly type?: string;
  readonly key?: string;
  readonly numel?: number;
  readonly offset?: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** `torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`. */
function tensor({ type = "FloatStorage", key = "0", numel = 6, offset = 0, shape, strides }: Layout): Piece {
  const storage = [tuple(text("storage"), global("torch", type), text(key), text("cpu"), int(numel)), "Q"];
  const hooks = [global("collections", "OrderedDict"), ")R"];
  const args = [storage, int(offset), tuple(...shape.map(int)), tuple(...strides.map(int)), 0x89, hooks];
  return [global("torch._utils", "_rebuild_tensor_v2"), tuple(...args), "R"];
}

const dictionary = (entries: Readonly<Record<string, Piece>>): Piece => [
  "}(",
  ...Object.entries(entries).flatMap(([key, value]) => [text(key), value]),
  "u",
];

function zipped(body: Uint8Array, storages: Readonly<Record<string, Uint8Array>> = {}, level: 0 | 6 = 0): Uint8Array {
  const files: Record<string, Uint8Array> = { "archive/data.pkl": body, "archive/version": code("3\n") };
  for (const [key, bytes] of Object.entries(storages)) files[`archive/data/${key}`] = bytes;
  return zipSync(files, { level });
}

function legacy(body: Uint8Array, storages: Readonly<Record<string, { bytes: Uint8Array; numel: number }>>): Uint8Array {
  const magic = pickled(0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19);
  const keys = Object.keys(storages);
  const parts = [magic, pickled(int(1001)), pickled("}"), body, pickled("](", ...keys.map(text), "e")];
  for (const { bytes, numel } of Object.values(storages)) parts.push(new Uint8Array(BigInt64Array.of(BigInt(numel)).buffer), bytes);
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const bytesOf = (values: ArrayBufferView): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
const six = bytesOf(Float32Array.of(0, 1, 2, 3, 4, 5));
const numbers = (value: PickleValue | undefined): number[] => [...toTypedArray(value as PthTensor, "float32")];

describe("readPth", () => {
  const row = tensor({ shape: [2, 3], strides: [3, 1] });
  const column = tensor({ shape: [3, 2], strides: [1, 3] });

  it("reads zip archives, stored and compressed, and files from before them", () => {
    const body = pickled(dictionary({ weight: row, turned: column, one: tensor({ shape: [], strides: [], offset: 4 }) }));
    for (const file of [zipped(body, { 0: six }), zipped(body, { 0: six }, 6), legacy(body, { 0: { bytes: six, numel: 6 } })]) {
      const root = readPth(file) as Map<string, PickleValue>;
      expect([...root.keys()]).toEqual(["weight", "turned", "one"]);
      expect(numbers(root.get("weight"))).toEqual([0, 1, 2, 3, 4, 5]);
      expect(numbers(root.get("turned"))).toEqual([0, 3, 1, 4, 2, 5]);
      expect(numbers(root.get("one"))).toEqual([4]);
      expect((root.get("weight") as PthTensor).dtype).toBe("F32");
    }
  });

  it("copies nothing of a stored tensor", () => {
    const file = zipped(pickled(dictionary({ weight: row })), { 0: six });
    const weight = (readPth(file) as Map<string, PickleValue>).get("weight") as PthTensor;
    expect(weight.bytes.buffer).toBe(file.buffer);
  });

  it("reads every dtype", () => {
    const half = tensor({ type: "HalfStorage", key: "h", numel: 3, shape: [3], strides: [1] });
    const brain = tensor({ type: "BFloat16Storage", key: "b", numel: 2, shape: [2], strides: [1] });
    const long = tensor({ type: "LongStorage", key: "l", numel: 2, shape: [2], strides: [1] });
    const flags = tensor({ type: "BoolStorage", key: "f", numel: 2, shape: [2], strides: [1] });
    const file = zipped(pickled(dictionary({ half, brain, long, flags })), {
      h: bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x0001)),
      b: bytesOf(Uint16Array.of(0x3f80, 0xc049)),
      l: bytesOf(BigInt64Array.of(-2n, 7n)),
      f: Uint8Array.of(1, 0),
    });
    const root = readPth(file) as Map<string, PickleValue>;
    expect(numbers(root.get("half"))).toEqual([1, -2, 2 ** -24]);
    expect(numbers(root.get("brain"))).toEqual([1, -3.140625]);
    expect(numbers(root.get("long"))).toEqual([-2, 7]);
    expect([...root.values()].map((value) => (value as PthTensor).dtype)).toEqual(["F16", "BF16", "I64", "BOOL"]);
  });

  it("reads what training leaves beside the weights: Namespaces, numbers, None, lists", () => {
    const namespace = [global("argparse", "Namespace"), ")", 0x81, dictionary({ lr: ["G", 0x3f, 0xf0, 0, 0, 0, 0, 0, 0] }), "b"];
    const root = readPth(zipped(pickled(dictionary({ args: namespace, none: "N", list: ["](", int(1), 0x88, "e"] })))) as Map<
      string,
      PickleValue
    >;
    expect(root.get("args")).toBeInstanceOf(PickleRecord);
    expect((root.get("args") as PickleRecord).get("lr")).toBe(1);
    expect(root.get("none")).toBeNull();
    expect(root.get("list")).toEqual([1, true]);
  });

  it("knows no prototypes", () => {
    const root = readPth(zipped(pickled(dictionary({ __proto__x: "N", constructor: "N" })))) as Map<string, PickleValue>;
    expect(root.get("constructor")).toBeNull();
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("what readPth refuses", () => {
  const refused = (file: Uint8Array): string => {
    try {
      readPth(file);
    } catch (error) {
      expect(error).toBeInstanceOf(OpError);
      return (error as Error).message;
    }
    return expect.fail("was read");
  };
  const shaped = (layout: Partial<Layout>, storage = six) =>
    refused(zipped(pickled(dictionary({ weight: tensor({ shape: [2, 3], strides: [3, 1], ...layout }) })), { 0: storage }));

  it("is every other global, by name", () => {
    const call = (module: string, name: string) => pickled(global(module, name), tuple(text("echo > PWNED")), "R");
    for (const [module, name] of [
      ["os", "system"],
      ["builtins", "eval"],
      ["torch", "load"],
      ["numpy.core.multiarray", "_reconstruct"],
      ["torch._utils", "__proto__"],
      ["", "constructor"],
    ]) {
      expect(refused(zipped(call(module, name)))).toContain(`the pickle names ${module}.${name}`);
    }
    const stacked = pickled(text("os"), text("system"), 0x93, tuple(text("x")), "R");
    expect(refused(zipped(stacked))).toContain("the pickle names os.system");
  });

  it("is calling anything that is no function, and setting attributes of what has none", () => {
    expect(refused(zipped(pickled(text("system"), tuple(text("x")), "R")))).toMatch("calls something that is no function");
    expect(refused(zipped(pickled(global("torch", "Size"), dictionary({ call: "N" }), "b")))).toMatch(
      "sets attributes of something that has none",
    );
    for (const opcode of ["i", "o", 0x82, 0x92])
      expect(refused(zipped(pickled("(", opcode)))).toMatch(/uses [A-Z]+\w*, which is not allowed/);
  });

  it("is a tensor outside its storage, or with impossible sizes", () => {
    expect(shaped({ shape: [3, 3], strides: [3, 1] })).toMatch("needs 9 elements of storage 0, which has 6");
    expect(shaped({ offset: 1 })).toMatch("needs 7 elements of storage 0, which has 6");
    expect(shaped({}, six.subarray(0, 20))).toMatch("needs 6 elements of storage 0, which has 5");
    expect(shaped({ shape: [65535, 65535, 65535, 65535], strides: [0, 0, 0, 0] })).toMatch("claims the shape");
    expect(shaped({ shape: [65535, 65535], strides: [0, 0] })).toMatch("that much is not believed");
    expect(shaped({ strides: [3] })).toMatch("no valid storage, offset, shape and strides");
  });

  it("is what is no whole file", () => {
    expect(refused(new Uint8Array(0))).toMatch("the file is empty");
    expect(refused(code("hello"))).toMatch("neither a zip archive nor a pickle of PyTorch");
    expect(refused(pickled("}"))).toMatch("a pickle, but not one of PyTorch");
    expect(refused(zipSync({ "a/code.py": code("x") }))).toMatch("has 0 files data.pkl");
    expect(refused(zipSync({ "a/data.pkl": pickled("}"), "a/constants.pkl": pickled(")") }))).toMatch("a TorchScript program");
    const whole = legacy(pickled(dictionary({ weight: tensor({ shape: [6], strides: [1] }) })), { 0: { bytes: six, numel: 6 } });
    expect(refused(whole.subarray(0, whole.length - 1))).toMatch("storage 0 claims 6 elements");
  });

  it("is a claim of more than the file could hold", () => {
    expect(refused(zipped(pickled("X", 255, 255, 255, 127)))).toMatch("ends too early");
    expect(refused(zipped(pickled(0x8b, 255, 255, 255, 127)))).toMatch("claims a value of 2147483647 bytes");
    const bomb = zipped(pickled("N"), {}, 6);
    const directory = bomb.findLastIndex((_, i) => bomb[i] === 0x50 && bomb[i + 1] === 0x4b && bomb[i + 2] === 1 && bomb[i + 3] === 2);
    const first = bomb.findIndex((_, i) => bomb[i] === 0x50 && bomb[i + 1] === 0x4b && bomb[i + 2] === 1 && bomb[i + 3] === 2);
    expect(directory).toBeGreaterThan(first);
    new DataView(bomb.buffer).setUint32(first + 24, 0x7fffffff, true);
    expect(refused(bomb)).toMatch("claims to hold 2147483647 bytes");
  });

  it("is, whatever bytes are broken, never anything but an OpError", () => {
    const body = pickled(
      dictionary({ weight: tensor({ shape: [2, 3], strides: [3, 1] }), turned: tensor({ shape: [3, 2], strides: [1, 3] }) }),
    );
    const whole = [zipped(body, { 0: six }), zipped(body, { 0: six }, 6), legacy(body, { 0: { bytes: six, numel: 6 } })];
    const change = fc.record({ at: fc.nat(), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.nat(2), fc.array(change, { maxLength: 4 }), fc.option(fc.nat()), (which, changes, cut) => {
        const broken = Uint8Array.from(whole[which]);
        for (const { at, value } of changes) broken[at % broken.length] = value;
        try {
          const root = readPth(cut === null ? broken : broken.subarray(0, cut % broken.length));
          for (const [, stored] of pthState(root)) expect(stored.bytes.length).toBeLessThan(1000);
        } catch (error) {
          if (!(error instanceof OpError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("pthState", () => {
  const weight = tensor({ shape: [2], strides: [1] });
  const read = (root: Piece) => readPth(zipped(pickled(root), { 0: six }));

  it("finds the state where checkpoints have it, or where it is told to", () => {
    const root = read(dictionary({ epoch: int(3), model_ema: dictionary({ b: weight }), model: dictionary({ a: weight }) }));
    expect([...pthState(root).keys()]).toEqual(["a"]);
    expect([...pthState(root, { at: "model_ema" }).keys()]).toEqual(["b"]);
    expect([...pthState(root, { at: "" }).keys()]).toEqual(["model_ema.b", "model.a"]);
    expect(() => pthState(root, { at: "optimizer" })).toThrow(
      "there is no optimizer in the file; optimizer is not among epoch, model_ema, model",
    );
    expect(() => pthState(root, { at: "epoch" })).toThrow("there are no tensors under epoch");
  });

  it("drops the prefix of data-parallel training", () => {
    expect([...pthState(read(dictionary({ "module.a": weight, "module.b": weight }))).keys()]).toEqual(["a", "b"]);
    expect([...pthState(read(dictionary({ "module.a": weight, b: weight }))).keys()]).toEqual(["module.a", "b"]);
  });

  it("refuses containers that hold themselves, or each other without end", () => {
    const self = read(["]q", 0, "h", 0, "a", weight, "a"]);
    expect(() => pthState(self, { at: "" })).toThrow("nested more than 32 deep");
    // Thirty lists, each with the one before it twice.
    const laughs: Piece[] = ["]q", 0];
    for (let i = 1; i <= 28; i++) laughs.push("](", "h", i - 1, "h", i - 1, "eq", i);
    expect(() => pthState(read(laughs), { at: "" })).toThrow("more than a million values");
  });
});

describe("unpickle", () => {
  const value = (...body: Piece[]): PickleValue => unpickle(pickled(...body), 0, { global: () => undefined }).value;

  it("reads numbers of every form", () => {
    expect(value("J", 254, 255, 255, 255)).toBe(-2);
    expect(value(0x8a, 0)).toBe(0);
    expect(value(0x8a, 1, 0xfe)).toBe(-2);
    expect(value(0x8a, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1)).toBe(2n ** 64n);
    expect(value("I-17\n")).toBe(-17);
    expect(value("I01\n")).toBe(true);
    expect(value("L123456789012345678901L\n")).toBe(123456789012345678901n);
    expect(() => value("I1e5\n")).toThrow("where a number belongs");
  });

  it("reads tuples, sets, marks and the memo", () => {
    expect(value("K", 1, "K", 2, "K", 3, 0x87)).toEqual([1, 2, 3]);
    expect(value(0x8f, "(K", 1, "K", 2, 0x90)).toEqual([1, 2]);
    expect(value("K", 9, 0x94, "0h", 0)).toBe(9);
    expect(() => value("h", 4)).toThrow("refers to entry 4");
    expect(() => value("t")).toThrow("a mark is missing");
    expect(() => value("0")).toThrow("its stack is empty");
  });
});

describe("castStored", () => {
  const cast = (values: number[], dtype: "F16" | "BF16"): number[] => [
    ...toTypedArray(castStored({ dtype: "F64", shape: [values.length], bytes: bytesOf(Float64Array.from(values)) }, dtype), "float64"),
  ];

  it("rounds to the nearest float16 and bfloat16, ties to even", () => {
    expect(cast([1, -2, 65504, 65519, 65520, 2 ** -24, 2 ** -25, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 0.1], "F16")).toEqual([
      1,
      -2,
      65504,
      65504,
      Number.POSITIVE_INFINITY,
      2 ** -24,
      0,
      1,
      1 + 2 ** -9,
      0.0999755859375,
    ]);
    expect(cast([2 - 2 ** -12, 2 ** -14 - 2 ** -26, Number.NEGATIVE_INFINITY], "F16")).toEqual([2, 2 ** -14, Number.NEGATIVE_INFINITY]);
    expect(cast([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -3.13, 2 ** 100], "BF16")).toEqual([1, 1, 1 + 2 ** -6, -3.125, 2 ** 100]);
    expect(cast([Number.NaN], "F16")[0]).toBeNaN();
    expect(cast([Number.NaN], "BF16")[0]).toBeNaN();
  });

  it("gives back every float16", () => {
    const bytes = bytesOf(Uint16Array.from({ length: 65536 }, (_, i) => i));
    const wide = castStored({ dtype: "F16", shape: [65536], bytes }, "F32");
    const back = new Uint16Array(castStored(wide, "F16").bytes.buffer);
    const isNaN16 = (bits: number): boolean => (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;
    expect(back.findIndex((bits, i) => bits !== i && !isNaN16(i))).toBe(-1);
  });

  it("leaves integers to themselves", () => {
    expect(() => castStored({ dtype: "I64", shape: [1], bytes: new Uint8Array(8) }, "F16")).toThrow("I64 is no floating dtype");
  });
});

describe("readWeights", () => {
  const path = (name: string): string => new URL(`../fixtures/files/${name}`, import.meta.url).pathname;

  it("names file and reason", () => {
    expect(() => readWeights(path("hostile_system.pth"))).toThrow(/hostile_system\.pth: the pickle names posix\.system/);
    expect(() => readWeights(path("broken_empty.pth"))).toThrow(/broken_empty\.pth: the file is empty/);
    expect(() => readWeights(path("bad_short_data.safetensors"))).toThrow(
      /bad_short_data\.safetensors: it is not a whole safetensors file/,
    );
    expect(() => readWeights(path("none.pth"))).toThrow(/cannot read .*none\.pth: ENOENT/);
  });

  it("reads what PyTorch wrote", () => {
    const { tensors, format } = readWeights(path("odd_tensors.pth"));
    expect(format).toBe("pth");
    expect([...tensors.keys()]).toEqual(expect.arrayContaining(["transposed", "nested.list.0"]));
    expect(readFileSync(path("odd_tensors.pth")).length).toBeLessThan(10_000);
  });
});

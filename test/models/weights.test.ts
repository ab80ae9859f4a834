import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DType } from "../../engine/dtype.js";
import { OpError } from "../../engine/errors.js";
import {
  readSafetensors,
  type StoredDType,
  type StoredTensor,
  store,
  toTypedArray,
  writeSafetensors,
} from "../../models/weights/safetensors.js";
import { storedBytes } from "../../models/weights/stored.js";

/** A file with this header text and data, whatever they are worth. */
function file(header: string | object, data = 0, claimed?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + json.length + data);
  new DataView(out.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

const f32 = (shape: readonly number[], begin: number, end: number) => ({ dtype: "F32", shape, data_offsets: [begin, end] });
const stored = (dtype: StoredDType, shape: readonly number[], fill: (view: DataView) => void): StoredTensor => {
  const bytes = new Uint8Array(shape.reduce((n, size) => n * size, storedBytes[dtype]));
  fill(new DataView(bytes.buffer));
  return { dtype, shape, bytes };
};

describe("readSafetensors", () => {
  it("reads what writeSafetensors wrote: names, order, dtypes, shapes, bytes, metadata", () => {
    const tensors = new Map<string, StoredTensor>([
      ["z", store(Float32Array.of(1.5, -2), [2], "float32")],
      ["10", store(Uint8Array.of(1, 0, 1), [3, 1], "bool")],
      ["2", store(Int32Array.of(7), [], "int32")],
      ["unaligned", store(Float64Array.of(Math.PI), [1], "float64")],
      ["empty", store(new Float32Array(0), [0, 4], "float32")],
      ["__proto__", store(Int32Array.of(1, 2), [2], "int32")],
      ['quoted "\\" é', store(Float32Array.of(3), [1], "float32")],
    ]);
    const bytes = writeSafetensors(tensors, [
      ["format", "pt"],
      ["step", "12"],
    ]);
    const read = readSafetensors(bytes);
    expect([...read.tensors.keys()]).toEqual([...tensors.keys()]);
    for (const [name, { dtype, shape, bytes: content }] of tensors) {
      expect(read.tensors.get(name)).toMatchObject({ dtype, shape: [...shape] });
      expect([...(read.tensors.get(name) as StoredTensor).bytes]).toEqual([...content]);
    }
    expect([...read.metadata]).toEqual([
      ["format", "pt"],
      ["step", "12"],
    ]);
    expect(toTypedArray(read.tensors.get("unaligned") as StoredTensor, "float64")).toEqual(Float64Array.of(Math.PI));
  });

  it("pads the header with spaces to a multiple of 8, and says format pt by default", () => {
    const bytes = writeSafetensors([["a", store(Float32Array.of(1), [1], "float32")]]);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    expect(new TextDecoder().decode(bytes.subarray(8, 8 + length))).toMatch(/^\{"__metadata__":\{"format":"pt"\},"a":\{.*\}\} *$/);
    expect(bytes.length).toBe(8 + length + 4);
  });

  it("reads from the middle of a larger buffer", () => {
    const bytes = writeSafetensors([["a", store(Float32Array.of(1, 2), [2], "float32")]]);
    const larger = new Uint8Array(bytes.length + 3);
    larger.set(bytes, 3);
    const read = readSafetensors(larger.subarray(3));
    expect(toTypedArray(read.tensors.get("a") as StoredTensor, "float32")).toEqual(Float32Array.of(1, 2));
  });

  const malformed: readonly [name: string, bytes: Uint8Array, message: RegExp][] = [
    ["an empty file", new Uint8Array(0), /0 bytes are too few/],
    ["a file of 7 bytes", new Uint8Array(7), /7 bytes are too few/],
    ["a header length of 2^60", file({}, 0, 2n ** 60n), /claims 1152921504606846976 bytes/],
    ["a header length of 2^64 - 1", file({}, 0, 2n ** 64n - 1n), /claims 18446744073709551615 bytes/],
    ["a header beyond the end", file({}, 0, 3n), /claims 3 bytes, but only 2 follow/],
    ["a header that is not JSON", file("{"), /not JSON/],
    ["a header of another type", file("[]"), /not a JSON object/],
    ["a header that is not UTF-8", new Uint8Array([2, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0x28]), /not UTF-8/],
    ["an entry that is no object", file({ a: 3 }), /entry "a" is not an object/],
    ["an unknown dtype", file({ a: { ...f32([1], 0, 4), dtype: "F7" } }, 4), /dtype "F7"; known are F64/],
    ["a dtype from the prototype", file({ a: { ...f32([1], 0, 4), dtype: "toString" } }, 4), /dtype "toString"/],
    ["a negative size", file({ a: f32([-1], 0, 4) }, 4), /no valid shape: \[-1\]/],
    ["a fractional size", file({ a: f32([0.5], 0, 4) }, 4), /no valid shape/],
    ["no shape", file({ a: { dtype: "F32", data_offsets: [0, 4] } }, 4), /no valid shape/],
    ["three offsets", file({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4, 8] } }, 4), /no valid data_offsets/],
    ["offsets backwards", file({ a: f32([1], 4, 0) }, 4), /no valid data_offsets/],
    ["data cut off", file({ a: f32([2], 0, 8) }, 4), /ends at byte 8 of the data, but there are only 4/],
    ["a size that offsets do not hold", file({ a: f32([3], 0, 8) }, 8), /takes 12 bytes; its offsets hold 8/],
    ["a product that overflows", file({ a: f32([2 ** 31, 2 ** 31, 2 ** 31], 0, 8) }, 8), /its offsets hold 8/],
    ["overlapping tensors", file({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12), /"b" and "a" overlap/],
    ["a hole", file({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), /bytes 4 to 8 of the data belong to no tensor/],
    ["a tail", file({ a: f32([1], 0, 4) }, 12), /bytes 4 to 12 of the data belong to no tensor/],
    ["a name twice", file(`{"a":${JSON.stringify(f32([1], 0, 4))},"\\u0061":${JSON.stringify(f32([1], 4, 8))}}`, 8), /names "a" twice/],
    ["metadata of another type", file({ __metadata__: [] }), /__metadata__ is not an object of strings/],
    ["a number in the metadata", file({ __metadata__: { step: 3 } }), /entry "step" is not a string/],
  ];
  for (const [name, bytes, message] of malformed) {
    it(`refuses ${name}`, () => {
      expect(() => readSafetensors(bytes)).toThrow(OpError);
      expect(() => readSafetensors(bytes)).toThrow(message);
      try {
        readSafetensors(bytes);
      } catch (error) {
        expect((error as Error).message).not.toContain("\n");
      }
    });
  }

  it("refuses any cut of a good file, and never crashes on a changed byte", () => {
    const good = writeSafetensors([
      ["a", store(Float32Array.of(1, 2, 3), [3], "float32")],
      ["b", store(Int32Array.of(4), [1], "int32")],
    ]);
    for (let length = 0; length < good.length; length++) expect(() => readSafetensors(good.subarray(0, length))).toThrow(OpError);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
        const changed = good.slice();
        changed[at] = value;
        try {
          readSafetensors(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(OpError);
        }
      }),
    );
  });

  it("gives back any set of tensors", () => {
    const shape = fc.array(fc.nat(3), { maxLength: 3 });
    const dtype = fc.constantFrom<StoredDType>("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL");
    const entry = fc.tuple(fc.string(), dtype, shape).filter(([name]) => name !== "__metadata__");
    fc.assert(
      fc.property(fc.uniqueArray(entry, { selector: ([name]) => name }), (entries) => {
        const tensors = entries.map(([name, type, sizes], i): [string, StoredTensor] => [
          name,
          stored(type, sizes, (view) => view.byteLength > 0 && view.setUint8(0, i & 1)),
        ]);
        const read = [...readSafetensors(writeSafetensors(tensors)).tensors];
        expect(read.map(([name, value]) => [name, { dtype: value.dtype, shape: value.shape, bytes: value.bytes }])).toEqual(tensors);
      }),
    );
  });
});

describe("writeSafetensors", () => {
  it("refuses a name twice, the reserved name, and bytes that do not fill the shape", () => {
    const one = store(Float32Array.of(1), [1], "float32");
    expect(() =>
      writeSafetensors([
        ["a", one],
        ["a", one],
      ]),
    ).toThrow(/name "a" is taken/);
    expect(() => writeSafetensors([["__metadata__", one]])).toThrow(/is taken/);
    expect(() => writeSafetensors([["a", { ...one, shape: [2] }]])).toThrow(/F32 \[2\] takes 8 bytes; got 4/);
  });
});

describe("toTypedArray", () => {
  const cases: readonly [StoredDType, (view: DataView) => void, DType, ArrayLike<number> | RegExp][] = [
    ["F32", (v) => v.setFloat32(0, 0.1, true), "float32", Float32Array.of(0.1)],
    ["F32", (v) => v.setFloat32(0, Number.NaN, true), "float64", Float64Array.of(Number.NaN)],
    ["F64", (v) => v.setFloat64(0, 0.1, true), "float32", Float32Array.of(0.1)],
    ["F64", (v) => v.setFloat64(0, 1e300, true), "float32", /1e\+300, which float32 cannot hold/],
    ["F64", (v) => v.setFloat64(0, Number.POSITIVE_INFINITY, true), "float32", Float32Array.of(Number.POSITIVE_INFINITY)],
    ["F64", (v) => v.setFloat64(0, 1e-300, true), "float32", Float32Array.of(0)],
    ["F16", (v) => v.setUint16(0, 0x3c01, true), "float32", Float32Array.of(1 + 2 ** -10)],
    ["F16", (v) => v.setUint16(0, 0x8001, true), "float32", Float32Array.of(-(2 ** -24))],
    ["F16", (v) => v.setUint16(0, 0x7bff, true), "float32", Float32Array.of(65504)],
    ["F16", (v) => v.setUint16(0, 0xfc00, true), "float32", Float32Array.of(Number.NEGATIVE_INFINITY)],
    ["F16", (v) => v.setUint16(0, 0x7e00, true), "float32", Float32Array.of(Number.NaN)],
    ["BF16", (v) => v.setUint16(0, 0xc049, true), "float32", Float32Array.of(-3.140625)],
    ["I64", (v) => v.setBigInt64(0, -5n, true), "int32", Int32Array.of(-5)],
    ["I64", (v) => v.setBigInt64(0, 1099511627776n, true), "int32", /1099511627776, which int32 cannot hold/],
    ["I64", (v) => v.setBigInt64(0, 1099511627776n, true), "float64", Float64Array.of(1099511627776)],
    ["I64", (v) => v.setBigInt64(0, 2n ** 53n + 1n, true), "float64", /beyond 2\^53, which float64 cannot hold/],
    ["I64", (v) => v.setBigInt64(0, 16777217n, true), "float32", /16777217, which float32 cannot hold/],
    ["U64", (v) => v.setBigUint64(0, 2n ** 31n, true), "int32", /2147483648, which int32/],
    ["U32", (v) => v.setUint32(0, 2 ** 31 - 1, true), "int32", Int32Array.of(2 ** 31 - 1)],
    ["I16", (v) => v.setInt16(0, -300, true), "int32", Int32Array.of(-300)],
    ["U16", (v) => v.setUint16(0, 65535, true), "float32", Float32Array.of(65535)],
    ["I8", (v) => v.setInt8(0, -128), "int32", Int32Array.of(-128)],
    ["U8", (v) => v.setUint8(0, 255), "int32", Int32Array.of(255)],
    ["U8", (v) => v.setUint8(0, 2), "bool", /2, which bool cannot hold/],
    ["I32", (v) => v.setInt32(0, 256, true), "bool", /256, which bool cannot hold/],
    ["BOOL", (v) => v.setUint8(0, 1), "bool", Uint8Array.of(1)],
    ["BOOL", (v) => v.setUint8(0, 7), "bool", /7, which bool cannot hold/],
    ["F32", (v) => v.setFloat32(0, 2.5, true), "int32", /2.5, which int32 cannot hold/],
    ["F32", (v) => v.setFloat32(0, -0, true), "int32", Int32Array.of(0)],
  ];
  for (const [dtype, fill, to, want] of cases) {
    it(`${dtype} to ${to}: ${want instanceof RegExp ? `throws ${want}` : Array.from(want)}`, () => {
      const value = stored(dtype, [1], fill);
      if (want instanceof RegExp) expect(() => toTypedArray(value, to)).toThrow(want);
      else expect(toTypedArray(value, to)).toEqual(want);
    });
  }

  it("copies, also where the bytes are not aligned", () => {
    const buffer = new Uint8Array(9);
    new DataView(buffer.buffer).setFloat32(1, 42, true);
    const array = toTypedArray({ dtype: "F32", shape: [1], bytes: buffer.subarray(1, 5) }, "float32");
    buffer.fill(0);
    expect(array).toEqual(Float32Array.of(42));
  });

  it("refuses bytes that do not fill the shape", () => {
    expect(() => toTypedArray({ dtype: "F32", shape: [2], bytes: new Uint8Array(4) }, "float32")).toThrow(/4 bytes do not fill F32 \[2\]/);
  });
});

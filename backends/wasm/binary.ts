/** WebAssembly's binary format: instructions, and modules made of functions over one imported memory. */

/** Instructions as bytes, in nested lists that are flattened once. */
export type Code = number | readonly Code[];

/** Value types. */
export const i32 = 0x7f;
export const f32 = 0x7d;
export const f64 = 0x7c;
export const v128 = 0x7b;
export type ValueType = typeof i32 | typeof f32 | typeof f64 | typeof v128;

export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7) {
    const byte = rest & 0x7f;
    const last = (rest >> 7 === 0 && (byte & 0x40) === 0) || (rest >> 7 === -1 && (byte & 0x40) !== 0);
    bytes.push(last ? byte : byte | 0x80);
    if (last) return bytes;
  }
}

const bytesOf = (array: Float32Array | Float64Array | Int32Array): number[] => Array.from(new Uint8Array(array.buffer));

/** An instruction of the vector extension. */
const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];
/** `a` and `b` are operands, already evaluated in this order. */
const unary =
  (...opcode: number[]) =>
  (a: Code): Code => [a, opcode];
const binary =
  (...opcode: number[]) =>
  (a: Code, b: Code): Code => [a, b, opcode];
const ternary =
  (...opcode: number[]) =>
  (a: Code, b: Code, c: Code): Code => [a, b, c, opcode];

/** The alignment is a hint only; every access here is at least to its element's. */
const access =
  (alignment: number, ...opcode: number[]) =>
  (address: Code, offset: number): Code => [address, opcode, alignment, unsigned(offset)];
const writing =
  (alignment: number, ...opcode: number[]) =>
  (address: Code, value: Code, offset: number): Code => [address, value, opcode, alignment, unsigned(offset)];

export const get = (local: number): Code => [0x20, unsigned(local)];
export const set = (local: number, value: Code): Code => [value, 0x21, unsigned(local)];
export const call = (fn: number, ...args: readonly Code[]): Code => [args, 0x10, unsigned(fn)];
export const select = (a: Code, b: Code, condition: Code): Code => [a, b, condition, 0x1b];
export const when = (condition: Code, body: Code, otherwise: Code | null = null): Code =>
  otherwise === null ? [condition, 0x04, 0x40, body, 0x0b] : [condition, 0x04, 0x40, body, 0x05, otherwise, 0x0b];
/** A value from one of two branches. */
export const either = (condition: Code, type: ValueType, a: Code, b: Code): Code => [condition, 0x04, type, a, 0x05, b, 0x0b];
/** Runs `body`, and again while `again` holds. */
export const repeat = (body: Code, again: Code): Code => [0x03, 0x40, body, again, 0x0d, 0, 0x0b];

export const int = {
  const: (value: number): Code => [0x41, signed(value | 0)],
  load: access(2, 0x28),
  loadByte: access(0, 0x2d),
  store: writing(2, 0x36),
  storeByte: writing(0, 0x3a),
  eqz: unary(0x45),
  eq: binary(0x46),
  ne: binary(0x47),
  lt: binary(0x48),
  gt: binary(0x4a),
  le: binary(0x4c),
  ge: binary(0x4e),
  add: binary(0x6a),
  sub: binary(0x6b),
  mul: binary(0x6c),
  div: binary(0x6d),
  divUnsigned: binary(0x6e),
  rem: binary(0x6f),
  remUnsigned: binary(0x70),
  and: binary(0x71),
  or: binary(0x72),
  xor: binary(0x73),
  shl: binary(0x74),
  shr: binary(0x75),
  shrUnsigned: binary(0x76),
  /** Truncation that saturates; NaN gives 0. */
  fromFloat: unary(0xfc, 0),
  fromDouble: unary(0xfc, 2),
};

export const float = {
  const: (value: number): Code => [0x43, bytesOf(new Float32Array([value]))],
  load: access(2, 0x2a),
  store: writing(2, 0x38),
  eq: binary(0x5b),
  ne: binary(0x5c),
  lt: binary(0x5d),
  gt: binary(0x5e),
  le: binary(0x5f),
  ge: binary(0x60),
  abs: unary(0x8b),
  neg: unary(0x8c),
  ceil: unary(0x8d),
  floor: unary(0x8e),
  trunc: unary(0x8f),
  nearest: unary(0x90),
  sqrt: unary(0x91),
  add: binary(0x92),
  sub: binary(0x93),
  mul: binary(0x94),
  div: binary(0x95),
  min: binary(0x96),
  max: binary(0x97),
  fromInt: unary(0xb2),
  fromDouble: unary(0xb6),
};

export const double = {
  const: (value: number): Code => [0x44, bytesOf(new Float64Array([value]))],
  load: access(3, 0x2b),
  store: writing(3, 0x39),
  eq: binary(0x61),
  ne: binary(0x62),
  lt: binary(0x63),
  gt: binary(0x64),
  le: binary(0x65),
  ge: binary(0x66),
  abs: unary(0x99),
  neg: unary(0x9a),
  ceil: unary(0x9b),
  floor: unary(0x9c),
  trunc: unary(0x9d),
  nearest: unary(0x9e),
  sqrt: unary(0x9f),
  add: binary(0xa0),
  sub: binary(0xa1),
  mul: binary(0xa2),
  div: binary(0xa3),
  min: binary(0xa4),
  max: binary(0xa5),
  copysign: binary(0xa6),
  fromInt: unary(0xb7),
  fromFloat: unary(0xbb),
};

const vectorOp = (opcode: number) => unary(...simd(opcode));
const vectorOps = (opcode: number) => binary(...simd(opcode));

/** Four lanes of 32 bits. */
export const vector = {
  load: access(2, ...simd(0x00)),
  /** One float in all lanes. */
  loadSplat: access(2, ...simd(0x09)),
  /** 32 bits into lane 0, zeros elsewhere. */
  loadZero: access(0, ...simd(0x5c)),
  store: writing(2, ...simd(0x0b)),
  loadLane: (address: Code, into: Code, lane: number, offset: number): Code => [address, into, simd(0x56), 2, unsigned(offset), lane],
  storeLane: (address: Code, value: Code, lane: number, offset: number): Code => [address, value, simd(0x5a), 2, unsigned(offset), lane],
  ints: (lanes: readonly number[]): Code => [simd(0x0c), bytesOf(new Int32Array(lanes))],
  floats: (value: number): Code => [simd(0x0c), bytesOf(new Float32Array([value, value, value, value]))],
  /** Lanes 0 to 3 are of `a`, 4 to 7 of `b`. */
  shuffle: (a: Code, b: Code, lanes: readonly number[]): Code => [
    a,
    b,
    simd(0x0d),
    lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]),
  ],
  not: vectorOp(0x4d),
  and: vectorOps(0x4e),
  /** a and not b. */
  andNot: vectorOps(0x4f),
  or: vectorOps(0x50),
  xor: vectorOps(0x51),
  /** Bits of `a` where `mask` has ones, else of `b`. */
  choose: (a: Code, b: Code, mask: Code): Code => [a, b, mask, simd(0x52)],
  anyTrue: vectorOp(0x53),
  extendBytes: vectorOp(0x89),
  extendHalves: vectorOp(0xa9),
};

export const ints = {
  splat: vectorOp(0x11),
  extract: (a: Code, lane: number): Code => [a, simd(0x1b), lane],
  replace: (a: Code, value: Code, lane: number): Code => [a, value, simd(0x1c), lane],
  eq: vectorOps(0x37),
  ne: vectorOps(0x38),
  lt: vectorOps(0x39),
  gt: vectorOps(0x3b),
  le: vectorOps(0x3d),
  ge: vectorOps(0x3f),
  abs: vectorOp(0xa0),
  neg: vectorOp(0xa1),
  shl: vectorOps(0xab),
  shr: vectorOps(0xac),
  shrUnsigned: vectorOps(0xad),
  add: vectorOps(0xae),
  sub: vectorOps(0xb1),
  mul: vectorOps(0xb5),
  min: vectorOps(0xb6),
  max: vectorOps(0xb8),
  fromFloats: vectorOp(0xf8),
};

export const floats = {
  splat: vectorOp(0x13),
  extract: (a: Code, lane: number): Code => [a, simd(0x1f), lane],
  replace: (a: Code, value: Code, lane: number): Code => [a, value, simd(0x20), lane],
  eq: vectorOps(0x41),
  ne: vectorOps(0x42),
  lt: vectorOps(0x43),
  gt: vectorOps(0x44),
  le: vectorOps(0x45),
  ge: vectorOps(0x46),
  ceil: vectorOp(0x67),
  floor: vectorOp(0x68),
  trunc: vectorOp(0x69),
  nearest: vectorOp(0x6a),
  abs: vectorOp(0xe0),
  neg: vectorOp(0xe1),
  sqrt: vectorOp(0xe3),
  add: vectorOps(0xe4),
  sub: vectorOps(0xe5),
  mul: vectorOps(0xe6),
  div: vectorOps(0xe7),
  min: vectorOps(0xe8),
  max: vectorOps(0xe9),
  /** b < a ? b : a */
  pmin: vectorOps(0xea),
  /** a < b ? b : a */
  pmax: vectorOps(0xeb),
  fromInts: vectorOp(0xfa),
  /** a · b + c, with one rounding or two. */
  relaxedMadd: ternary(...simd(0x105)),
};

/** Two lanes of 64 bits. */
export const doubles = {
  extract: (a: Code, lane: number): Code => [a, simd(0x21), lane],
  add: vectorOps(0xf0),
  /** Of lanes 0 and 1. */
  fromFloats: vectorOp(0x5f),
  /** Into lanes 0 and 1, zeros elsewhere. */
  toFloats: vectorOp(0x5e),
};

function flatten(code: Code, into: number[]): void {
  if (typeof code === "number") into.push(code);
  else for (const part of code) flatten(part, into);
}

interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** Locals of a function; parameters come first. */
export class Locals {
  private readonly types: ValueType[] = [];

  constructor(private readonly parameters: number) {}

  add(type: ValueType): number {
    this.types.push(type);
    return this.parameters + this.types.length - 1;
  }

  encode(): number[] {
    // Runs of equal types are written once.
    const runs: [number, ValueType][] = [];
    for (const type of this.types) {
      const last = runs[runs.length - 1];
      if (last?.[1] === type) last[0]++;
      else runs.push([1, type]);
    }
    return [...unsigned(runs.length), ...runs.flatMap(([count, type]) => [...unsigned(count), type])];
  }
}

/** Puts a module together. Imports are declared before the first function. */
export class ModuleWriter {
  private readonly types: Signature[] = [];
  private readonly imports: { readonly name: string; readonly type: number }[] = [];
  private readonly functions: { readonly type: number; readonly bytes: number[] }[] = [];
  private readonly exports: { readonly name: string; readonly fn: number }[] = [];

  constructor(
    /** Whether the memory is shared among threads. */
    private readonly shared = false,
  ) {}

  private type(signature: Signature): number {
    const key = JSON.stringify(signature);
    const known = this.types.findIndex((type) => JSON.stringify(type) === key);
    return known >= 0 ? known : this.types.push(signature) - 1;
  }

  importFunction(name: string, parameters: readonly ValueType[], results: readonly ValueType[]): number {
    return this.imports.push({ name, type: this.type({ parameters, results }) }) - 1;
  }

  addFunction(parameters: readonly ValueType[], results: readonly ValueType[], locals: Locals, body: Code): number {
    const code: number[] = [];
    flatten(body, code);
    const bytes = [...locals.encode(), ...code, 0x0b];
    this.functions.push({ type: this.type({ parameters, results }), bytes });
    return this.imports.length + this.functions.length - 1;
  }

  /** Gives a function out. */
  export(name: string, fn: number): void {
    this.exports.push({ name, fn });
  }

  finish(): Uint8Array<ArrayBuffer> {
    const bytes: number[] = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    const push = (more: readonly number[]): void => {
      for (const byte of more) bytes.push(byte);
    };
    const section = (id: number, content: readonly number[]): void => {
      push([id, ...unsigned(content.length)]);
      push(content);
    };
    const list = (items: readonly (readonly number[])[]): number[] => {
      const content = unsigned(items.length);
      for (const item of items) for (const byte of item) content.push(byte);
      return content;
    };
    const text = (value: string): number[] => [...unsigned(value.length), ...new TextEncoder().encode(value)];
    section(
      1,
      list(this.types.map(({ parameters, results }) => [0x60, ...list(parameters.map((t) => [t])), ...list(results.map((t) => [t]))])),
    );
    // Shared memory has to say its maximum: no more than this many pages.
    const memory = [...text("env"), ...text("memory"), 0x02, ...(this.shared ? [0x03, 0, ...unsigned(65536)] : [0x00, 0])];
    section(2, list([...this.imports.map(({ name, type }) => [...text("math"), ...text(name), 0x00, ...unsigned(type)]), memory]));
    section(3, list(this.functions.map(({ type }) => unsigned(type))));
    section(7, list(this.exports.map(({ name, fn }) => [...text(name), 0x00, ...unsigned(fn)])));
    section(10, list(this.functions.map((fn) => [...unsigned(fn.bytes.length), ...fn.bytes])));
    return new Uint8Array(bytes);
  }
}

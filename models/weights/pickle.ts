/**
 * A reader of Python pickles that can build plain values only: numbers, strings, lists, dictionaries, and what its caller's table of
 * globals makes. A pickle is a program; anything it names that is not in the table is refused by name, before it is called.
 */
import { OpError } from "../../engine/errors.js";
import { PickleInput } from "./pickle-input.js";
import { type ByteSource, sourceOf } from "./source.js";

/** What a pickle may hold. Tuples and sets are arrays too. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | PickleObject
  | PickleCallable;

/** Base of values that a caller's table makes. */
export class PickleObject {}

/** A global that the pickle named: a class or function of the table. */
export class PickleCallable {
  constructor(
    readonly name: string,
    readonly call: (args: readonly PickleValue[]) => PickleValue,
  ) {}
}

export interface PickleOptions {
  /** The value of a global by `module.name`; undefined refuses it. */
  readonly global: (name: string) => PickleValue | undefined;
  /** The value of a persistent id: PyTorch's storages. */
  readonly persistent?: (id: PickleValue) => PickleValue;
}

const refuse = (why: string): OpError => new OpError("unpickle", why);

/** More lists, dictionaries and tuples than any checkpoint has. */
const mostContainers = 2_000_000;

const mark = Symbol("mark");
type Slot = PickleValue | typeof mark;

/** Names of opcodes that are known and refused, for the message; everything else unknown is told by its number. */
const refusedOpcodes: Readonly<Record<number, string>> = {
  105: "INST",
  111: "OBJ",
  130: "EXT1",
  131: "EXT2",
  132: "EXT4",
  146: "NEWOBJ_EX",
  151: "NEXT_BUFFER",
  152: "READONLY_BUFFER",
};

const text = new TextDecoder();

/** Reads one pickle from `start`; `end` is the byte after it. Throws OpError for what is malformed or not allowed. */
export function unpickle(
  source: Uint8Array | ByteSource,
  start: number,
  options: PickleOptions,
): { readonly value: PickleValue; readonly end: number } {
  const input = new PickleInput(sourceOf(source), start);
  return { value: new Machine(input, options).run(), end: input.at };
}

class Machine {
  readonly #input: PickleInput;
  readonly #options: PickleOptions;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #containers = 0;

  constructor(input: PickleInput, options: PickleOptions) {
    this.#input = input;
    this.#options = options;
  }

  run(): PickleValue {
    for (;;) {
      const opcode = this.#input.take(1)[0];
      if (opcode === 0x2e) return this.#pop(); // STOP
      const value = this.#step(opcode);
      if (value !== undefined) this.#stack.push(value);
    }
  }

  /** The value that an opcode puts on the stack, if it does. */
  #step(opcode: number): PickleValue | undefined {
    switch (opcode) {
      case 0x80: // PROTO
        if (this.#input.take(1)[0] > 5) throw refuse("the pickle is of a newer protocol than 5");
        return undefined;
      case 0x95: // FRAME
        this.#input.take(8);
        return undefined;
      case 0x28: // MARK
        this.#stack.push(mark);
        return undefined;
      case 0x30: // POP
        if (this.#stack.pop() === undefined) throw refuse("the pickle is damaged: its stack is empty");
        return undefined;
      case 0x31: // POP_MARK
        this.#popMark();
        return undefined;
      case 0x32: {
        // DUP
        const top = this.#pop();
        this.#stack.push(top, top);
        return undefined;
      }
      case 0x4e: // NONE
        return null;
      case 0x88: // NEWTRUE
        return true;
      case 0x89: // NEWFALSE
        return false;
      case 0x4a: // BININT
        return this.#input.view(4).getInt32(0, true);
      case 0x4b: // BININT1
        return this.#input.take(1)[0];
      case 0x4d: // BININT2
        return this.#input.view(2).getUint16(0, true);
      case 0x8a: // LONG1
        return long(this.#input.take(this.#input.take(1)[0]));
      case 0x8b: // LONG4
        return long(this.#input.take(this.#input.length4(4096)));
      case 0x47: // BINFLOAT
        return this.#input.view(8).getFloat64(0, false);
      case 0x49: {
        // INT: also the booleans of protocol 0
        const line = this.#input.line();
        return line === "01" ? true : line === "00" ? false : decimal(line);
      }
      case 0x4c: // LONG
        return decimal(this.#input.line().replace(/L$/, ""));
      case 0x46: // FLOAT
        return Number(this.#input.line());
      case 0x53: // STRING
        return this.#input.line().replace(/^(['"])(.*)\1$/, "$2");
      case 0x56: // UNICODE
        return this.#input.line().replace(/\\u([0-9a-fA-F]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
      case 0x55: // SHORT_BINSTRING
      case 0x8c: // SHORT_BINUNICODE
        return text.decode(this.#input.take(this.#input.take(1)[0]));
      case 0x54: // BINSTRING
      case 0x58: // BINUNICODE
        return text.decode(this.#input.take(this.#input.length4()));
      case 0x8d: // BINUNICODE8
        return text.decode(this.#input.take(this.#input.length8()));
      case 0x43: // SHORT_BINBYTES
        return this.#input.take(this.#input.take(1)[0]);
      case 0x42: // BINBYTES
        return this.#input.take(this.#input.length4());
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        return this.#input.take(this.#input.length8());
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
      case 0x8f: // EMPTY_SET
        return this.#made([]);
      case 0x6c: // LIST
      case 0x74: // TUPLE
      case 0x91: // FROZENSET
        return this.#made(this.#popMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.#made(Array.from({ length: opcode - 0x84 }, () => this.#pop()).reverse());
      case 0x7d: // EMPTY_DICT
        return this.#made(new Map());
      case 0x64: // DICT
        return setItems(this.#made(new Map()), this.#popMark());
      case 0x61: {
        // APPEND
        const value = this.#pop();
        this.#top(Array.isArray, "a list").push(value);
        return undefined;
      }
      case 0x65: // APPENDS
      case 0x90: {
        // ADDITEMS
        const values = this.#popMark();
        const list = this.#top(Array.isArray, "a list");
        for (const value of values) list.push(value);
        return undefined;
      }
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        const key = this.#pop();
        this.#top(isMap, "a dictionary").set(key, value);
        return undefined;
      }
      case 0x75: {
        // SETITEMS
        const items = this.#popMark();
        setItems(this.#top(isMap, "a dictionary"), items);
        return undefined;
      }
      case 0x71: // BINPUT
        this.#memo.set(this.#input.take(1)[0], this.#peek());
        return undefined;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#input.view(4).getUint32(0, true), this.#peek());
        return undefined;
      case 0x70: // PUT
        this.#memo.set(Number(this.#input.line()), this.#peek());
        return undefined;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#peek());
        return undefined;
      case 0x68: // BINGET
        return this.#recall(this.#input.take(1)[0]);
      case 0x6a: // LONG_BINGET
        return this.#recall(this.#input.view(4).getUint32(0, true));
      case 0x67: // GET
        return this.#recall(Number(this.#input.line()));
      case 0x63: {
        // GLOBAL
        const module = this.#input.line();
        return this.#global(module, this.#input.line());
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof name !== "string" || typeof module !== "string")
          throw refuse("the pickle names a global by something other than strings");
        return this.#global(module, name);
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = this.#pop();
        const callable = this.#pop();
        if (!(callable instanceof PickleCallable) || !Array.isArray(args)) throw refuse("the pickle calls something that is no function");
        return this.#made(callable.call(args));
      }
      case 0x62: {
        // BUILD
        const state = this.#pop();
        this.#build(this.#peek(), state);
        return undefined;
      }
      case 0x51: // BINPERSID
        return this.#persistent(this.#pop());
      default:
        throw refuse(`the pickle uses ${refusedOpcodes[opcode] ?? `opcode 0x${opcode.toString(16)}`}, which is not allowed`);
    }
  }

  #global(module: string, name: string): PickleValue {
    const full = `${module}.${name}`;
    const value = this.#options.global(full);
    if (value === undefined)
      throw refuse(
        `the pickle names ${JSON.stringify(full).slice(1, -1)}, which is neither a tensor nor a plain container; nothing was run`,
      );
    return value;
  }

  #persistent(id: PickleValue): PickleValue {
    if (this.#options.persistent === undefined) throw refuse("the pickle has a persistent id where none belongs");
    return this.#options.persistent(id);
  }

  /** Attributes of an object. Those of dictionaries (PyTorch's `_metadata`) are of no use here. */
  #build(target: PickleValue, state: PickleValue): void {
    if (!isMap(target)) throw refuse("the pickle sets attributes of something that has none");
    if (target instanceof PickleRecord) {
      if (!isMap(state)) throw refuse("the pickle sets attributes by something other than a dictionary");
      for (const [key, value] of state) target.set(key, value);
    }
  }

  #made<T extends PickleValue>(value: T): T {
    if (++this.#containers > mostContainers)
      throw refuse(`the pickle makes more than ${mostContainers} objects; that much is not believed`);
    return value;
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value === mark) throw refuse("the pickle is damaged: its stack is empty");
    return value;
  }

  #peek(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) throw refuse("the pickle is damaged: its stack is empty");
    return value;
  }

  #top<T extends PickleValue>(test: (value: PickleValue) => value is T, what: string): T {
    const value = this.#peek();
    if (!test(value)) throw refuse(`the pickle is damaged: ${what} is missing`);
    return value;
  }

  #popMark(): PickleValue[] {
    const from = this.#stack.lastIndexOf(mark);
    if (from < 0) throw refuse("the pickle is damaged: a mark is missing");
    return this.#stack.splice(from).slice(1) as PickleValue[];
  }

  #recall(key: number): PickleValue {
    const value = this.#memo.get(key);
    if (value === undefined) throw refuse(`the pickle is damaged: it refers to entry ${key}, which is not there`);
    return value;
  }
}

/** A dictionary of attributes: what argparse's Namespace becomes. */
export class PickleRecord extends Map<PickleValue, PickleValue> {}

const isMap = (value: PickleValue): value is Map<PickleValue, PickleValue> => value instanceof Map;

function setItems<M extends Map<PickleValue, PickleValue>>(target: M, items: readonly PickleValue[]): M {
  if (items.length % 2 !== 0) throw refuse("the pickle is damaged: a key has no value");
  for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
  return target;
}

function decimal(line: string): number | bigint {
  if (!/^-?\d{1,400}$/.test(line)) throw refuse(`the pickle has ${JSON.stringify(line.slice(0, 40))} where a number belongs`);
  const value = Number(line);
  return Number.isSafeInteger(value) ? value : BigInt(line);
}

/** Two's complement, little endian. */
function long(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  if (bytes.length > 0 && bytes[bytes.length - 1] >= 128) value -= 1n << BigInt(8 * bytes.length);
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

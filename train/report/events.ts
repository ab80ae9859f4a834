/**
 * TensorBoard's event files: records of `tensorflow.Event` messages, each with its length and two masked CRC-32C sums.
 * @see tensorflow/core/util/event.proto, tensorflow/core/lib/io/record_writer.cc
 */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import protobuf from "protobufjs/light.js";
import { OpError } from "../../engine/errors.js";

const { Field, OneOf, Type } = protobuf;

const sessionStart = 1;
const value = new Type("Value").add(new Field("tag", 1, "string")).add(new Field("simpleValue", 2, "float"));
const summary = new Type("Summary").add(value).add(new Field("value", 1, "Value", "repeated"));
const session = new Type("SessionLog").add(new Field("status", 1, "int32"));
const event = new Type("Event")
  .add(summary)
  .add(session)
  .add(new Field("wallTime", 1, "double"))
  .add(new Field("step", 2, "int64"))
  .add(new Field("fileVersion", 3, "string"))
  .add(new Field("summary", 5, "Summary"))
  .add(new Field("sessionLog", 7, "SessionLog"))
  .add(new OneOf("what", ["fileVersion", "summary", "sessionLog"]));
new protobuf.Root().define("crabro").add(event);

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0x82f63b78 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

/** CRC-32 with Castagnoli's polynomial. */
export function crc32c(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = crcTable[(c ^ byte) & 0xff] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;

/** Length, its sum, the bytes, their sum. */
export function record(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length + 16);
  const view = new DataView(out.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint32(8, masked(crc32c(out.subarray(0, 8))), true);
  out.set(bytes, 12);
  view.setUint32(12 + bytes.length, masked(crc32c(bytes)), true);
  return out;
}

/** The events of a file; throws where a sum does not agree. */
export function readEvents(file: Uint8Array): Record<string, unknown>[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const events: Record<string, unknown>[] = [];
  for (let at = 0; at < file.length; ) {
    const length = view.getUint32(at, true);
    const bytes = file.subarray(at + 12, at + 12 + length);
    const good =
      masked(crc32c(file.subarray(at, at + 8))) === view.getUint32(at + 8, true) &&
      masked(crc32c(bytes)) === view.getUint32(at + 12 + length, true);
    if (!good) throw new Error(`the record at byte ${at} is damaged`);
    events.push(event.toObject(event.decode(bytes), { longs: Number }));
    at += length + 16;
  }
  return events;
}

/** Appends scalars to a file of its own. TensorBoard forgets what earlier files of the folder say of steps from `firstStep` on. */
export class EventWriter {
  readonly path: string;
  readonly #file: number;

  constructor(folder: string, firstStep: number) {
    const seconds = Math.floor(Date.now() / 1000);
    this.path = join(folder, `events.out.tfevents.${String(seconds).padStart(10, "0")}.${hostname()}.${process.pid}`);
    this.#file = openSync(this.path, "a");
    this.#write({ step: 0, fileVersion: "brain.Event:2" });
    if (firstStep > 0) this.#write({ step: firstStep, sessionLog: { status: sessionStart } });
  }

  scalars(step: number, values: Readonly<Record<string, number>>): void {
    this.#write({ step, summary: { value: Object.entries(values).map(([tag, simpleValue]) => ({ tag, simpleValue })) } });
  }

  close(): void {
    fsyncSync(this.#file);
    closeSync(this.#file);
  }

  #write(message: Readonly<Record<string, unknown>>): void {
    const bytes = record(event.encode(event.fromObject({ wallTime: Date.now() / 1000, ...message })).finish());
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    } catch (error) {
      throw new OpError("events", `cannot write ${this.path}: ${(error as Error).message}`, { cause: error });
    }
  }
}

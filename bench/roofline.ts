/**
 * What this machine can do at best in WebAssembly: multiply-adds from registers, and bytes through memory, measured with small kernels
 * of our own on as many threads as asked for, all at once. Some 0.25 s a figure.
 */
import { Worker } from "node:worker_threads";
import { type Code, f32, floats, get, i32, int, Locals, ModuleWriter, repeat, set, v128, vector } from "../backends/wasm/binary.js";

export interface Roofline {
  readonly threads: number;
  /** Multiply-adds count twice. 10⁹ a second, of all threads at the same time: processors may share what they compute with. */
  readonly gigaflops: number;
  /** Read and written by y ← a · x over arrays larger than the caches: 10⁹ bytes a second, of all threads at the same time. */
  readonly gigabytes: number;
  /** Whether the multiply-adds are fused. */
  readonly relaxed: boolean;
}

const accumulators = 12;
const arrayBytes = 64 * 2 ** 20;
/** Copied at a time, one part of the arrays after another: some 1 ms, so that other work spares some of them. */
const segmentBytes = 8 * 2 ** 20;
/** Of 12 multiply-adds each: some 2 ms. */
const turns = 800_000;

/** run(times): 12 sums in registers, `times` multiply-adds of four lanes each. */
function multiplyAdds(relaxed: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleWriter();
  const locals = new Locals(1);
  const [factor, ...sums] = Array.from({ length: accumulators + 1 }, () => locals.add(v128));
  const madd = (sum: number): Code =>
    relaxed ? floats.relaxedMadd(get(sum), get(factor), get(factor)) : floats.add(floats.mul(get(sum), get(factor)), get(factor));
  const body: Code = [
    set(factor, vector.floats(0.999)),
    repeat([sums.map((sum) => set(sum, madd(sum))), set(0, int.sub(get(0), int.const(1)))], get(0)),
    // Stored, so that nothing is left out.
    vector.store(
      int.const(0),
      sums.map(get).reduce((a, b) => floats.add(a, b)),
      0,
    ),
  ];
  module.export("run", module.addFunction([i32], [], locals, body));
  return module.finish();
}

/** run(from, to, bytes, factor): to ← factor · from, 64 bytes a turn. */
function scaledCopy(): Uint8Array<ArrayBuffer> {
  const module = new ModuleWriter();
  const locals = new Locals(4);
  const [factor, end] = [locals.add(v128), locals.add(i32)];
  const body: Code = [
    set(factor, floats.splat(get(3))),
    set(end, int.add(get(0), get(2))),
    repeat(
      [
        [0, 16, 32, 48].map((at) => vector.store(get(1), floats.mul(vector.load(get(0), at), get(factor)), at)),
        set(0, int.add(get(0), int.const(64))),
        set(1, int.add(get(1), int.const(64))),
      ],
      int.ne(get(0), get(end)),
    ),
  ];
  module.export("run", module.addFunction([i32, i32, i32, f32], [], locals, body));
  return module.finish();
}

interface Job {
  readonly flops: Uint8Array;
  readonly copies: Uint8Array;
  readonly bytes: number;
  readonly segment: number;
  readonly turns: number;
  /** Threads that wait for each other before each measurement. */
  readonly threads: number;
  readonly gate: Int32Array;
}

/** Its beginning and its end, in milliseconds of a clock that threads share. */
type Round = readonly [start: number, end: number];
interface Timed {
  readonly madds: readonly Round[];
  readonly copies: readonly Round[];
}

/** The thread's script: plain JavaScript, as it has to run without a loader. */
const script = `
const { parentPort, workerData } = require("node:worker_threads");
const { flops, copies, bytes, segment, turns, threads, gate } = workerData;
const memory = new WebAssembly.Memory({ initial: (2 * bytes) / 65536 });
const load = (binary) => new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory } }).exports.run;
const [madds, scale] = [load(flops), load(copies)];
const copy = (part) => scale(part * segment, bytes + part * segment, segment, 1);
/** When the same piece of work began and ended, round by round; all threads begin each round together. */
function times(which, rounds, run) {
  const found = [];
  for (let round = 1; round <= rounds; round++) {
    Atomics.add(gate, which, 1);
    while (Atomics.load(gate, which) < round * threads) {}
    const start = performance.timeOrigin + performance.now();
    run(round);
    found.push([start, performance.timeOrigin + performance.now()]);
  }
  return found;
}
// Memory that nobody has written is one page of zeros, which stays in the caches.
new Float32Array(memory.buffer).fill(1);
madds(turns); // compiled by now
scale(0, bytes, bytes, 1);
parentPort.postMessage({ madds: times(0, 100, () => madds(turns)), copies: times(1, 100, (round) => copy(round % (bytes / segment))) });
`;

export async function measureRoofline(threads: number): Promise<Roofline> {
  let relaxed = WebAssembly.validate(multiplyAdds(true));
  if (!relaxed) {
    const v8 = await import("node:v8");
    v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
    relaxed = WebAssembly.validate(multiplyAdds(true));
  }
  const job: Job = {
    flops: multiplyAdds(relaxed),
    copies: scaledCopy(),
    bytes: arrayBytes,
    segment: segmentBytes,
    turns,
    threads,
    gate: new Int32Array(new SharedArrayBuffer(8)),
  };
  const all = await Promise.all(
    Array.from(
      { length: threads },
      () =>
        new Promise<Timed>((resolve, reject) => {
          const worker = new Worker(script, { eval: true, workerData: job });
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    ),
  );
  const gigaflops = bestRate(
    all.map(({ madds }) => madds),
    turns * accumulators * 8,
  );
  const gigabytes = bestRate(
    all.map(({ copies }) => copies),
    2 * segmentBytes,
  );
  return { threads, gigaflops, gigabytes, relaxed };
}

/** 10⁹ a second in the best round, as other work only ever slows one down: what all threads did, by the time from the first beginning to the last end. */
function bestRate(threads: readonly (readonly Round[])[], amount: number): number {
  const rates = threads[0].map((_, i) => {
    const rounds = threads.map((own) => own[i]);
    const milliseconds = Math.max(...rounds.map(([, end]) => end)) - Math.min(...rounds.map(([start]) => start));
    return (threads.length * amount) / milliseconds / 1e6;
  });
  return Math.max(...rates);
}

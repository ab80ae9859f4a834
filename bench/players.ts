/** The runner's side of a contestant: its process, one request at a time, and what happens when it does not answer. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { softwareGpuEnvironment } from "../backends/webgpu/software.js";
import { type LoadReply, marker, type Request } from "./contestant.js";

/** Who takes part. */
export interface Entrant {
  /** As given on the command line and shown in tables: "wasm", "jax-wasm", "torch". */
  readonly id: string;
  readonly ours: boolean;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Sources, or what is built of them. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
const script = (name: string): string => fileURLToPath(new URL(`contestants/${name.replace(/\.ts$/, extension)}`, import.meta.url));
/** A TypeScript file in a process of its own, run as this one is. */
const node = (file: string, ...parameters: string[]): string[] => [process.execPath, ...loader(), script(file), ...parameters];
const loader = (): string[] =>
  extension === ".js" || process.execArgv.length > 0 ? process.execArgv : ["--import", import.meta.resolve("tsx")];

/** Names of peers, and the kind of device that they are compared with by default. */
export const peers: Readonly<Record<string, "processor" | "gpu">> = {
  "tfjs-wasm": "processor",
  "tfjs-cpu": "processor",
  "jax-wasm": "processor",
  torch: "processor",
  "tfjs-webgpu": "gpu",
  "jax-webgpu": "gpu",
};

export const isGpu = (device: string): boolean => device.startsWith("webgpu");
export const isSoftware = (device: string): boolean => device.endsWith(":software");

export function entrant(
  id: string,
  { threads, software, python }: { threads: number; software: boolean; python: string | null },
): Entrant | null {
  const environment = { OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) };
  const gpu = software ? softwareGpuEnvironment() : {};
  if (id === "torch") {
    return python === null ? null : { id, ours: false, command: [python, script("pytorch.py"), String(threads)], environment };
  }
  if (id in peers) {
    const [library, backend] = id.split("-");
    return { id, ours: false, command: node(`${library}.ts`, backend, String(threads)), environment: peers[id] === "gpu" ? gpu : {} };
  }
  return {
    id,
    ours: true,
    command: node("crabro.ts", id.replace(":software", ""), String(threads)),
    environment: isSoftware(id) ? gpu : {},
  };
}

/** A failure to answer in time. */
export class CutOff extends Error {}

export class Player {
  private child: ChildProcess | null = null;
  private waiting: { resolve: (reply: Record<string, unknown>) => void; reject: (error: Error) => void } | null = null;
  private lastWords: string[] = [];

  constructor(readonly entrant: Entrant) {}

  /** Starts the process where none runs; resolves with its description. Rejects where it cannot start. */
  async open(): Promise<string> {
    const [file, ...parameters] = this.entrant.command;
    const child = spawn(file, parameters, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...this.entrant.environment } });
    this.child = child;
    this.lastWords = [];
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (!line.startsWith(marker)) return;
      const { waiting } = this;
      this.waiting = null;
      waiting?.resolve(JSON.parse(line.slice(marker.length)) as Record<string, unknown>);
    });
    createInterface({ input: child.stderr }).on("line", (line) => {
      this.lastWords = [...this.lastWords.slice(-4), line];
    });
    const fail = (reason: string): void => {
      if (this.child !== child) return;
      this.child = null;
      const { waiting } = this;
      this.waiting = null;
      waiting?.reject(new Error([reason, ...this.lastWords].join("; ")));
    };
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code, signal) => fail(`the process ended (${signal ?? code})`));
    child.stdin.on("error", () => {}); // the exit says it
    const { describe } = await this.reply(60);
    return String(describe);
  }

  get isOpen(): boolean {
    return this.child !== null;
  }

  async load(task: Extract<Request, { op: "load" }>["task"], seconds: number): Promise<LoadReply> {
    return (await this.ask({ op: "load", task }, seconds)) as unknown as LoadReply;
  }

  /** Milliseconds a run. */
  async measure(seconds: number, least: number, limit: number): Promise<readonly number[]> {
    return (await this.ask({ op: "measure", seconds, least }, limit)).samples as number[];
  }

  async unload(): Promise<void> {
    await this.ask({ op: "unload" }, 30);
  }

  close(): void {
    const { child } = this;
    this.child = null;
    child?.kill("SIGKILL");
  }

  private ask(request: Request, seconds: number): Promise<Record<string, unknown>> {
    if (this.child === null) throw new Error("the process has ended");
    const reply = this.reply(seconds);
    this.child.stdin?.write(`${JSON.stringify(request)}\n`);
    return reply;
  }

  private async reply(seconds: number): Promise<Record<string, unknown>> {
    let timer: NodeJS.Timeout | undefined;
    try {
      const answer = await new Promise<Record<string, unknown>>((resolve, reject) => {
        this.waiting = { resolve, reject };
        timer = setTimeout(() => {
          this.waiting = null;
          this.close();
          reject(new CutOff(`no answer within ${Math.round(seconds)} s`));
        }, seconds * 1000);
      });
      if (typeof answer.error === "string") throw new Error(answer.error.split("\n")[0]);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }
}

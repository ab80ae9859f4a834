/** What the tuner remembers from one process to the next: JSON by adapter and shader, in a file of Node or in a page's storage. */

/** Where the text is kept. */
export interface TuningStore {
  /** In words. */
  readonly place: string;
  /** Null where there is none yet. */
  read(): string | null;
  /** Replaces it as a whole, or throws. */
  write(text: string): void;
}

/** Which schedule was the fastest. */
export interface Tuning {
  readonly schedule: number;
  /** Digest of its shader: another one means that schedules are made or ordered otherwise by now. */
  readonly shader: string;
}

type Adapters = Record<string, Record<string, Tuning>>;

export class Tunings {
  private known: Adapters | null = null;
  private trouble = "";

  constructor(private readonly store: TuningStore) {}

  /** Where tunings are kept, and why they are not. */
  describe(): string {
    return this.trouble === "" ? `remembered in ${this.store.place}` : `not remembered: ${this.trouble}`;
  }

  get(adapter: string, shader: string): Tuning | null {
    this.known ??= this.load();
    return (Object.hasOwn(this.known, adapter) && this.known[adapter][shader]) || null;
  }

  /** Beside what other processes have written meanwhile. A place that cannot be written to is told of by `describe()`: results do not depend on it. */
  set(adapter: string, shader: string, tuning: Tuning): void {
    const stored = this.load();
    this.known = { ...this.known, ...stored, [adapter]: { ...this.known?.[adapter], ...stored[adapter], [shader]: tuning } };
    try {
      this.store.write(`${JSON.stringify(this.known, null, 1)}\n`);
    } catch (error) {
      this.trouble = error instanceof Error ? error.message : String(error);
    }
  }

  /** All that is whole in the store. What is not is left out, measured anew and written over. */
  private load(): Adapters {
    const adapters: Adapters = {};
    for (const [adapter, shaders] of entries(this.parsed())) {
      const whole = entries(shaders).filter((entry): entry is [string, Tuning] => isTuning(entry[1]));
      adapters[adapter] = Object.fromEntries(whole);
    }
    return adapters;
  }

  private parsed(): unknown {
    try {
      return JSON.parse(this.store.read() ?? "{}");
    } catch (error) {
      if (!(error instanceof SyntaxError)) this.trouble = error instanceof Error ? error.message : String(error);
      return {};
    }
  }
}

const entries = (value: unknown): [string, unknown][] => (typeof value === "object" && value !== null ? Object.entries(value) : []);

function isTuning(value: unknown): value is Tuning {
  const { schedule, shader } = (value ?? {}) as Partial<Tuning>;
  return Number.isSafeInteger(schedule) && (schedule as number) >= 0 && typeof shader === "string";
}

/** The process's or the page's store. */
export async function openStore(): Promise<TuningStore> {
  return typeof process !== "undefined" && process.versions?.node !== undefined ? openFile() : openStorage();
}

/** `webgpu-tuning.json` in `$CRABRO_CACHE`, or in `crabro` under `$XDG_CACHE_HOME`, which is `~/.cache` where it is not set. */
async function openFile(): Promise<TuningStore> {
  // Not literals, so that no bundler follows them into a page.
  const [fileModule, systemModule, pathModule] = ["node:fs", "node:os", "node:path"];
  const { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } = (await import(
    /* @vite-ignore */ fileModule
  )) as typeof import("node:fs");
  const { homedir } = (await import(/* @vite-ignore */ systemModule)) as typeof import("node:os");
  const { dirname, isAbsolute, join } = (await import(/* @vite-ignore */ pathModule)) as typeof import("node:path");
  const { CRABRO_CACHE: own = "", XDG_CACHE_HOME: home = "" } = process.env;
  const folder = own !== "" ? own : join(isAbsolute(home) ? home : join(homedir(), ".cache"), "crabro");
  const place = join(folder, "webgpu-tuning.json");
  return {
    place,
    read: () => {
      try {
        return readFileSync(place, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
        throw error;
      }
    },
    write: (text) => {
      // Whole or not at all, also where several processes write.
      const temporary = `${place}.${process.pid}.part`;
      mkdirSync(dirname(place), { recursive: true });
      try {
        writeFileSync(temporary, text);
        renameSync(temporary, place);
      } catch (error) {
        rmSync(temporary, { force: true });
        throw error;
      }
    },
  };
}

type Storage = { getItem(key: string): string | null; setItem(key: string, value: string): void };

/** Workers have no such storage, and pages may be denied it: both tune for themselves only. */
export function openStorage(): TuningStore {
  const key = "crabro-webgpu-tuning";
  const storage = (): Storage => {
    const { localStorage } = globalThis as { localStorage?: Storage };
    if (localStorage === undefined) throw new Error("there is no localStorage here");
    return localStorage;
  };
  return { place: "localStorage", read: () => storage().getItem(key), write: (text) => storage().setItem(key, text) };
}

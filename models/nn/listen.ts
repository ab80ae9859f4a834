/** Listening to values inside modules while they run. */

/** `value` is made when it is asked for. */
export type Listener = (path: string, value: () => unknown) => void;

interface Listening {
  /** Paths of the modules that are listened to. */
  readonly paths: ReadonlyMap<object, string>;
  readonly listener: Listener;
}

let listening: Listening | null = null;

/** Runs `run`, and tells `listener` of the values in `module` and the modules below. */
export function listenInside<T>(module: { namedModules(): Iterable<[string, object]> }, run: () => T, listener: Listener): T {
  const outer = listening;
  listening = { paths: new Map([...module.namedModules()].map(([path, part]) => [part, path])), listener };
  try {
    return run();
  } finally {
    listening = outer;
  }
}

/** Tells of a value of a module: its output, or, with a name, something within. */
export function tell(module: object, name: string, value: () => unknown): void {
  const path = listening?.paths.get(module);
  const full = [path, name].filter((part) => part !== "").join(".");
  if (path !== undefined && full !== "") listening?.listener(full, value);
}

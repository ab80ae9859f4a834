/** A call that makes no sense: names the operation, what was given, what was expected, and what to do. */
export class OpError extends Error {
  constructor(
    readonly op: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${op}: ${message}`, options);
    this.name = "OpError";
  }
}

/** A device that cannot do what was asked: no room, no such feature, a kernel its compiler refused. */
export class BackendError extends Error {
  constructor(
    readonly backend: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${backend}: ${message}`, options);
    this.name = "BackendError";
  }
}

/** A broken promise inside the engine itself; please report it. */
export class InternalError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(`internal: ${message} (this is a defect of crabro; please report it)`, options);
    this.name = "InternalError";
  }
}

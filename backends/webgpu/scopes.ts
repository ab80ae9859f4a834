/** Errors of the device, caught where they arise: WebGPU tells of them later, and otherwise not to whom they belong. */

const filters: readonly GPUErrorFilter[] = ["validation", "out-of-memory", "internal"];

/** Runs an action in scopes for every kind of error. `error` is one that it causes, or null; null also of a lost device, which answers no more. */
export function inScopes<T>(device: GPUDevice, action: () => T): { readonly made: T; readonly error: Promise<GPUError | null> } {
  for (const filter of filters) device.pushErrorScope(filter);
  const close = async (): Promise<GPUError | null> => {
    const caught = await Promise.all(filters.map(() => device.popErrorScope().catch(() => null)));
    return caught.find((error) => error !== null) ?? null;
  };
  try {
    const made = action();
    return { made, error: close() };
  } catch (error) {
    void close();
    throw error;
  }
}

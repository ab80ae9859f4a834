/** A turn of the event loop: devices that compute in this thread leave none between steps, and signals wait for one. */
export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else setTimeout(resolve, 0);
  });

/** Buffers through which results come back: used in turn, since making one costs more than a small read. */
import { mapForRead, usage } from "./adapter.js";

/** Idle ones are kept up to this many bytes. */
const maxIdleBytes = 1 << 26;

export class Staging {
  private readonly idle: GPUBuffer[] = [];
  private idleBytes = 0;

  constructor(private readonly device: GPUDevice) {}

  /** Copies the first `bytes` of a buffer out, after all that was submitted before. */
  async read(source: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    const staging = this.take(bytes);
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, staging, 0, bytes);
    this.device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(mapForRead, 0, bytes);
      const copy = staging.getMappedRange(0, bytes).slice(0);
      staging.unmap();
      this.giveBack(staging);
      return copy;
    } catch (error) {
      staging.destroy();
      throw error;
    }
  }

  destroy(): void {
    for (const buffer of this.idle) buffer.destroy();
    this.idle.length = 0;
    this.idleBytes = 0;
  }

  private take(bytes: number): GPUBuffer {
    const size = 2 ** Math.max(8, Math.ceil(Math.log2(bytes)));
    const at = this.idle.findIndex((buffer) => buffer.size === size);
    if (at === -1) return this.device.createBuffer({ size, usage: usage.mapRead | usage.copyTarget });
    this.idleBytes -= size;
    return this.idle.splice(at, 1)[0];
  }

  private giveBack(buffer: GPUBuffer): void {
    this.idle.push(buffer);
    this.idleBytes += buffer.size;
    while (this.idleBytes > maxIdleBytes) {
      const oldest = this.idle.shift() as GPUBuffer;
      this.idleBytes -= oldest.size;
      oldest.destroy();
    }
  }
}

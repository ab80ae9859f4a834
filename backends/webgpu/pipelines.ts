/** Shaders compiled in the background, and kept by their text. */
import { BackendError } from "../../engine/errors.js";
import type { BufferSpec, Kernel } from "../../engine/kernel/ir.js";
import { computeStage, reasonOf } from "./adapter.js";
import { inScopes } from "./scopes.js";

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

const maxCached = 4096;
const constantBuffer = { access: "read" } as const;

export class Pipelines {
  private readonly compiled = new Map<string, Promise<Pipeline>>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();

  constructor(private readonly device: GPUDevice) {}

  /** `constants`: whether the shader reads one more buffer than the kernel. */
  get(kernel: Kernel, source: string, constants = false): Promise<Pipeline> {
    let pipeline = this.compiled.get(source);
    if (pipeline === undefined) {
      pipeline = this.compile(kernel, source, constants);
      // A failure is not kept: the next kernel with this text gets a message with its own name.
      pipeline.catch(() => this.compiled.delete(source));
      if (this.compiled.size >= maxCached) this.compiled.delete(this.compiled.keys().next().value as string);
      this.compiled.set(source, pipeline);
    }
    return pipeline;
  }

  /** What has it keeps it. */
  forget(source: string): void {
    this.compiled.delete(source);
  }

  clear(): void {
    this.compiled.clear();
    this.layouts.clear();
  }

  private async compile(kernel: Kernel, source: string, constants: boolean): Promise<Pipeline> {
    const { device } = this;
    // Its own, since `layout: "auto"` drops a buffer that the code does not use.
    const layout = this.layout([...kernel.buffers, ...(constants ? [constantBuffer] : [])]);
    const { made, error: caught } = inScopes(device, () => {
      const module = device.createShaderModule({ label: kernel.name, code: source });
      const pipeline = device.createComputePipelineAsync({
        label: kernel.name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      });
      return { module, pipeline };
    });
    const { module, pipeline } = made;
    try {
      return { pipeline: await pipeline, layout };
    } catch (cause) {
      const error = await caught;
      const { messages } = await module.getCompilationInfo();
      throw new BackendError(
        "webgpu",
        `${kernel.name} does not compile: ${quoted(messages, source) || (error?.message ?? reasonOf(cause))}\n${source}`,
        {
          cause,
        },
      );
    }
  }

  private layout(buffers: readonly Pick<BufferSpec, "access">[]): GPUBindGroupLayout {
    const types = buffers.map(({ access }): GPUBufferBindingType => (access === "read" ? "read-only-storage" : "storage"));
    const key = types.join();
    let layout = this.layouts.get(key);
    if (layout === undefined) {
      layout = this.device.createBindGroupLayout({
        entries: types.map((type, binding) => ({ binding, visibility: computeStage, buffer: { type } })),
      });
      this.layouts.set(key, layout);
    }
    return layout;
  }
}

/** The compiler's errors, each with the line it is about. */
function quoted(messages: readonly GPUCompilationMessage[], source: string): string {
  const lines = source.split("\n");
  return messages
    .filter(({ type }) => type === "error")
    .map(({ message, lineNum }) => `${message} in line ${lineNum}: ${lines[lineNum - 1]?.trim() ?? ""}`)
    .join("; ");
}

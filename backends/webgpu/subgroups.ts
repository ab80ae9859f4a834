/** How the invocations of a workgroup fall into subgroups. */
import { mapForRead, usage } from "./adapter.js";
import { inScopes } from "./scopes.js";

const lanes = 64;
const groups = 4;

const source = `enable subgroups;
@group(0) @binding(0) var<storage, read_write> found: array<vec2u, ${lanes * groups}>;
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) member: u32, @builtin(subgroup_size) size: u32) {
  found[group.x * ${lanes}u + lane] = vec2u(member, size);
}
`;

/**
 * Invocations of a subgroup, where all are of one size and neighbours by `local_invocation_index` are neighbours in them, which WebGPU does not
 * promise: so it is looked up by a small shader. Else 1.
 */
export async function subgroupSize(device: GPUDevice): Promise<number> {
  const { subgroupMinSize: least, subgroupMaxSize: most } = device.adapterInfo;
  if (!device.features.has("subgroups") || least === undefined || least !== most || lanes % least !== 0) return 1;
  const bytes = 8 * lanes * groups;
  const { made, error } = inScopes(device, () => probe(device, bytes));
  try {
    const found = new Uint32Array(await made);
    if ((await error) !== null) return 1;
    return found.every((value, i) => value === (i % 2 === 1 ? least : (i >> 1) % least)) ? least : 1;
  } catch {
    return 1; // a lost device says so at its first use
  }
}

async function probe(device: GPUDevice, bytes: number): Promise<ArrayBuffer> {
  const found = device.createBuffer({ size: bytes, usage: usage.storage | usage.copySource });
  const staging = device.createBuffer({ size: bytes, usage: usage.mapRead | usage.copyTarget });
  try {
    const module = device.createShaderModule({ code: source });
    const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: found } }] }),
    );
    pass.dispatchWorkgroups(groups);
    pass.end();
    encoder.copyBufferToBuffer(found, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(mapForRead);
    return staging.getMappedRange().slice(0);
  } finally {
    found.destroy();
    staging.destroy();
  }
}

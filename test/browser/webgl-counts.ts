/** Counts what a page makes and deletes of WebGL's objects. */

export interface WebglCounts {
  readonly textures: number;
  readonly framebuffers: number;
  readonly programs: number;
}

/** From now on; call the result for what is there now. */
export function countWebgl(): () => WebglCounts {
  const live = { Texture: new Set<object>(), Framebuffer: new Set<object>(), Program: new Set<object>() };
  const scope = globalThis as unknown as { WebGL2RenderingContext: { prototype: Record<string, (...args: unknown[]) => unknown> } };
  const { prototype } = scope.WebGL2RenderingContext;
  for (const [kind, objects] of Object.entries(live)) {
    const [create, discard] = [prototype[`create${kind}`], prototype[`delete${kind}`]];
    prototype[`create${kind}`] = function (...args) {
      const made = create.apply(this, args) as object;
      objects.add(made);
      return made;
    };
    prototype[`delete${kind}`] = function (...args) {
      objects.delete(args[0] as object);
      return discard.apply(this, args);
    };
  }
  return () => ({ textures: live.Texture.size, framebuffers: live.Framebuffer.size, programs: live.Program.size });
}

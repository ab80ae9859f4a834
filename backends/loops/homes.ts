/**
 * Where values belong: in the outermost of the blocks (loops and branches, one within another) in which all is known that they depend on, so
 * that no loop repeats what it need not. What must not be evaluated in vain does not leave a branch.
 */
import { children, postorder, type Term } from "../../engine/kernel/affine.js";
import type { Axis, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { axesOf } from "../../engine/kernel/simplify.js";
import { stagesOf } from "./walk.js";

/** A loop or a branch, or all around them; with the values that have names in it. */
export class Enclosing<V, Self extends { readonly depth: number }> {
  readonly names = new Map<Expr | string, V>();
  readonly depth: number;

  constructor(
    readonly parent: Self | null,
    readonly isLoop: boolean,
    /** Whether it may be entered not at all. */
    readonly conditional: boolean,
  ) {
    this.depth = parent === null ? 0 : parent.depth + 1;
  }
}

/** The same for sums of the same terms, whatever their constants. */
export const keyOf = (terms: readonly Term[]): string => terms.map(({ coefficient, factor }) => `${coefficient}*${factor.id}`).join("+");

export abstract class Homes<V, Block extends Enclosing<V, Block>> {
  protected abstract block: Block;
  protected readonly axisBlocks = new Map<Axis, Block>();
  private readonly harmless = new Map<Expr, boolean>();

  /** Where a stage's result is known. */
  protected abstract blockOf(stage: number): Block | undefined;

  /** Whether a load may be evaluated where nobody asked for it; of its operands this says nothing. */
  protected abstract isSafe(load: LoadExpr): boolean;

  /** Whether a value leaves branches though it saves no loop's repetitions. */
  protected leavesBranches(_: Expr): boolean {
    return false;
  }

  get depth(): number {
    return this.block.depth;
  }

  protected lookUp(key: Expr | string): V | undefined {
    for (let block: Block | null = this.block; block !== null; block = block.parent) {
      const value = block.names.get(key);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  protected inside<T>(block: Block, action: () => T): T {
    const before = this.block;
    this.block = block;
    const result = action();
    this.block = before;
    return result;
  }

  protected root(): Block {
    let { block } = this;
    while (block.parent !== null) block = block.parent;
    return block;
  }

  protected home(e: Expr): Block {
    const needed = this.needed(e);
    let { block } = this;
    while (block.depth > needed.depth && (!block.conditional || this.mayLeave(e, block, needed))) block = block.parent as Block;
    return block;
  }

  /** The outermost block in which everything that `e` depends on is known. */
  private needed(e: Expr): Block {
    const blocks = [...[...axesOf(e)].map((axis) => this.axisBlocks.get(axis)), ...[...stagesOf(e)].map((stage) => this.blockOf(stage))];
    return blocks.reduce<Block>((deepest, block) => (block !== undefined && block.depth > deepest.depth ? block : deepest), this.root());
  }

  /** Out of a branch goes what can do no harm, if that saves work. */
  private mayLeave(e: Expr, from: Block, to: Block): boolean {
    if (!this.isHarmless(e)) return false;
    for (let block: Block | null = from; block !== null && block !== to; block = block.parent) if (block.isLoop) return true;
    return this.leavesBranches(e);
  }

  /** Whether evaluating `e` where nobody asked for it reads nothing that must not be read. */
  protected isHarmless(e: Expr): boolean {
    for (const node of postorder(e, (below) => this.harmless.has(below))) {
      const below = children(node).every((child) => this.harmless.get(child));
      this.harmless.set(node, below && (node.op !== "load" || this.isSafe(node)));
    }
    return this.harmless.get(e) === true;
  }

  /** The parts by the block where they are known, outermost first. */
  protected byHome<T>(parts: readonly T[], factor: (part: T) => Expr): (readonly [Block, readonly T[]])[] {
    const groups = new Map<Block, T[]>();
    for (const part of parts) {
      const home = this.home(factor(part));
      groups.set(home, [...(groups.get(home) ?? []), part]);
    }
    return [...groups].sort(([a], [b]) => a.depth - b.depth);
  }
}

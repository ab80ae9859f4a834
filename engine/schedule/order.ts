/** Which kernels, by their numbers, have to run before which, over any number of others in between. */
export class Order {
  /** Bits of all that come before, 32 to a word. */
  private readonly rows: number[][] = [];

  /** Whether `earlier` must have run when `later` begins. */
  isBefore(earlier: number, later: number): boolean {
    return has(this.rows[later] ?? [], earlier);
  }

  /** `later` needs what `earlier` computes; nothing is said where both are the same. */
  add(earlier: number, later: number): void {
    if (earlier === later || this.isBefore(earlier, later)) return;
    this.rows[earlier] ??= [];
    this.rows[later] ??= [];
    this.rows.forEach((row, at) => {
      if (at === later || has(row, later)) unite(row, this.rows[earlier], earlier);
    });
  }

  /** What `from` was to do, `into` does from now on. */
  merge(from: number, into: number): void {
    this.add(from, into);
    this.rows.forEach((row, at) => {
      if (at !== into && has(row, from)) unite(row, this.rows[into], into);
    });
  }
}

/** Where there is no word, there is no bit. */
const has = (row: readonly number[], at: number): boolean => ((row[at >>> 5] >>> (at & 31)) & 1) === 1;

function unite(row: number[], more: readonly number[], at: number): void {
  more.forEach((word, i) => {
    row[i] |= word;
  });
  row[at >>> 5] |= 1 << (at & 31);
}

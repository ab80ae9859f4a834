/** Which kernels have to run before which, over any number of others in between: a row of bits for each. */
export class Order<T> {
  private readonly numbers = new Map<T, number>();
  /** All that come before, 32 to a word. */
  private readonly rows: number[][] = [];

  /** Whether `earlier` must have run when `later` begins. */
  isBefore(earlier: T, later: T): boolean {
    const [at, row] = [this.numbers.get(earlier), this.numbers.get(later)];
    return at !== undefined && row !== undefined && hasBit(this.rows[row], at);
  }

  /** `later` needs what `earlier` computes. Of what is before itself nothing is said. */
  add(earlier: T, later: T): void {
    const [at, row] = [this.number(earlier), this.number(later)];
    if (at === row || hasBit(this.rows[row], at)) return;
    const more = withBit(this.rows[at], at);
    unite(this.rows[row], more);
    for (const other of this.rows) if (hasBit(other, row)) unite(other, more);
  }

  /** What `from` was to do, `into` does from now on. */
  merge(from: T, into: T): void {
    const [at, row] = [this.number(from), this.number(into)];
    const more = withBit(this.rows[row], row);
    unite(more, this.rows[at]);
    unite(this.rows[row], this.rows[at]);
    for (const other of this.rows) if (other !== this.rows[row] && (hasBit(other, at) || hasBit(other, row))) unite(other, more);
  }

  private number(of: T): number {
    let number = this.numbers.get(of);
    if (number === undefined) {
      number = this.rows.push([]) - 1;
      this.numbers.set(of, number);
    }
    return number;
  }
}

const hasBit = (row: readonly number[], at: number): boolean => (((row[at >>> 5] ?? 0) >>> (at & 31)) & 1) === 1;

function withBit(row: readonly number[], at: number): number[] {
  const copy = [...row];
  while (copy.length <= at >>> 5) copy.push(0);
  copy[at >>> 5] |= 1 << (at & 31);
  return copy;
}

function unite(row: number[], more: readonly number[]): void {
  for (let i = 0; i < more.length; i++) row[i] = (row[i] ?? 0) | more[i];
}

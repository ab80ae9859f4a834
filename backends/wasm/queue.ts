/** What was asked of a backend while its threads are at work, in order. */

export interface Entry {
  /** A promise of the end, where threads do it. */
  perform(): Promise<void> | null;
  /** Instead, where the threads were lost before its turn. */
  lost(error: Error): void;
}

export class Queue {
  private waiting: Entry[] = [];
  private active = false;

  /** Whether something is under way, so that what is added has to wait. */
  get busy(): boolean {
    return this.active;
  }

  /** Performs the entry at once where nothing is under way. */
  add(entry: Entry): void {
    this.waiting.push(entry);
    if (!this.active) this.proceed();
  }

  /** Gives up everything that waits. */
  lose(error: Error): void {
    const { waiting } = this;
    this.waiting = [];
    for (const entry of waiting) entry.lost(error);
  }

  private proceed(): void {
    for (let entry = this.waiting.shift(); entry !== undefined; entry = this.waiting.shift()) {
      const end = entry.perform();
      if (end === null) continue;
      this.active = true;
      void end.then(() => {
        this.active = false;
        this.proceed();
      });
      return;
    }
  }
}

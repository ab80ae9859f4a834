/** A WGSL function of the library, and those that it calls. */
export interface Helper {
  /** Other helpers that it calls. */
  readonly uses: readonly string[];
  readonly code: string;
}

export const helper = (code: string, ...uses: readonly string[]): Helper => ({ code: code.trim(), uses });

/** The check of kernels is large: entries bring it along (`engine/index.ts` does), or leave it to the user (`browser.ts`). */
import { OpError } from "../errors.js";
import type { AnyKernel } from "../kernel/ir.js";

/** @throws InternalError that names the kernel and the rule it breaks. */
export type Verifier = (kernel: AnyKernel) => void;

let provided: Verifier | null = null;

/** Makes the check known to devices that are opened with `verify`, and to all at DEBUG ≥ 1. */
export function provideVerifier(verifier: Verifier): void {
  provided = verifier;
}

/** The check that was brought along, or null. */
export const providedVerifier = (): Verifier | null => provided;

/** The check, for who asks for it. Throws OpError where there is none. */
export function requireVerifier(): Verifier {
  if (provided === null)
    throw new OpError(
      "device",
      "the option verify needs the checks of kernels, which this build leaves out; call provideVerifier(verifyKernel) first",
    );
  return provided;
}

/** Property tests try the same cases in every run, so that a failure belongs to a change; FUZZ_SEED tries others. */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env.FUZZ_SEED ?? 1) });

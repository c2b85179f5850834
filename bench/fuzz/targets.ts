import { FILE_TARGETS } from "./file-targets.js";
import { FOLD_TARGETS } from "./fold-targets.js";
import type { Target } from "./fuzzer.js";
import { RECORD_TARGETS } from "./record-targets.js";
import { TEXT_TARGETS } from "./text-targets.js";

/** All decoders of outside bytes that are fuzzed. */
export const TARGETS: readonly Target[] = [...RECORD_TARGETS, ...FILE_TARGETS, ...TEXT_TARGETS, ...FOLD_TARGETS];

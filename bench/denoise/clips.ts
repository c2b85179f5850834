import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { InputError } from "../../base/index.js";

const folder = new URL("../../train/data/test/", import.meta.url);
const definition = new URL("../../train/test-set.json", import.meta.url);
const HEADER_BYTES = 44;

const testSetSchema = z.object({
  seconds: z.number(),
  clips: z.array(
    z.object({
      name: z.string().regex(/^\d+$/),
      speaker: z.string(),
      family: z.string(),
      snrDb: z.number(),
      reverberant: z.boolean(),
      clipped: z.boolean(),
      sha256: z.string(),
    }),
  ),
});

/** A clip of the frozen test set; families that end in `*` are in no training data. */
export type ClipInfo = z.infer<typeof testSetSchema>["clips"][number];

/** A clip with its sound, 48 kHz mono. */
export interface Clip {
  readonly info: ClipInfo;
  readonly clean: Float32Array;
  readonly noisy: Float32Array;
}

/** The list of the frozen test set. */
export async function listClips(): Promise<ClipInfo[]> {
  return testSetSchema.parse(JSON.parse(await readFile(definition, "utf8"))).clips;
}

/**
 * Reads one clip and checks that it is the frozen one.
 *
 * @throws InputError `TEST_SET_MISSING` or `TEST_SET_CHANGED`.
 */
export async function readClip(info: ClipInfo): Promise<Clip> {
  let files: Buffer[];
  try {
    files = await Promise.all(["clean", "noisy"].map((kind) => readFile(new URL(`${info.name}-${kind}.wav`, folder))));
  } catch (cause) {
    throw new InputError(
      "TEST_SET_MISSING",
      "The test set is not on this disk: make it with python3 train/make_test.py (train/README.md lists what that needs).",
      { cause },
    );
  }
  const [clean, noisy] = files.map((file) => file.subarray(HEADER_BYTES)) as [Buffer, Buffer];
  if (createHash("sha256").update(clean).update(noisy).digest("hex") !== info.sha256) {
    throw new InputError(
      "TEST_SET_CHANGED",
      `Clip ${info.name} of the test set is not the one in train/test-set.json.`,
    );
  }
  return { info, clean: samples(clean), noisy: samples(noisy) };
}

function samples(bytes: Buffer): Float32Array {
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readInt16LE(2 * i) / 32_768);
}

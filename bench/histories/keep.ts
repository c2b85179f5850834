import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { waveFile } from "../../tests/support/wave-file.js";
import { RATE } from "./signal.js";
import type { Run } from "./stage.js";

/**
 * Writes what a run left to a folder of its own: for each life of a listener a recording as a WAV file, and in a JSON
 * file of that name when it was played (`index`), what its speaker pulled (`record`) and which rewinds it applied; for
 * the whole run what was said and which faults there were (`run.json`).
 */
export async function keep(
  parent: string,
  { history, startedAt, deeds, faults, recordings, ...rest }: Run,
): Promise<void> {
  const folder = join(parent, String(history.seed));
  await mkdir(folder, { recursive: true });
  const lives = new Map<number, number>();
  for (const { samples, index, ...recording } of recordings) {
    const life = 1 + (lives.get(recording.listener) ?? 0);
    lives.set(recording.listener, life);
    const name = join(folder, `listener-${recording.listener}-life-${life}`);
    await writeFile(`${name}.wav`, waveFile({ channels: [samples], rate: RATE }));
    await writeFile(`${name}.json`, JSON.stringify({ ...recording, index: [...index] }));
  }
  const { outcomes, probes, calmAt } = rest;
  await writeFile(join(folder, "run.json"), JSON.stringify({ startedAt, calmAt, deeds, faults, outcomes, probes }));
}

import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { loadModel } from "../../publisher/index.js";
import { seededRandom } from "../harness.js";
import { PATH_LEVERS, runPath, soundOf } from "./pipeline.js";

test("packets are the same, byte for byte, whichever lever of the hot path is left out", async () => {
  const model = await loadModel(fileURLToPath(new URL("../../models/unsay-denoise.onnx", import.meta.url)));
  const samples = soundOf(2, seededRandom(1));
  const { digest } = await runPath(model, samples, PATH_LEVERS);
  expect((await runPath(model, samples, PATH_LEVERS)).digest).toBe(digest);
  const names = Object.keys(PATH_LEVERS);
  for (const name of names) {
    expect([name, (await runPath(model, samples, { ...PATH_LEVERS, [name]: false })).digest]).toEqual([name, digest]);
  }
  const none = Object.fromEntries(names.map((name) => [name, false])) as unknown as typeof PATH_LEVERS;
  expect((await runPath(model, samples, none)).digest).toBe(digest);
  await model.close();
});

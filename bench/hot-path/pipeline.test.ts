import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { loadModel } from "../../publisher/index.js";
import { seededRandom } from "../harness.js";
import { runPath, soundOf } from "./pipeline.js";

test("the hot path makes the same packets in every run, byte for byte", async () => {
  const model = await loadModel(fileURLToPath(new URL("../../models/unsay-denoise.onnx", import.meta.url)));
  const samples = soundOf(2, seededRandom(1));
  const { digest, hops } = await runPath(model, samples);
  expect(hops).toBe(200);
  expect((await runPath(model, samples)).digest).toBe(digest);
  await model.close();
});

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Denoiser } from "./denoiser.js";
import { loadModel, type Model } from "./model.js";
import { analyseNoise } from "./noise-profile.js";
import { DenoiseWorker } from "./worker-denoiser.js";

const path = fileURLToPath(new URL("./fixtures/tiny.onnx", import.meta.url));
let model: Model;

beforeEach(async () => {
  model = await loadModel(path);
});

afterEach(() => model.close());

/** Seeded noise under a slow swell. */
function audio(length: number, seed: number): Float32Array {
  let state = seed;
  return new Float32Array(length).map((_, i) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return (state / 1_073_741_824 - 1) * 0.3 * Math.sin(i / 9000 + seed) ** 2;
  });
}

/** Stands for long audio: comparing a hash is quicker. */
function digest(samples: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength))
    .digest("hex");
}

async function run(denoiser: Denoiser, samples: Float32Array): Promise<string> {
  return digest(await play(denoiser, samples));
}

async function play(denoiser: Denoiser, samples: Float32Array): Promise<Float32Array> {
  const output = new Float32Array(samples.length);
  for (let at = 0; at < samples.length; at += denoiser.hop) {
    output.set((await denoiser.process(samples.subarray(at, at + denoiser.hop))).wet, at);
  }
  return output;
}

describe("the denoising worker", () => {
  test("the worker gives eight streams at once the same audio as the event loop one by one, with checkpoints and profile", async () => {
    const profile = await analyseNoise(audio(9600, 99));
    const steps = async (denoiser: Denoiser, seed: number) => {
      const samples = audio(480 * 40, seed);
      const first = await run(denoiser, samples);
      const { voiceActivity } = await denoiser.process(samples.subarray(0, 480));
      const state = denoiser.checkpoint();
      const ahead = await run(denoiser, samples);
      denoiser.restore(state);
      const again = await run(denoiser, samples);
      denoiser.setNoiseProfile(profile);
      const conditioned = await run(denoiser, samples);
      denoiser.restore();
      const fresh = await run(denoiser, samples);
      const end = denoiser.checkpoint(state);
      denoiser.close();
      expect(again).toEqual(ahead);
      expect(conditioned).not.toEqual(ahead);
      return { first, voiceActivity, ahead, conditioned, fresh, end: digest(end.values) };
    };
    const silencePauses = true;
    const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
    const expected = [];
    for (const seed of seeds)
      expected.push(await steps(await Denoiser.create(model, { thread: "here", silencePauses }), seed));
    const streams = await Promise.all(seeds.map(() => Denoiser.create(model, { thread: "worker", silencePauses })));
    expect(streams.every((stream) => stream.inWorker)).toBe(true);
    expect(await Promise.all(streams.map((stream, i) => steps(stream, seeds[i]!)))).toEqual(expected);
    expect(DenoiseWorker.of(model).streams).toBe(0);
  });

  test("a second stream moves both to the worker between two hops, without a trace in the audio", async () => {
    const samples = audio(480 * 50, 5);
    const here = await run(await Denoiser.create(model, { thread: "here" }), samples);
    const first = await Denoiser.create(model);
    await run(first, samples);
    expect(first.inWorker).toBe(false);
    const second = await Denoiser.create(model);
    // The worker takes a while to start: play the same audio over and over until it has both.
    await expect
      .poll(async () => {
        first.restore();
        second.restore();
        expect(await Promise.all([run(first, samples), run(second, samples)])).toEqual([here, here]);
        return first.inWorker && second.inWorker;
      })
      .toBe(true);
    first.close();
    second.close();
    expect(DenoiseWorker.of(model).streams).toBe(0);
  });

  test("a stream continues on the event loop without a gap when the worker dies, with one warning", async () => {
    const samples = audio(480 * 60, 7);
    const whole = await play(await Denoiser.create(model, { thread: "here" }), samples);
    const errors: unknown[] = [];
    const logger = { debug: () => {}, info: () => {}, warn: ({ err }: { err?: unknown }) => errors.push(err) };
    const streams = await Promise.all([1, 2].map(() => Denoiser.create(model, { thread: "worker", logger })));
    const before = await Promise.all(streams.map((stream) => play(stream, samples.subarray(0, 480 * 20))));
    const after = Promise.all(streams.map((stream) => play(stream, samples.subarray(480 * 20))));
    await DenoiseWorker.of(model).end();
    for (const [i, rest] of (await after).entries()) {
      expect(digest(Float32Array.of(...before[i]!, ...rest))).toBe(digest(whole));
      expect(streams[i]!.inWorker).toBe(false);
    }
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatchObject({ code: "WORKER_FAILED", message: /unsay-test-tiny stopped \(exit code 0\)/ });
    const later = await Denoiser.create(model, { logger });
    expect(await run(later, samples)).toBe(digest(whole));
    expect(errors).toHaveLength(1);
  });

  test("the worker refuses a concurrent hop, a hop after close and another model's checkpoint", async () => {
    const stream = await Denoiser.create(model, { thread: "worker" });
    const pending = stream.process(new Float32Array(480));
    await expect(stream.process(new Float32Array(480))).rejects.toThrow("before its last call");
    expect(() => stream.checkpoint()).toThrow("while a hop was being processed");
    await pending;
    expect(() => stream.restore({ model: "other", values: new Float32Array(7) })).toThrow("of another model");
    stream.close();
    stream.close();
    await expect(stream.process(new Float32Array(480))).rejects.toThrow("after close()");
  });

  test("a worker in the middle of a hop does not crash the process when its model closes or the process exits", async () => {
    const address = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
    // A slow model, and enough streams that there always is a hop in progress.
    const script = `
      import ${address("../../base/polyfills.ts")};
      import { loadModel } from ${address("./model.ts")};
      import { DenoiseWorker } from ${address("./worker-denoiser.ts")};
      for (let round = 0; round < 4; round++) {
        const model = await loadModel(${JSON.stringify(fileURLToPath(new URL("../../models/unsay-denoise.onnx", import.meta.url)))});
        const worker = DenoiseWorker.of(model);
        await worker.ready;
        for (let i = 0; i < 40; i++) {
          const stream = worker.open({});
          const play = () => stream.process(new Float32Array(480), new Float32Array(480), true).then(play, () => {});
          void play();
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (round === 3) process.exit(7);
        await model.close();
        console.log("closed");
      }
    `;
    const run = promisify(execFile)(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", script], {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
    });
    await expect(run).rejects.toMatchObject({ code: 7, stdout: "closed\n".repeat(3), stderr: "" });
  });

  test("the worker keeps no process alive and ends it cleanly, also from the sources", async () => {
    const address = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
    const script = `
      import ${address("../../base/polyfills.ts")};
      import { Denoiser } from ${address("./denoiser.ts")};
      import { loadModel } from ${address("./model.ts")};
      const model = await loadModel(${JSON.stringify(path)});
      const stream = await Denoiser.create(model, { thread: "worker" });
      const { wet } = await stream.process(new Float32Array(stream.hop));
      console.log("done", stream.inWorker, wet.length);
    `;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "--eval", script],
      { cwd: fileURLToPath(new URL("..", import.meta.url)) },
    );
    expect(stdout).toBe("done true 480\n");
  });
});

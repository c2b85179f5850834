import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { microseconds } from "../base/index.js";
import { stoi } from "../bench/denoise/score.js";
import { seededRandom } from "../bench/harness.js";
import { OpusEncoder, type OpusOptions, openSource } from "../publisher/index.js";
import { siSdr } from "../src/score.js";
import { loadOpus, type Ticket } from "../watch/index.js";
import { readAll } from "./support/signal.js";

/** One packet in ten is lost, the same ones every time. */
const LOSS = 0.1;

let speech: Float32Array;

beforeAll(async () => {
  const file = fileURLToPath(new URL("../examples/audio/clean-speech.wav", import.meta.url));
  const source = await openSource({ file });
  speech = (await readAll(source)).slice(0, 5 * 48_000);
});

interface Heard {
  readonly stoi: number;
  readonly siSdrDb: number;
  readonly bytes: number;
}

/** What a listener's decoder makes of the speech when packets are lost: made-up sound, or silence where they were. */
async function listen(options: OpusOptions, gaps: "concealed" | "silent" | "none"): Promise<Heard> {
  const encoder = await OpusEncoder.create({ bitrateBps: 32_000, ...options });
  const { frameSize, lookahead } = encoder;
  const random = seededRandom(3);
  const output = new Float32Array(speech.length);
  let position = 0;
  let missing = 0;
  let bytes = 0;
  const open = await loadOpus({ channels: 1 });
  const decoder = open({
    output: ([samples]) => {
      output.set(samples!.subarray(0, output.length - position), position);
      position += samples!.length;
    },
    error: (error) => {
      throw error;
    },
  });
  const ticket: Ticket = { timestamp: microseconds(0), sequence: 0, epoch: 0, generation: 0 };
  for (let at = 0; at + frameSize <= speech.length; at += frameSize) {
    const packet = encoder.encode(speech.subarray(at, at + frameSize));
    bytes += packet.length;
    if (random() < LOSS && gaps !== "none") {
      missing += frameSize;
      continue;
    }
    if (gaps === "concealed" && missing > 0) decoder.conceal!(missing, packet, ticket);
    else position += missing;
    missing = 0;
    decoder.decode(packet, ticket, true);
  }
  decoder.close();
  encoder.close();
  const heard = output.subarray(lookahead, position);
  const reference = speech.subarray(0, heard.length);
  return { stoi: await stoi(reference, heard), siSdrDb: siSdr(reference, heard), bytes };
}

describe("speech over a link that loses every tenth packet", () => {
  test("listeners understand speech nearly as well as without loss when packets carry a copy of the one before, for the same bytes", async () => {
    for (const application of ["voice", "audio"] as const) {
      for (const frameMs of [20, 10] as const) {
        const options = { application, frameMs, fec: true, packetLossPercent: 15 };
        const whole = await listen(options, "none");
        const repaired = await listen(options, "concealed");
        const silent = await listen(options, "silent");
        expect(repaired.stoi).toBeGreaterThan(silent.stoi + 0.05);
        expect(repaired.stoi).toBeGreaterThan(whole.stoi - 0.02);
        expect(repaired.siSdrDb).toBeGreaterThan(silent.siSdrDb);
        const plain = await listen({ application, frameMs }, "none");
        expect(repaired.bytes / plain.bytes).toBeLessThan(1.1);
      }
    }
  });

  test("listeners understand speech better with extrapolated audio than with silence where there is no copy", async () => {
    for (const frameMs of [20, 10] as const) {
      const options = { application: "voice", frameMs } as const;
      const concealed = await listen(options, "concealed");
      const silent = await listen(options, "silent");
      // The waveform is another one, so only intelligibility counts.
      expect(concealed.stoi).toBeGreaterThan(silent.stoi + 0.01);
    }
  });

  test("speech survives in packets of 5 ms too, which have no room for copies", async () => {
    const concealed = await listen({ frameMs: 5, bitrateBps: 64_000 }, "concealed");
    expect(concealed.stoi).toBeGreaterThan(0.8);
  });
});

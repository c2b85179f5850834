import { initializeLogger, voice } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";
import { expect, test } from "vitest";
import { StateError } from "../../base/index.js";
import { VirtualStage } from "../../tests/support/virtual-stage.js";
import { AudioOutput } from "./audio-output.js";

initializeLogger({ pretty: false, level: "silent" });

const RATE = 48_000;

interface Finished {
  readonly playbackPosition: number;
  readonly interrupted: boolean;
  readonly synchronizedTranscript?: string;
}

/** An output whose publisher and listener run on a virtual clock. */
function openOutput() {
  const stage = new VirtualStage({ aheadMs: 600 });
  const refusal: { error: Error | undefined } = { error: undefined };
  const output = new AudioOutput(
    {
      say: (source, options = {}) => {
        if (refusal.error !== undefined) throw refusal.error;
        return stage.renderer.say(source, options);
      },
    },
    { sampleRate: RATE },
  );
  const finished: Finished[] = [];
  output.on(voice.AudioOutput.EVENT_PLAYBACK_FINISHED, (event: Finished) => finished.push(event));
  return { stage, output, finished, refusal };
}

function frame(
  ms: number,
  { rate = RATE, channels = 1, timed }: { rate?: number; channels?: number; timed?: unknown } = {},
) {
  const samples = new Int16Array((rate / 1000) * ms * channels).fill(2000);
  return new AudioFrame(
    samples,
    rate,
    channels,
    samples.length / channels,
    timed ? { "lk.timed_transcripts": timed } : {},
  );
}

test("a frame whose capture was not awaited belongs to the segment before the flush, and a clear drops it", async () => {
  const { stage, output, finished } = openOutput();
  void output.captureFrame(frame(200));
  output.flush();
  void output.captureFrame(frame(300));
  output.clearBuffer();
  void output.captureFrame(frame(100));
  output.flush();
  await stage.runTo(3000);
  expect(finished.map(({ playbackPosition, interrupted }) => [playbackPosition, interrupted])).toEqual([
    [0, true],
    [0, true],
    [0.1, false],
  ]);
  expect(output.pendingPlayoutSegments).toBe(0);
});

test("a frame that the publisher refuses ends its segment, behind the segments before it", async () => {
  const { stage, output, finished, refusal } = openOutput();
  await output.captureFrame(frame(300));
  output.flush();
  refusal.error = new StateError("CLOSED", "The publisher is closed.");
  await expect(output.captureFrame(frame(100))).rejects.toThrow("The publisher is closed.");
  await expect(output.captureFrame(frame(100))).rejects.toThrow("The publisher is closed.");
  refusal.error = undefined;
  await output.captureFrame(frame(200));
  output.flush();
  await stage.runTo(3000);
  await output.waitForPlayout();
  expect(finished.map(({ playbackPosition, interrupted }) => [playbackPosition, interrupted])).toEqual([
    [0.3, false],
    [0, true],
    [0, true],
    [0.2, false],
  ]);
});

test("timings that can't be used cost no audio", async () => {
  const { stage, output, finished } = openOutput();
  const word = voice.createTimedString({ text: "one", startTime: 0, endTime: 0.2 });
  const broken = { ...word, text: undefined };
  const many = Array.from({ length: 70_000 }, () => word);
  await output.captureFrame(frame(200, { timed: [broken, word] }));
  await output.captureFrame(frame(200, { timed: many }));
  output.flush();
  await stage.runTo(2000);
  expect(finished).toMatchObject([{ playbackPosition: 0.4, interrupted: false }]);
});

test("a segment is heard at its right speed when its frames change their rate or channels", async () => {
  const { stage, output, finished } = openOutput();
  await output.captureFrame(frame(300));
  await output.captureFrame(frame(300, { rate: 16_000 }));
  await output.captureFrame(frame(300, { rate: 16_000, channels: 2 }));
  output.flush();
  await stage.runTo(3000);
  expect(finished).toHaveLength(1);
  expect(finished[0]!.playbackPosition).toBeCloseTo(0.9, 1);
});

test("the text of a reply that was cleared before its first frame is not the text of the next one", async () => {
  const { stage, output, finished } = openOutput();
  output.addText("Never said.", { isNew: true });
  output.clearBuffer();
  await output.captureFrame(frame(200));
  output.flush();
  await stage.runTo(2000);
  expect(finished).toEqual([{ playbackPosition: 0.2, interrupted: false }]);
});

test("a paused output is heard no longer than a rewind needs to arrive, and continues with the next sample", async () => {
  const { stage, output, finished } = openOutput();
  const samples = Int16Array.from({ length: 3 * RATE }, (_, index) => 1000 + (index % 30_000));
  void output.captureFrame(new AudioFrame(samples, RATE, 1, samples.length));
  output.flush();
  await stage.runTo(700);
  const heardMs = () => new Set(stage.heard.map(({ index }) => index)).size / 48;
  const beforeMs = heardMs();
  expect(beforeMs).toBeGreaterThan(500);
  output.pause();
  await stage.runTo(2000);
  const pausedMs = heardMs();
  // A turn of the publisher, the path, and what the speaker has already taken.
  expect(pausedMs - beforeMs).toBeLessThan(50);
  output.resume();
  await stage.runTo(6000);
  expect(finished).toEqual([expect.objectContaining({ playbackPosition: 3, interrupted: false })]);
  const after = stage.heard.slice(stage.heard.findIndex(({ at }) => at > 2000));
  expect(Math.abs(after[0]!.index / 48 - pausedMs)).toBeLessThan(5);
  expect(stage.coverage(3000).repeated).toBeLessThan(5);
  expect(stage.coverage(3000).missing).toBeLessThan(5);
});

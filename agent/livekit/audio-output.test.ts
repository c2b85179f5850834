import { initializeLogger, voice } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";
import { expect, onTestFinished, test, vi } from "vitest";
import { StateError } from "../../base/index.js";
import type { Speech } from "../../publisher/index.js";
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
  const speeches: Speech[] = [];
  const refusal: { error: Error | undefined } = { error: undefined };
  const output = new AudioOutput({
    say: (source, options = {}) => {
      if (refusal.error !== undefined) throw refusal.error;
      const speech = stage.renderer.say(source, options);
      speeches.push(speech);
      return speech;
    },
  });
  const finished: Finished[] = [];
  output.on(voice.AudioOutput.EVENT_PLAYBACK_FINISHED, (event: Finished) => finished.push(event));
  return { stage, output, finished, refusal, speeches };
}

function frame(
  ms: number,
  {
    rate = RATE,
    channels = 1,
    timed,
    value = 2000,
  }: { rate?: number; channels?: number; timed?: unknown; value?: number } = {},
) {
  const samples = new Int16Array((rate / 1000) * ms * channels).fill(value);
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

test.each([
  ["before its audio", true],
  ["after its audio", false],
])("a reply has its own text where that comes %s, whether its frames have timings or not", async (_, isEarly) => {
  const { stage, output, finished, speeches } = openOutput();
  for (const [index, text] of ["one", "two", "three", "four"].entries()) {
    const timed = index % 2 === 0 ? [voice.createTimedString({ text, startTime: 0, endTime: 0.2 })] : undefined;
    if (isEarly) output.addText(`reply ${text}`, { isNew: true });
    await output.captureFrame(frame(200, { timed }));
    const addText = vi.spyOn(speeches[index]!, "addText");
    if (!isEarly) output.addText(`reply ${text}`, { isNew: true });
    output.addText(" and on", { isNew: false });
    output.flush();
    expect(addText.mock.calls.flat().join("")).toBe(isEarly ? " and on" : `reply ${text} and on`);
    await stage.runTo(stage.now + 2000);
  }
  expect(finished.map(({ interrupted }) => interrupted)).toEqual([false, false, false, false]);
  expect(finished[1]!.synchronizedTranscript).toBe("reply two and on");
});

test("text that follows a clear is the next reply's from its first part on, and the rest of the cleared one's is dropped", async () => {
  const { stage, output, finished } = openOutput();
  output.addText("Never", { isNew: true });
  output.clearBuffer();
  output.addText(" said.", { isNew: false });
  await output.captureFrame(frame(200));
  output.clearBuffer();
  output.addText("Said.", { isNew: true });
  await output.captureFrame(frame(200));
  output.flush();
  await stage.runTo(3000);
  expect(finished).toEqual([
    { playbackPosition: 0, interrupted: true },
    { playbackPosition: 0.2, interrupted: false, synchronizedTranscript: "Said." },
  ]);
});

test("text that comes only after its reply's audio is over is not the text of the next reply", async () => {
  const { stage, output, finished } = openOutput();
  for (const [index, text] of ["one", "two", "three"].entries()) {
    await output.captureFrame(frame(200));
    output.flush();
    // As of a realtime model: the first reply is heard before its transcript comes, the second is not.
    if (index === 0) await stage.runTo(stage.now + 2000);
    output.addText(`reply ${text}`, { isNew: true });
    output.addText(" and on", { isNew: false });
    const over = output.waitForPlayout();
    await stage.runTo(stage.now + 2000);
    await over;
  }
  expect(finished.map(({ synchronizedTranscript: text }) => text)).toEqual([
    undefined,
    "reply two and on",
    "reply three and on",
  ]);
});

test.each([
  ["no audio came of it", "silent"],
  ["its audio was disabled", "disabled"],
])("the text of a reply is not that of the next one, whose audio comes first, where %s", async (_, why) => {
  const { stage, output, finished } = openOutput();
  if (why === "disabled") output.onDetached();
  output.addText("Only written.", { isNew: true });
  // Without an audio output, the session does not wait for it.
  if (why === "disabled") output.onAttached();
  else await output.waitForPlayout();
  await output.captureFrame(frame(200));
  output.addText("Said.", { isNew: true });
  output.flush();
  await stage.runTo(2000);
  expect(finished).toEqual([{ playbackPosition: 0.2, interrupted: false, synchronizedTranscript: "Said." }]);
});

test("the text of a reply is its own also where the reply before had none", async () => {
  const { stage, output, finished } = openOutput();
  for (const text of [undefined, "Said."]) {
    if (text !== undefined) output.addText(text, { isNew: true });
    await output.captureFrame(frame(200));
    output.flush();
    const over = output.waitForPlayout();
    await stage.runTo(stage.now + 2000);
    await over;
  }
  expect(finished.map(({ synchronizedTranscript: text }) => text)).toEqual([undefined, "Said."]);
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

test.each([[[16_000, RATE, 24_000]], [[RATE, 16_000, RATE]], [[RATE, 16_000, 24_000, 16_000]]])(
  "frames of %j Hz are said in order and to the sample",
  async (rates) => {
    const { output, speeches } = openOutput();
    // The first frame decides the format.
    await output.captureFrame(frame(0));
    const write = vi.spyOn(speeches[0]!, "write");
    for (const [index, rate] of rates.entries()) {
      await output.captureFrame(frame(100, { rate, value: 1000 * (index + 1) }));
    }
    output.flush();
    const said = write.mock.calls.flatMap(([samples]) => [...(samples as Int16Array)]);
    expect(said).toHaveLength(rates.length * 4800);
    const middles = rates.map((_, index) => said[index * 4800 + 2400]);
    expect(middles).toEqual(rates.map((_, index) => 1000 * (index + 1)));
    // A resampler's last samples belong before the next frame.
    const lasts = rates.map((_, index) => Math.round(said[index * 4800 + 4790]! / 1000));
    expect(lasts).toEqual(rates.map((_, index) => index + 1));
  },
);

test("playback starts when the listeners' report says so, not when the output's turn comes", async () => {
  const { stage, output, speeches } = openOutput();
  vi.spyOn(Date, "now").mockImplementation(() => stage.now);
  onTestFinished(() => void vi.restoreAllMocks());
  const reported: number[] = [];
  const started: number[] = [];
  output.on(voice.AudioOutput.EVENT_PLAYBACK_STARTED, ({ createdAt }: { createdAt: number }) => {
    reported.push(createdAt);
  });
  void output.captureFrame(frame(3000));
  output.flush();
  await stage.runTo(1000);
  output.clearBuffer();
  void output.captureFrame(frame(500));
  output.flush();
  expect(speeches).toHaveLength(2);
  speeches[1]!.on("started", () => started.push(stage.now));
  await stage.runTo(3000);
  expect(started).toHaveLength(1);
  expect(reported.slice(1)).toEqual(started);
});

test("text that can't be used costs no audio", async () => {
  const { stage, output, finished } = openOutput();
  output.addText("a".repeat(1_000_001), { isNew: true });
  await output.captureFrame(frame(100));
  output.flush();
  await stage.runTo(2000);
  expect(finished).toMatchObject([{ playbackPosition: 0.1, interrupted: false }]);
});

test("a frame is captured at once, also of a long reply that is paused, since a session clears only after it", async () => {
  const { stage, output, finished } = openOutput();
  await output.captureFrame(frame(60_000));
  output.flush();
  await output.captureFrame(frame(60_000));
  await stage.runTo(1000);
  output.pause();
  await stage.runTo(1500);
  const captured = vi.fn();
  void output.captureFrame(frame(60_000)).then(captured);
  await new Promise(setImmediate);
  expect(captured).toHaveBeenCalled();
  output.clearBuffer();
  output.resume();
  await output.captureFrame(frame(200));
  output.flush();
  await stage.runTo(4000);
  expect(finished.map(({ interrupted }) => interrupted)).toEqual([true, true, false]);
});

test("frames that follow an interrupt by the application belong to the segment that it ended, and are not heard", async () => {
  const { stage, output, finished, speeches } = openOutput();
  await output.captureFrame(frame(500));
  await stage.runTo(300);
  const cut = speeches[0]!.interrupt();
  await stage.runTo(1500);
  const { heardMs } = await cut;
  expect(finished).toEqual([{ playbackPosition: heardMs / 1000, interrupted: true }]);
  await output.captureFrame(frame(500));
  await stage.runTo(3000);
  output.flush();
  await output.captureFrame(frame(200));
  output.flush();
  await stage.runTo(5000);
  expect(speeches).toHaveLength(2);
  expect(finished.slice(1)).toEqual([{ playbackPosition: 0.2, interrupted: false }]);
  expect(output.pendingPlayoutSegments).toBe(0);
});

test("a capture waits for room where five minutes are ahead, until the segment is cleared", async () => {
  const { stage, output } = openOutput();
  await output.captureFrame(frame(299_000));
  const captured = vi.fn();
  const last = output.captureFrame(frame(2000)).then(captured);
  await stage.runTo(500);
  expect(captured).not.toHaveBeenCalled();
  output.clearBuffer();
  await last;
  expect(captured).toHaveBeenCalled();
});

test("a flush without room for the last milliseconds ends the segment, and a clear takes it back", async () => {
  const { stage, output, finished } = openOutput();
  const last = frame(100, { rate: 16_000 });
  // All of the room but that for what a resampler does not hold back.
  void output.captureFrame(frame((32 * 1024 * 1024 - 4728) / 48));
  void output.captureFrame(last);
  output.clearBuffer();
  await stage.runTo(1000);
  await output.captureFrame(frame(200));
  output.flush();
  await stage.runTo(3000);
  expect(finished.map(({ playbackPosition, interrupted }) => [playbackPosition, interrupted])).toEqual([
    [0, true],
    [0.2, false],
  ]);
});

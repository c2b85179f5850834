import { initializeLogger, voice } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";
import { AudioOutput } from "../../agent/livekit/index.js";
import { RealtimePlayback } from "../../agent/realtime/realtime-playback.js";
import { openAudio, type Publisher } from "../../publisher/index.js";

const RATE = 24_000;
/** Long enough for the session's queue, short enough to be captured at once. */
const FRAME = RATE / 10;

type Say = Pick<Publisher, "say">;

/** Says PCM at 24 kHz; the function it returns cuts it and resolves with how many milliseconds were heard. */
type Voice = (publisher: Say, pcm: Buffer) => () => Promise<number>;

/** Ways to say an answer, each with its own account of what was heard. */
export const VOICES: Readonly<Record<string, Voice>> = {
  speech: (publisher, pcm) => {
    const speech = publisher.say(openAudio({ sampleRate: RATE, format: "s16le" }));
    speech.write(pcm);
    speech.end();
    return async () => (await speech.interrupt()).heardMs;
  },
  Realtime: (publisher, pcm) => {
    const playback = new RealtimePlayback(publisher);
    const place = { responseId: "r", itemId: "i", contentIndex: 0 };
    playback.audio(place, pcm);
    playback.end(place);
    return async () => (await playback.interrupt())[0]?.audioEndMs ?? Number.NaN;
  },
  LiveKit: (publisher, pcm) => {
    initializeLogger({ pretty: false, level: "silent" });
    const output = new AudioOutput(publisher);
    const samples = new Int16Array(pcm.buffer, pcm.byteOffset, pcm.length / 2);
    void capture(output, samples);
    return () => {
      const finished = new Promise<number>((resolve) => {
        output.once(voice.AudioOutput.EVENT_PLAYBACK_FINISHED, ({ playbackPosition }: { playbackPosition: number }) =>
          resolve(playbackPosition * 1000),
        );
      });
      output.clearBuffer();
      return finished;
    };
  },
};

async function capture(output: AudioOutput, samples: Int16Array): Promise<void> {
  // Audio beyond ten seconds would wait for the listener; the cut comes before.
  for (let at = 0; at < 8 * RATE; at += FRAME)
    await output.captureFrame(new AudioFrame(samples.slice(at, at + FRAME), RATE, 1, FRAME));
}

import { Broadcast } from "@kixelated/moq";
import { expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { decodeVoiceFrame, EPOCH_SIZE } from "../../container/index.js";
import { VoiceTrack } from "./voice-track.js";

interface Received {
  readonly atMs: number;
  readonly steps: readonly number[];
}

/** Subscribes and collects the steps by group. */
function listen(broadcast: Broadcast.Producer, name: string) {
  const groups = new Map<number, Received[]>();
  const track = broadcast.track(name).subscribe({ latencyMax: 30_000 });
  let isOver = false;
  void (async () => {
    for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
      const received: Received[] = [];
      groups.set(group.sequence, received);
      void (async (from) => {
        for (let frame = await from.readFrame(); frame; frame = await from.readFrame()) {
          const { timestamp, steps } = decodeVoiceFrame(frame.payload);
          received.push({ atMs: timestamp / 1000, steps: [...steps] });
        }
      })(group).catch(() => {});
    }
    isOver = true;
  })();
  return { groups, close: () => track.close(), isOver: () => isOver };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

function open(rewindBy: "group" | "track" = "group") {
  const broadcast = new Broadcast.Producer();
  // The value of each step is its number.
  const voice = new VoiceTrack({ retainMs: 7000, rewindBy, source: { voice: (step) => step % 200 } });
  voice.attach(broadcast);
  return { broadcast, voice };
}

test("a voice track stays silent without subscribers, then writes the playhead's step and all later ones in few frames", async () => {
  const { broadcast, voice } = open();
  voice.offer(false);
  expect(voice.name).toBeUndefined();
  voice.offer(true);
  voice.offer(true);
  expect(voice.name).toBe("voice");
  const pump = (heardMs: number, untilMs: number) => voice.pump({ heard: ms(heardMs), until: ms(untilMs), epoch: 0 });
  pump(0, 1000);
  expect(voice.counters).toEqual({ groups: 0, frames: 0 });

  const ear = listen(broadcast, "voice");
  await settled();
  pump(300, 2309);
  await settled();
  const received = [...ear.groups.values()].flat();
  expect(received[0]?.atMs).toBe(300);
  expect(received.flatMap(({ steps }) => steps)).toEqual(Array.from({ length: 200 }, (_, index) => (30 + index) % 200));
  expect(received.length).toBeLessThan(8);
  // Far ahead of the playhead, a few steps wait for more; near it, fewer do.
  const { frames } = voice.counters;
  for (let untilMs = 2320; untilMs <= 2510; untilMs += 10) pump(300, untilMs);
  expect(voice.counters.frames).toBe(frames + 1);
  for (let untilMs = 2510; untilMs <= 2600; untilMs += 10) pump(2400, untilMs);
  expect(voice.counters.frames).toBe(frames + 3);
  expect(voice.counters.groups).toBe(2);

  // Steps before the playhead are skipped; a pause costs nothing.
  pump(60_000, 60_100);
  await settled();
  expect(ear.groups.get(2)).toEqual([{ atMs: 60_000, steps: Array.from({ length: 10 }, (_, index) => index) }]);
  ear.close();
  await settled();
  const { counters } = voice;
  pump(61_000, 62_000);
  expect(voice.counters).toEqual(counters);
});

test("a rewind of the audio makes the voice track repeat its steps from there, in the audio's epoch", async () => {
  const { broadcast, voice } = open();
  voice.offer(true);
  const ear = listen(broadcast, "voice");
  await settled();
  voice.pump({ heard: ms(0), until: ms(1000), epoch: 0 });
  // Nothing was written beyond this rewind.
  voice.rewind(ms(1500));
  voice.pump({ heard: ms(0), until: ms(1200), epoch: 0 });
  voice.rewind(ms(404.5));
  voice.pump({ heard: ms(0), until: ms(430), epoch: 3 });
  await settled();
  expect([...ear.groups.keys()]).toEqual([0, 3 * EPOCH_SIZE]);
  expect(ear.groups.get(3 * EPOCH_SIZE)).toEqual([{ atMs: 400, steps: [40, 41, 42] }]);
  // A second rewind within a group: the sequence still rises.
  voice.rewind(ms(410));
  voice.pump({ heard: ms(0), until: ms(430), epoch: 3 });
  await settled();
  expect(ear.groups.get(3 * EPOCH_SIZE + 1)).toEqual([{ atMs: 410, steps: [41, 42] }]);
  ear.close();
});

test("a fresh voice track replaces the old one together with the audio's, and none is left without a model", async () => {
  const { broadcast, voice } = open("track");
  voice.offer(true);
  const first = listen(broadcast, "voice");
  await settled();
  voice.pump({ heard: ms(0), until: ms(1000), epoch: 0 });
  voice.rewind(ms(500));
  expect(voice.name).toBe("voice1");
  await expect.poll(first.isOver).toBe(true);
  const second = listen(broadcast, "voice1");
  await settled();
  voice.pump({ heard: ms(300), until: ms(600), epoch: 0 });
  await settled();
  expect([...second.groups.values()].flat()[0]?.atMs).toBe(300);

  voice.offer(false);
  expect(voice.name).toBeUndefined();
  await expect.poll(second.isOver).toBe(true);
  voice.pump({ heard: ms(300), until: ms(900), epoch: 0 });
  // A model returns, then another session begins.
  voice.offer(true);
  expect(voice.name).toBe("voice2");
  const next = new Broadcast.Producer();
  voice.attach(next);
  const third = listen(next, "voice2");
  await settled();
  voice.pump({ heard: ms(300), until: ms(900), epoch: 0 });
  await settled();
  expect([...third.groups.values()].flat()[0]?.atMs).toBe(300);
  voice.close();
  await expect.poll(third.isOver).toBe(true);
  voice.close();
});

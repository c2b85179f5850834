import { expect, test } from "vitest";
import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { Delivery } from "../../container/index.js";
import { type VideoImage, VideoPipeline } from "../video/video-pipeline.js";
import {
  type AudioPacketDecoder,
  AudioPipeline,
  type Decoder,
  type DecoderEvents,
  type DeliverySource,
  type Ticket,
  TicketQueue,
} from "./audio-pipeline.js";
import { PlaybackClock } from "./playback-clock.js";
import { Playout } from "./playout.js";
import { framesAt, QUANTUM_FRAMES } from "./samples.js";

/** Deliveries set by hand, with a consumer's other answers. */
class Script implements DeliverySource {
  queue: Delivery[] = [];
  discontinuity = 0;
  from: Microseconds | undefined;
  holding = false;
  unfinished = false;
  withholds = false;
  afterGap = (_timestamp: Microseconds) => false;

  peek() {
    const next = this.queue[0];
    if (next === undefined) return undefined;
    const { sequence, epoch, frame } = next;
    return { sequence, epoch, timestamp: frame.timestamp, afterGap: this.afterGap(frame.timestamp) };
  }

  read() {
    return this.withholds ? undefined : this.queue.shift();
  }

  add(epoch: number, fromMs: number, count: number, { keyframe = true, stepMs = 20, first = 0 } = {}) {
    for (let index = 0; index < count; index++)
      this.queue.push({
        frame: { timestamp: fromMilliseconds(fromMs + index * stepMs), payload: Uint8Array.of(epoch), keyframe },
        sequence: epoch * 65536 + first + index,
        epoch,
        discontinuity: this.discontinuity,
        from: this.from,
      });
  }

  rewind(fromMs: number) {
    this.queue = [];
    this.discontinuity++;
    this.from = fromMilliseconds(fromMs);
  }
}

/** A decoder that returns its results on demand, including those from before a reset. */
class SlowDecoder<Output> implements Decoder {
  readonly jobs: Ticket[] = [];
  readonly log: string[] = [];
  readonly #events: DecoderEvents<Output>;
  readonly #make: (ticket: Ticket) => Output;

  constructor(events: DecoderEvents<Output>, make: (ticket: Ticket) => Output) {
    this.#events = events;
    this.#make = make;
  }

  get pending() {
    return this.jobs.length;
  }

  decode(_payload: Uint8Array, ticket: Ticket) {
    this.log.push(`decode ${ticket.timestamp / 1000}`);
    this.jobs.push(ticket);
  }

  reset() {
    this.log.push("reset");
  }

  close() {
    this.log.push("close");
  }

  finish(count = this.jobs.length) {
    for (const ticket of this.jobs.splice(0, count)) this.#events.output(this.#make(ticket), ticket);
  }

  fail() {
    this.#events.error(new Error("broken"));
  }
}

class SlowSound extends SlowDecoder<readonly Float32Array[]> implements AudioPacketDecoder {
  framesOf() {
    return 960;
  }

  conceal(frames: number, _next: Uint8Array, ticket: Ticket) {
    this.log.push(`conceal ${ticket.timestamp / 1000} ${frames}`);
  }
}

/** A picture with a name. */
interface NamedPicture extends VideoImage {
  readonly name: string;
}

function audio({ maxPending = 100, horizonMs = 1000, jitterMs = 40 } = {}) {
  const consumer = new Script();
  // No more delay than the pipeline needs for packets before the first frame.
  const output = new Playout({ channels: 1, jitterMs });
  let decoder: SlowSound | undefined;
  const pipeline = new AudioPipeline({
    consumer,
    output,
    maxPending,
    horizonMs,
    openDecoder: (events) => {
      decoder = new SlowSound(events, () => [new Float32Array(960).fill(0.5)]);
      return decoder;
    },
  });
  const play = (milliseconds: number) => {
    const heard: string[] = [];
    const quantum = [new Float32Array(QUANTUM_FRAMES)];
    for (let frames = 0; frames < milliseconds * 48; frames += QUANTUM_FRAMES)
      for (const run of output.pull(quantum)) heard.push(`${run.epoch}`);
    return [...new Set(heard)].join(",");
  };
  return { consumer, output, decoder: decoder!, pipeline, play };
}

test("a packet that comes over a second too late is not decoded, and counted", () => {
  const { consumer, output, decoder, pipeline, play } = audio();
  consumer.add(0, 0, 100);
  for (let ms = 0; ms < 2000; ms += 20) {
    pipeline.pump();
    decoder.finish();
    play(20);
  }
  consumer.add(0, 100, 3);
  consumer.add(0, 2000, 1, { first: 100 });
  pipeline.pump();
  expect(pipeline.counters).toMatchObject({ decoded: 101, late: 3 });
  expect(output.counters.lateMs).toBe(0);
});

test.each([
  ["begins at once in mid-speech", 5, 40],
  ["waits for one jitter delay at the first group of a timeline", 0, 0],
])("a listener that joins while audio is sent ahead %s", (_, first, playedMs) => {
  const { consumer, output, decoder, pipeline, play } = audio({ jitterMs: 80 });
  output.setPublisher({ marksPauses: true, aheadMs: 2000 });
  consumer.add(0, first * 20, 20, { first });
  pipeline.pump();
  for (let group = 0; group < 20; group++) output.landed(fromMilliseconds((first + group) * 20));
  pipeline.pump();
  decoder.finish();
  play(40);
  expect(Math.round(output.counters.playedMs / 20) * 20).toBe(playedMs);
});

test("decoder outputs in flight during a rewind are never heard", () => {
  const { consumer, output, decoder, pipeline, play } = audio();
  consumer.add(0, 0, 10);
  pipeline.pump();
  expect(decoder.pending).toBe(10);
  consumer.rewind(0);
  consumer.add(1, 0, 10);
  pipeline.pump();
  decoder.finish();
  expect(play(250)).toBe("1");
  expect(pipeline.counters).toEqual({ decoded: 20, concealed: 0, stale: 10, late: 0, errors: 0 });
  expect(pipeline.generation).toBe(1);
  expect(decoder.log.filter((line) => line === "reset")).toHaveLength(1);
  expect(output.counters.staleMs).toBe(0);
});

test("a rewind wakes a pipeline that waits for the playhead", () => {
  const { consumer, output, decoder, pipeline, play } = audio({ horizonMs: 100 });
  consumer.add(0, 0, 100);
  pipeline.pump();
  decoder.finish();
  expect(consumer.queue.length).toBeGreaterThan(90);
  play(60);
  pipeline.pump();
  decoder.finish();
  const before = consumer.queue.length;
  pipeline.pump();
  expect(consumer.queue).toHaveLength(before);
  consumer.rewind(40);
  pipeline.pump();
  expect(output.bufferedMs).toBeLessThan(40);
  consumer.add(1, 40, 5);
  pipeline.pump();
  decoder.finish();
  expect(play(200)).toBe("0,1");
});

test("a full decoder holds packets back until it delivers", () => {
  const { consumer, decoder, pipeline } = audio({ maxPending: 3 });
  consumer.add(0, 0, 10);
  pipeline.pump();
  expect(decoder.pending).toBe(3);
  decoder.finish(1);
  expect(decoder.pending).toBe(3);
  expect(consumer.queue).toHaveLength(6);
});

test("a short gap is concealed where groups are missing; a long one, a pause and a new epoch are not", () => {
  const { consumer, decoder, pipeline } = audio();
  consumer.add(0, 0, 1);
  consumer.add(0, 60, 1, { first: 3 });
  consumer.add(0, 120, 1, { first: 4 });
  consumer.add(0, 500, 1, { first: 23 });
  consumer.add(1, 540, 1);
  pipeline.pump();
  expect(decoder.log).toEqual([
    "decode 0",
    `conceal 20 ${framesAt(fromMilliseconds(40))}`,
    "decode 60",
    "decode 120",
    "decode 500",
    "reset",
    "decode 540",
  ]);
});

test("a listener reports a rewind of which it had received nothing, and none where numbers only continue", () => {
  const { consumer, decoder, pipeline, output, play } = audio();
  consumer.add(0, 0, 5);
  pipeline.pump();
  decoder.finish();
  play(120);
  // The publisher rewinds to 90 ms: its last packet sent begins before that.
  consumer.add(1, 90, 1);
  pipeline.pump();
  decoder.finish();
  expect(pipeline.generation).toBe(1);
  expect(output.applied).toMatchObject({ discontinuity: 1, from: 90_000, heardUntil: 90_000 });
  consumer.add(0, 200, 2, { first: 2 * 65_536 - 1 });
  consumer.queue = consumer.queue.map((each) => ({ ...each, epoch: Math.floor(each.sequence / 65_536) }));
  pipeline.pump();
  expect(pipeline.generation).toBe(1);
});

test("an epoch that begins within the only frame before it cuts that frame while it waits for groups between", () => {
  const { consumer, output, decoder, pipeline } = audio();
  consumer.add(0, 985, 1);
  pipeline.pump();
  consumer.withholds = true;
  consumer.add(1, 1000, 5);
  const quantum = [new Float32Array(QUANTUM_FRAMES)];
  let played = 0;
  for (let pulled = 0; pulled < 4800; pulled += QUANTUM_FRAMES) {
    pipeline.pump();
    decoder.finish();
    for (const { epoch, frames } of output.pull(quantum)) played += epoch === 0 ? frames : 0;
  }
  expect(played).toBe(720);
  expect(pipeline.generation).toBe(1);
  consumer.withholds = false;
  pipeline.pump();
  expect(pipeline.generation).toBe(1);
});

test("an epoch whose groups are used up goes on in the next one, without a rewind or a decoder that starts afresh", () => {
  const { consumer, decoder, output, pipeline, play } = audio();
  consumer.add(0, 0, 6, { first: 65_530 });
  consumer.add(1, 120, 6);
  pipeline.pump();
  decoder.finish();
  expect(play(400)).toBe("0,1");
  expect(pipeline.generation).toBe(0);
  expect(output.applied).toBeUndefined();
  expect(decoder.log).not.toContain("reset");

  // Nor while the last group of its numbers is still missing.
  const late = audio();
  late.consumer.add(0, 0, 5, { first: 65_530 });
  late.pipeline.pump();
  late.consumer.withholds = true;
  late.consumer.add(1, 120, 5);
  late.pipeline.pump();
  expect(late.pipeline.generation).toBe(0);
});

test("audio that a rewind keeps is decoded, clipped at the cut, and the decoder restarts only behind it", () => {
  const { consumer, decoder, pipeline, output, play } = audio();
  consumer.add(0, 0, 5);
  pipeline.pump();
  // Three packets are still to come when the rewind is known; it makes one of them, and half of another, stale.
  decoder.finish(2);
  consumer.rewind(70);
  consumer.add(1, 70, 5);
  pipeline.pump();
  expect(decoder.log.slice(-6)).toEqual(["reset", "decode 70", "decode 90", "decode 110", "decode 130", "decode 150"]);
  decoder.finish();
  expect(output.bufferedMs).toBe(170);
  expect(pipeline.counters).toMatchObject({ stale: 1, decoded: 10 });
  expect(play(300)).toBe("0,1");
  expect(output.counters).toMatchObject({ staleMs: 0, playedMs: 170 });
});

test("the playhead stands still while it is unknown how far back a rewind goes", () => {
  const { consumer, decoder, pipeline, output, play } = audio();
  consumer.add(0, 0, 20);
  pipeline.pump();
  decoder.finish();
  play(200);
  const { playhead } = output;
  consumer.holding = true;
  pipeline.pump();
  expect(play(100)).toBe("");
  expect(output.playhead).toBe(playhead);
  consumer.holding = false;
  pipeline.pump();
  expect(play(100)).toBe("0");
});

test("a missing packet may come until the next one is due, and a pause is not a gap", () => {
  const { consumer, decoder, pipeline, play } = audio();
  consumer.add(0, 0, 3);
  consumer.add(0, 400, 5);
  // The pipeline waits for the fourth packet, the consumer does not.
  consumer.afterGap = (timestamp) => timestamp === 400_000;
  pipeline.pump();
  decoder.finish();
  expect(consumer.queue).toHaveLength(5);
  play(300);
  pipeline.pump();
  expect(consumer.queue).toHaveLength(5);
  for (let step = 0; step < 20; step++) {
    play(10);
    pipeline.pump();
    decoder.finish();
  }
  expect(consumer.queue).toHaveLength(0);
  consumer.add(0, 5000, 1);
  play(300);
  pipeline.pump();
  expect(consumer.queue).toHaveLength(0);
});

test("playback waits up to a second for the rest of an open group instead of losing it behind the next one", () => {
  const { consumer, decoder, pipeline, output, play } = audio();
  consumer.add(0, 0, 3);
  consumer.add(0, 100, 5);
  consumer.afterGap = (timestamp) => timestamp === 100_000;
  consumer.unfinished = true;
  const run = (ms: number) => {
    for (let at = 0; at < ms; at += 10) {
      pipeline.pump();
      decoder.finish();
      play(10);
    }
  };
  run(600);
  expect(consumer.queue).toHaveLength(5);
  expect(output.playhead).toBeLessThanOrEqual(60_000);
  // The rest comes, and nothing is missing.
  consumer.add(0, 60, 2);
  consumer.queue.unshift(...consumer.queue.splice(5));
  consumer.unfinished = false;
  consumer.afterGap = () => false;
  run(300);
  expect(decoder.log.filter((line) => line.startsWith("decode")).map((line) => Number(line.slice(7)))).toEqual([
    0, 20, 40, 60, 80, 100, 120, 140, 160, 180,
  ]);
  // A group that never ends delays no more than that.
  consumer.add(0, 300, 1);
  consumer.afterGap = (timestamp) => timestamp === 300_000;
  consumer.unfinished = true;
  run(500);
  expect(consumer.queue).toHaveLength(1);
  run(900);
  expect(consumer.queue).toHaveLength(0);
});

test("the first packet is not decoded until it is nearly due, because an earlier one may still come", () => {
  const { consumer, decoder, pipeline, play } = audio({ jitterMs: 80 });
  consumer.add(0, 20, 3);
  pipeline.pump();
  play(30);
  pipeline.pump();
  expect(decoder.log).toEqual([]);
  consumer.add(0, 0, 1);
  consumer.queue.unshift(...consumer.queue.splice(3));
  pipeline.pump();
  // It shows that packets may arrive out of order, until the first one received is nearly due.
  expect(decoder.log).toEqual([]);
  play(10);
  pipeline.pump();
  expect(decoder.log).toEqual(["decode 0", "decode 20", "decode 40", "decode 60"]);
});

test("another consumer takes over from its first frame on", () => {
  const { consumer, decoder, pipeline, output, play } = audio();
  consumer.add(0, 0, 50);
  pipeline.pump();
  decoder.finish();
  play(200);
  const next = new Script();
  pipeline.follow(next);
  expect(play(40)).toBe("0");
  next.add(0, 1000, 5);
  next.queue = next.queue.map((delivery) => ({ ...delivery, epoch: 7 }));
  pipeline.pump();
  decoder.finish();
  expect(pipeline.generation).toBe(1);
  expect(output.applied).toEqual({ discontinuity: 1, from: 1_000_000, heardUntil: 1_000_000 });
  expect(play(1000)).toBe("0,7");
});

test("a lowered rewind point cuts more but counts as the same rewind", () => {
  const { consumer, decoder, pipeline, output } = audio();
  consumer.add(0, 0, 20);
  pipeline.pump();
  decoder.finish();
  consumer.rewind(300);
  pipeline.pump();
  expect(output.bufferedMs).toBe(300);
  consumer.from = fromMilliseconds(200);
  pipeline.pump();
  expect(output.bufferedMs).toBe(200);
  expect(pipeline.generation).toBe(1);
});

test("a queue of tickets gives every output its own, also when packets yield nothing", () => {
  const queue = new TicketQueue(3);
  const ticket = (timestamp: number) => ({
    timestamp: timestamp as Microseconds,
    sequence: 0,
    epoch: 0,
    generation: 0,
  });
  for (const timestamp of [1, 2, 3, 4]) queue.push(ticket(timestamp));
  expect(queue.take(1)).toBeUndefined();
  expect(queue.take(3)).toEqual(ticket(3));
  expect(queue.take(2)).toBeUndefined();
  expect(queue.size).toBe(1);
});

test("video drops stale frames, waits for a keyframe and keeps the last picture meanwhile", () => {
  const consumer = new Script();
  const clock = new PlaybackClock({ jitterMs: 40 });
  const open = new Set<string>();
  let decoder: SlowDecoder<NamedPicture> | undefined;
  const pipeline = new VideoPipeline<NamedPicture>({
    consumer,
    clock,
    master: true,
    openDecoder: (events) => {
      decoder = new SlowDecoder<NamedPicture>(events, ({ epoch, timestamp }) => {
        const name = `${epoch}@${timestamp / 1000}`;
        open.add(name);
        return { name, close: () => open.delete(name) };
      });
      return decoder;
    },
  });
  const show = (milliseconds: number) => {
    clock.advance(milliseconds * 48);
    return pipeline.present()?.name;
  };
  consumer.add(0, 0, 1);
  consumer.add(0, 40, 9, { keyframe: false, stepMs: 40 });
  pipeline.pump();
  expect(decoder!.pending).toBe(8);
  decoder!.finish(6);
  expect(show(0)).toBeUndefined();
  expect(show(40)).toBe("0@0");
  expect(show(85)).toBe("0@80");
  expect(pipeline.counters).toMatchObject({ shown: 2, late: 1 });

  consumer.rewind(60);
  consumer.add(1, 60, 2, { keyframe: false, stepMs: 40 });
  pipeline.pump();
  expect(decoder!.log.at(-1)).toBe("reset");
  decoder!.finish();
  expect(show(0)).toBe("0@80");
  expect([...open]).toEqual(["0@80"]);
  expect(pipeline.counters).toMatchObject({ undecodable: 2 });

  consumer.add(1, 60, 3, { stepMs: 40 });
  pipeline.pump();
  decoder!.finish();
  expect(show(20)).toBe("0@80");
  expect(show(25)).toBe("1@60");
  expect(show(40)).toBe("1@100");
  decoder!.fail();
  expect(decoder!.log.at(-1)).toBe("reset");
  pipeline.close();
  expect([...open]).toEqual([]);
});

test("of pictures stamped within a millisecond only the last is shown, once it is known to be the last", () => {
  const consumer = new Script();
  const clock = new PlaybackClock({ jitterMs: 40, adaptive: false });
  let now = 0;
  let decoder: SlowDecoder<NamedPicture> | undefined;
  const pipeline = new VideoPipeline<NamedPicture>({
    consumer,
    clock,
    master: true,
    now: () => fromMilliseconds(now),
    openDecoder: (events) => {
      decoder = new SlowDecoder<NamedPicture>(events, ({ epoch, timestamp }) => {
        return { name: `${epoch}@${timestamp / 1000}`, close: () => {} };
      });
      return decoder;
    },
  });
  const feed = (...added: Parameters<Script["add"]>) => {
    consumer.add(...added);
    pipeline.pump();
    decoder?.finish();
  };
  const show = (milliseconds: number) => {
    now += milliseconds;
    clock.advance(milliseconds * 48);
    return pipeline.present()?.name;
  };
  feed(0, 0, 1);
  feed(0, 40, 3, { keyframe: false, stepMs: 40 });
  expect(show(45)).toBe("0@0");
  expect(show(40)).toBe("0@40");

  // A rewind between two keyframes, whose frames trickle in when they are already due.
  consumer.rewind(50);
  pipeline.pump();
  feed(1, 50, 1);
  expect(show(60)).toBe("0@40");
  feed(1, 50.001, 2, { keyframe: false, stepMs: 0.001 });
  expect(show(60)).toBe("0@40");
  feed(1, 50.003, 1, { keyframe: false });
  expect(show(60)).toBe("0@40");
  // No more frames come: the last of them stands.
  expect(show(50)).toBe("1@50.003");
  expect(pipeline.counters).toMatchObject({ shown: 3, hidden: 3, late: 0 });

  // With another frame there, it does not wait.
  consumer.rewind(90);
  pipeline.pump();
  feed(2, 90, 1);
  feed(2, 90.001, 1, { keyframe: false });
  feed(2, 130, 1, { keyframe: false });
  expect(show(45)).toBe("2@90.001");
  expect(show(40)).toBe("2@130");

  // Where the decoder fails on the way, the last picture before that stands.
  consumer.rewind(140);
  pipeline.pump();
  feed(3, 140, 1);
  feed(3, 140.001, 1, { keyframe: false });
  decoder!.fail();
  feed(3, 140.002, 2, { keyframe: false, stepMs: 0.001 });
  expect(show(200)).toBe("3@140.001");
  expect(pipeline.counters).toMatchObject({ undecodable: 2, errors: 1 });
  pipeline.close();
});

import { type Microseconds, microseconds } from "../../base/index.js";
import { RewindConsumer } from "../../container/consumer.js";
import type { AudioRendition } from "../../container/index.js";
import { AudioPipeline } from "../../watch/audio/audio-pipeline.js";
import { audioDecoder, browserDecoders } from "../../watch/decoders/web-codecs.js";

/** A packet as the page is given it; bytes as numbers, because it is sent as JSON. */
export interface PagePacket {
  readonly sequence: number;
  readonly timestamp: number;
  readonly payload: readonly number[];
}

/** Samples as base64 of their bytes: as numbers of JSON they would take seconds on their way. */
function base64(samples: Float32Array): Promise<string> {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^.*,/, ""));
    reader.readAsDataURL(new Blob([samples as Float32Array<ArrayBuffer>]));
  });
}

/** Decodes packets with the browser's pipeline and decoder; resolves with what is heard, by place on the timeline. */
async function decode(packets: readonly PagePacket[], seconds: number): Promise<string> {
  const heard = new Float32Array(seconds * 48_000);
  const position = (time: number) => Math.round((time * 48) / 1000);
  const consumer = new RewindConsumer({ clock: () => microseconds(0), maxSpanUs: microseconds(60_000_000) });
  const openDecoder = audioDecoder({ codec: "opus", sampleRate: 48_000, numberOfChannels: 1 });
  let pending = () => 0;
  const pipeline = new AudioPipeline({
    consumer,
    openDecoder: (events) => {
      const decoder = openDecoder(events);
      pending = () => decoder.pending;
      return decoder;
    },
    output: {
      playhead: undefined,
      arrive: () => microseconds(0),
      write: (timestamp: Microseconds, [samples]: readonly Float32Array[]) => {
        heard.set(samples!, position(timestamp));
        return samples!.length;
      },
      rewind: ({ from }: { from: Microseconds }) => heard.fill(0, position(from)),
    },
  });
  for (const { sequence, timestamp, payload } of packets) {
    const frame = { timestamp: microseconds(timestamp), payload: Uint8Array.from(payload), keyframe: true };
    consumer.receive(sequence, frame);
    consumer.finish(sequence);
    pipeline.pump();
    // The decoder works beside the page.
    while (pending() > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  if (pipeline.counters.errors > 0) throw new Error(`${pipeline.counters.errors} packets could not be decoded.`);
  pipeline.close();
  return base64(heard);
}

/** Whether a listener in this page would choose each of these renditions. */
function canDecode(renditions: readonly AudioRendition[]): Promise<boolean[]> {
  return Promise.all(renditions.map((rendition) => browserDecoders.canDecode(rendition)));
}

Object.assign(globalThis, { canDecode, decode });

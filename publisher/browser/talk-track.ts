import { Broadcast, Path, Time } from "@kixelated/moq";
import { background, broadcastPath, microseconds } from "../../base/index.js";
import { encodeCatalog, encodeLegacyFrame, rewindField, Timeline } from "../../container/index.js";
import type { BrowserSession } from "../../transport/browser-sessions.js";
import { FrameTrackWriter } from "../../transport/moq.js";
import { GroupWriter } from "../send/group-writer.js";
import { NameClaim } from "../send/name-claim.js";
import { SAMPLE_RATE } from "../source/resample.js";
import { type EncodedPacket, PACKET_MS, type PacketEncoder } from "./packet-encoder.js";

const TRACK = "audio";
/** How long a relay should keep a packet: speech that is older comes too late for any listener. */
const RETAIN_MS = 2000;
const CATALOG = { name: "catalog.json", priority: 100, retainMs: 10 * 365 * 24 * 3600 * 1000 };

interface Live {
  readonly broadcast: Broadcast.Producer;
  readonly audio: GroupWriter;
  readonly used: () => boolean;
}

/** A microphone's broadcast. It outlives sessions: each gets a producer of its own, and the timeline goes on. */
export class TalkTrack {
  readonly #path: Path.Valid;
  readonly #catalog: Uint8Array;
  readonly #timeline = new Timeline();
  #live: Live | undefined;
  #isDisplaced = false;

  constructor(name: string, { codec, bitrate }: PacketEncoder) {
    this.#path = Path.from(broadcastPath(name));
    const rendition = { codec, container: { kind: "legacy" as const }, sampleRate: SAMPLE_RATE, numberOfChannels: 1 };
    this.#catalog = encodeCatalog({
      audio: { renditions: { [TRACK]: { ...rendition, bitrate, jitter: PACKET_MS } } },
      unsay: { ...rewindField("group"), mode: "live", run: crypto.randomUUID() },
    });
  }

  /** Whether a listener, or the relay for one, takes the audio. */
  get used(): boolean {
    return this.#live?.used() ?? false;
  }

  /** Whether another publisher has the broadcast's name, so that listeners hear that one. */
  get displaced(): boolean {
    return this.#isDisplaced;
  }

  /** Publishes on a session until it ends. */
  async serve({ connection, closed }: BrowserSession): Promise<void> {
    const broadcast = new Broadcast.Producer();
    new FrameTrackWriter(broadcast, CATALOG).write(this.#catalog);
    background("publisher.talk.requests", refuseUnknown(broadcast));
    const track = broadcast.createTrack(TRACK, {
      timescale: Time.Timescale.MICRO,
      latencyMax: RETAIN_MS,
      priority: 50,
    });
    const used = (): boolean => track.closed.peek() === undefined && track.used.peek();
    this.#live = { broadcast, audio: new GroupWriter(track), used };
    connection.publish(this.#path, broadcast);
    const push = ({ displaced }: { readonly displaced: boolean }): void => {
      this.#isDisplaced = displaced;
    };
    const claim = new NameClaim({ connection, path: this.#path, events: { push } });
    try {
      await closed;
    } finally {
      claim.close();
      this.#isDisplaced = false;
      this.close();
    }
  }

  /** Sends a packet; nothing without a listener. */
  send({ timestamp, payload }: EncodedPacket): void {
    const { sequence } = this.#timeline.next(timestamp, microseconds(PACKET_MS * 1000));
    if (!this.used) return;
    this.#live?.audio.write(
      {
        sequence,
        timestamp,
        body: payload,
        low: undefined,
        twice: false,
        opensGroup: true,
        endsGroup: true,
      },
      encodeLegacyFrame({ timestamp, payload }),
    );
  }

  /** Ends the broadcast on the session there is. */
  close(): void {
    this.#live?.broadcast.close();
    this.#live = undefined;
  }
}

// An unanswered request for a track would wait, and hold memory, until the session ends.
async function refuseUnknown(broadcast: Broadcast.Producer): Promise<void> {
  for (let request = await broadcast.requested(); request; request = await broadcast.requested())
    request.reject(new Error("There is no such track."));
}

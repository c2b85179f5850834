import "../../base/polyfills.js";
import { microseconds } from "../../base/index.js";
import { Publisher } from "../../publisher/index.js";
import { impair } from "../../tests/support/impairment.js";
import { Listener } from "../../watch/index.js";
import { FlushWatch, heardAfterInterrupt } from "../silence/record.js";
import { shared } from "../support/clock.js";
import { serve } from "../support/remote.js";
import { ClearingPlayer } from "./clearing-player.js";
import type { CallerCalls, CallerPlace } from "./far-end.js";
import { Mouth } from "./mouth.js";
import { tcpLink } from "./tcp-link.js";

/** Pulls this often, so that the record times each sample to within this. */
const PULL_MS = 2;
/** How long to wait for the broadcast. */
const TIMEOUT_MS = 60_000;

/** The caller's side of a call. */
class CallerSide {
  readonly mouth = new Mouth();
  readonly listener: Listener;
  readonly #microphone: Publisher;
  readonly #closers: (() => unknown)[];
  readonly #player: ClearingPlayer;
  #flush: FlushWatch | undefined;

  static async open(place: CallerPlace): Promise<CallerSide> {
    const { port, link, seed, socketPort } = place;
    const udp = await impair({ target: { host: "127.0.0.1", port }, up: link, down: link, seed });
    const tcp = await tcpLink(socketPort, link, seed);
    return new CallerSide(place, udp, tcp);
  }

  private constructor(
    { agent, caller, certificateHash }: CallerPlace,
    udp: { readonly port: number; close(): unknown },
    tcp: { readonly port: number; close(): unknown },
  ) {
    const url = `https://127.0.0.1:${udp.port}`;
    const connect = { backends: ["quic"] as const, certificateHashes: [Buffer.from(certificateHash, "hex")] };
    this.listener = new Listener({ url, broadcast: agent, pullIntervalMs: PULL_MS, timeoutMs: TIMEOUT_MS, connect });
    this.#microphone = new Publisher({ url, broadcast: caller, mode: "live", source: this.mouth, connect });
    this.#player = new ClearingPlayer(tcp.port);
    this.#closers = [
      () => this.listener.close(),
      () => this.#microphone.close(),
      () => this.#player.close(),
      () => udp.close(),
      () => tcp.close(),
    ];
  }

  arm(): void {
    this.#flush?.stop();
    this.#flush = new FlushWatch(this.listener);
  }

  outcome({ calledAt, epoch }: { readonly calledAt: number; readonly epoch: number }) {
    const flush = this.#flush?.first;
    if (flush === undefined) return undefined;
    const heard = heardAfterInterrupt(this.listener.record, {
      calledAt: microseconds(shared(calledAt, true)),
      flush,
      epoch,
      reply: microseconds(Number.MAX_SAFE_INTEGER),
    });
    return {
      rewoundAt: shared(flush.at),
      silentAt: heard.silentAt && shared(heard.silentAt),
      heardUntil: heard.heardUntil,
      staleMs: heard.staleMs,
      control: this.#player.cleared(),
    };
  }

  async close(): Promise<void> {
    for (const close of this.#closers) await close();
  }
}

let side: CallerSide | undefined;

function find(): CallerSide {
  if (side === undefined) throw new Error("There is no call.");
  return side;
}

serve<CallerCalls>({
  async open(place) {
    side = await CallerSide.open(place);
  },
  plays: () => find().listener.stats().playing,
  speak: (word) => find().mouth.speak(word),
  arm: () => find().arm(),
  outcome: (asked) => find().outcome(asked),
  async close() {
    await side?.close();
    side = undefined;
  },
});

import "../../../base/polyfills.js";
import { Listener } from "../../../watch/index.js";
import { serve } from "../../support/remote.js";

/** The audio of a listener so far. */
export interface Heard {
  readonly playing: boolean;
  readonly playedMs: number;
  readonly playheadUs: number;
  /** Longest stretch without a played sample since it was asked last, in milliseconds. */
  readonly longestGapMs: number;
  readonly underruns: number;
  readonly staleMs: number;
  readonly sessions: number;
}

/** Calls to a healthy listener's process. */
export interface ListenerCalls {
  open(options: { readonly url: string; readonly carrier: "quic" | "qmux" }): void;
  heard(): Heard;
}

const LOOK_MS = 10;
let listener: Listener | undefined;
let played = 0;
let lookedAt = 0;
let silent = 0;
let longest = 0;

function look(): void {
  const { playedMs } = listener!.stats();
  const now = performance.now();
  // While this process itself stood still, its speaker could play nothing: that is the machine's doing.
  silent += Math.min(now - lookedAt, 2 * LOOK_MS);
  lookedAt = now;
  if (played > 0) longest = Math.max(longest, silent);
  if (playedMs === played) return;
  played = playedMs;
  silent = 0;
}

serve<ListenerCalls>({
  open({ url, carrier }) {
    listener = new Listener({ url, broadcast: "healthy", timeoutMs: 60_000, connect: { backends: [carrier] } });
    void listener.closed.then((error) => error && process.exit(1));
    setInterval(look, LOOK_MS);
  },
  heard() {
    if (listener === undefined) throw new Error("The listener has not been opened.");
    const { playing, playedMs, playheadUs, underruns, staleMs, sessions } = listener.stats();
    const longestGapMs = longest;
    longest = 0;
    return { playing, playedMs, playheadUs: playheadUs ?? 0, longestGapMs, underruns, staleMs, sessions };
  },
});

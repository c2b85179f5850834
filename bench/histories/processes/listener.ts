import "../../../base/polyfills.js";
import { openSync, writeSync } from "node:fs";
import { Listener, type ListenerStats, type PlayedRun } from "../../../watch/index.js";
import { sharedClock } from "../../support/clock.js";
import { serve } from "../../support/remote.js";
import { ClockJump } from "../clock-jump.js";
import { type HealthCalls, watchHealth } from "../health.js";
import type { Carrier } from "../history.js";

/** State of a listener at a moment of the shared clock, in microseconds. */
export interface Claim {
  readonly at: number;
  readonly playing: boolean;
  readonly state: string;
  readonly underruns: number;
}

/** With what a reader of a kept history wants to see. */
export interface KeptClaim extends Claim {
  readonly details: Pick<ListenerStats, "playheadUs" | "bufferMs" | "leadMs" | "group" | "jumps">;
}

/** A rewind as the speaker's record shows it. */
export interface Flush {
  readonly at: number;
  /** Media time up to which the old timeline was played. */
  readonly playedUntilUs: number;
}

/** Calls to a listener's process. */
export interface ListenerCalls extends HealthCalls {
  /**
   * Starts the listener. It appends what it plays to `recording` (16-bit samples, 48 kHz, mono) and, for each turn of
   * its speaker, the shared clock and the samples written so far to `recording` + `.index` (two 64-bit floats).
   */
  open(options: { readonly url: string; readonly carrier: Carrier; readonly recording: string }): void;
  stats(): ListenerStats;
  /** Its states, every 100 ms. */
  claims(): KeptClaim[];
  /** The rewinds it applied. */
  flushes(): Flush[];
  /** The audio that its speaker pulled. */
  record(): readonly Readonly<PlayedRun>[];
  /** Moves the system clock of this process. */
  jump(milliseconds: number): void;
}

const CLAIM_EVERY_MS = 100;
const clock = new ClockJump();
const claims: KeptClaim[] = [];
const flushes: Flush[] = [];
let listener: Listener | undefined;

function open(): Listener {
  if (listener === undefined) throw new Error("The listener has not been opened.");
  return listener;
}

/** Writes at once: a process that is killed leaves all it has played. */
class FileSink {
  readonly #samples: number;
  readonly #index: number;
  #written = 0;

  constructor(path: string) {
    this.#samples = openSync(path, "a");
    this.#index = openSync(`${path}.index`, "a");
  }

  write([samples]: readonly Float32Array[]): void {
    const bytes = Int16Array.from(samples!, (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32_767));
    writeSync(this.#samples, bytes);
    this.#written += bytes.length;
    writeSync(this.#index, Float64Array.of(sharedClock(), this.#written));
  }

  async close(): Promise<void> {}
}

/** Media time at which the timeline that was just flushed ended for the ear, by the speaker's record. */
function playedUntil(record: Listener["record"]): number {
  const last = record.findLast(({ timestamp }) => timestamp !== undefined);
  return last === undefined ? 0 : last.timestamp! + (last.frames * 1e6) / 48_000;
}

serve<ListenerCalls>({
  open({ url, carrier, recording }) {
    listener = new Listener({
      url,
      broadcast: "history",
      timeoutMs: 600_000,
      sink: new FileSink(recording),
      ...(carrier !== "any" && { connect: { backends: [carrier] } }),
    });
    listener.closed.catch(() => {});
    listener.on("rewind", () => flushes.push({ at: sharedClock(), playedUntilUs: playedUntil(open().record) }));
    setInterval(() => {
      const { playing, state, underruns, playheadUs, bufferMs, leadMs, group, jumps } = open().stats();
      const details = { playheadUs, bufferMs, leadMs, group, jumps };
      claims.push({ at: sharedClock(), playing, state, underruns, details });
    }, CLAIM_EVERY_MS);
  },
  stats: () => open().stats(),
  health: watchHealth(() => listener?.stats() ?? {}),
  claims: () => claims,
  flushes: () => flushes,
  record: () => open().record,
  jump: (milliseconds) => clock.by(milliseconds),
});

/** What one line of the live meter shows. */
export interface MeterReading {
  readonly playing: boolean;
  /** Media time being heard now, in microseconds; undefined before the first sound. */
  readonly playheadUs: number | undefined;
  readonly bufferMs: number;
  readonly group: number | undefined;
  readonly discontinuities: number;
  readonly underruns: number;
  /** How long before its turn the newest packet was there, in milliseconds. */
  readonly leadMs: number | undefined;
  /** What the relay tells of the delivery; undefined while it tells nothing. */
  readonly relay:
    | {
        readonly stalenessMs: number;
        readonly inFlightBytes: number;
        readonly skips: Readonly<Record<string, number>>;
      }
    | undefined;
  /** Level of the last moment in decibels below full scale. */
  readonly levelDb: number;
  /** Chance from 0 to 1 that somebody speaks; undefined where the publisher does not tell. */
  readonly voice: number | undefined;
}

const barWidth = 16;
const quietestDb = -60;

/** A level as a bar from -60 dB to full scale. */
export function levelBar(level: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, 1 - level / quietestDb)) * barWidth);
  return "█".repeat(filled) + "░".repeat(barWidth - filled);
}

function clockTime(us: number): string {
  const tenths = Math.max(0, Math.floor(us / 1e5));
  const minutes = Math.floor(tenths / 600);
  return `${String(minutes).padStart(2, "0")}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}

function deliveryParts(relay: MeterReading["relay"]): string[] {
  if (relay === undefined) return [];
  return [
    `staleness ${relay.stalenessMs.toFixed(0)} ms`,
    `in flight ${relay.inFlightBytes} B`,
    `skips ${skipsText(relay.skips)}`,
  ];
}

function percent(share: number | undefined): string {
  return share === undefined ? "-" : `${(100 * share).toFixed(0)} %`;
}

/** Skips by reason, those that there were: `3 window, 1 passed`. */
export function skipsText(skips: Readonly<Record<string, number>>): string {
  const some = Object.entries(skips).filter(([, count]) => count > 0);
  return some.length === 0 ? "0" : some.map(([reason, count]) => `${count} ${reason}`).join(", ");
}

/** One line of the live meter. */
export function meterLine(reading: MeterReading): string {
  const state = reading.playing ? "▶" : "⏸";
  const position = reading.playheadUs === undefined ? "--:--.-" : clockTime(reading.playheadUs);
  return [
    `${state} ${position}`,
    `${levelBar(reading.levelDb)} ${reading.levelDb.toFixed(0).padStart(4)} dB`,
    `voice ${percent(reading.voice).padStart(5)}`,
    `buffer ${reading.bufferMs.toFixed(0).padStart(5)} ms`,
    `group ${reading.group ?? "-"}`,
    `discontinuities ${reading.discontinuities}`,
    `underruns ${reading.underruns}`,
    `lead ${reading.leadMs === undefined ? "-" : reading.leadMs.toFixed(0)} ms`,
    ...deliveryParts(reading.relay),
  ].join("  ");
}

/** Shows a reading ten times a second: in place on a terminal, as a line a second elsewhere. */
export class Meter {
  readonly #timer: NodeJS.Timeout;
  readonly #stream: NodeJS.WriteStream;

  constructor({ read, stream }: { readonly read: () => MeterReading; readonly stream: NodeJS.WriteStream }) {
    this.#stream = stream;
    const interactive = stream.isTTY === true;
    this.#timer = setInterval(
      () => {
        const line = meterLine(read());
        stream.write(interactive ? `\r\u001b[K${line.slice(0, Math.max(20, stream.columns - 1))}` : `${line}\n`);
      },
      interactive ? 100 : 1000,
    );
    this.#timer.unref();
  }

  /** Stops and leaves the cursor on a fresh line; idempotent. */
  close(): void {
    clearInterval(this.#timer);
    if (this.#stream.isTTY) this.#stream.write("\n");
  }
}

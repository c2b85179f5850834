import type { StatusLine } from "./status-line.js";

/** Content of one line of the live meter. */
export interface MeterReading {
  readonly playing: boolean;
  /** Media time that is audible now, in microseconds; undefined before the first audio. */
  readonly playheadUs: number | undefined;
  readonly bufferMs: number;
  readonly group: number | undefined;
  readonly discontinuities: number;
  readonly underruns: number;
  /** Lead of the newest packet over its due time, in milliseconds. */
  readonly leadMs: number | undefined;
  /** The relay's report on the delivery; undefined before the first one. */
  readonly relay:
    | {
        readonly stalenessMs: number;
        readonly inFlightBytes: number;
        readonly skips: Readonly<Record<string, number>>;
      }
    | undefined;
  /** Current level in dBFS. */
  readonly levelDb: number;
  /** Probability of a voice, 0 to 1; undefined where the publisher reports none. */
  readonly voice: number | undefined;
}

const barWidth = 16;
const quietestDb = -60;

/** A level as a bar from -60 dB to full scale. */
function levelBar(level: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, 1 - level / quietestDb)) * barWidth);
  return "█".repeat(filled) + "░".repeat(barWidth - filled);
}

function clockTime(us: number): string {
  const tenths = Math.max(0, Math.floor(us / 1e5));
  const minutes = Math.floor(tenths / 600);
  return `${String(minutes).padStart(2, "0")}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}

function percent(share: number | undefined): string {
  return share === undefined ? "-" : `${(100 * share).toFixed(0)} %`;
}

/** Skips by reason, without zeros: `3 window, 1 passed`. */
export function skipsText(skips: Readonly<Record<string, number>>): string {
  const some = Object.entries(skips).filter(([, count]) => count > 0);
  return some.length === 0 ? "0" : some.map(([reason, count]) => `${count} ${reason}`).join(", ");
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? "-" : value.toFixed(0);
}

/** The parts of the line in order, each with its rank: where not all fit, the highest numbers are dropped first. */
function parts(reading: MeterReading): [rank: number, text: string][] {
  const { relay } = reading;
  const position = reading.playheadUs === undefined ? "--:--.-" : clockTime(reading.playheadUs);
  const all: [number, string | undefined][] = [
    [0, `${reading.playing ? "▶" : "⏸"} ${position}`],
    [4, levelBar(reading.levelDb)],
    [1, `${reading.levelDb.toFixed(0).padStart(4)} dB`],
    [5, `voice ${percent(reading.voice).padStart(5)}`],
    [2, `buffer ${milliseconds(reading.bufferMs).padStart(4)} ms`],
    [7, `lead ${milliseconds(reading.leadMs).padStart(4)} ms`],
    [3, `underruns ${reading.underruns}`],
    [6, `rewinds ${reading.discontinuities}`],
    [11, `group ${reading.group ?? "-"}`],
    [8, relay && `staleness ${milliseconds(relay.stalenessMs)} ms`],
    [9, relay && `in flight ${relay.inFlightBytes} B`],
    [10, relay && `skips ${skipsText(relay.skips)}`],
  ];
  return all.flatMap(([rank, text]) => (text === undefined ? [] : [[rank, text]]));
}

/** One line of the live meter, of at most `columns` columns: a narrow one drops the least important parts. */
export function meterLine(reading: MeterReading, columns: number): string {
  const every = parts(reading);
  for (let most = every.length; most > 1; most--) {
    const kept = [...every].sort(([a], [b]) => a - b).slice(0, most);
    const line = every.flatMap((part) => (kept.includes(part) ? part[1] : [])).join("  ");
    if (line.length <= columns) return line;
  }
  return [...(every[0]?.[1] ?? "")].slice(0, columns).join("");
}

/** Shows a reading ten times a second in place on a terminal, and as a line a second elsewhere. */
export class Meter {
  readonly #timer: NodeJS.Timeout;
  readonly #status: StatusLine;

  constructor({ read, status }: { readonly read: () => MeterReading; readonly status: StatusLine }) {
    this.#status = status;
    this.#timer = setInterval(() => status.show(meterLine(read(), status.columns)), status.interactive ? 100 : 1000);
    this.#timer.unref();
  }

  /** Stops and leaves the cursor on a fresh line; idempotent. */
  close(): void {
    clearInterval(this.#timer);
    this.#status.end();
  }
}

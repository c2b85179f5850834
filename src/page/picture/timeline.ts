import type { PageRecording, SpokenPiece } from "../replies.js";

/** Length of a bar of the picture in milliseconds. */
export const CELL_MS = 50;
/** Bars of the past that are kept: more than the widest page shows. */
const CELLS = 256;
/** Pieces of speech that are remembered. */
const MAX_PIECES = 64;
/** A playhead this far from its expected position has jumped, in milliseconds. */
const JUMP_MS = 120;
/** Share of a smaller difference that is corrected in one frame. */
const CATCH_UP = 0.08;
/** How far back to look for the largest lead when it is taken back, in milliseconds. */
const BEFORE_MS = 250;
/** Height of audio with an unknown level. */
const UNKNOWN = 0.25;
/** Quietest and loudest level that a bar shows, in dBFS. */
const [QUIET_DB, LOUD_DB] = [-54, -14];

/** State at one moment; media times in microseconds, the page's time in milliseconds. */
export interface Moment {
  readonly now: number;
  readonly playheadUs: number | undefined;
  /** Whether audio is heard. */
  readonly playing: boolean;
  /** Root mean square of the audio since the last moment, 0 to 1. */
  readonly level: number;
  readonly receivedUs: number | undefined;
  readonly sentUs: number | undefined;
}

/** A bar ahead of the playhead. */
export interface AheadBar {
  /** Milliseconds from now to its middle. */
  readonly offsetMs: number;
  /** Height, 0 to 1. */
  readonly height: number;
  readonly isReceived: boolean;
  /** When it appeared, in the page's time. */
  readonly since: number;
}

/** Audio that was taken back, at its place in the picture. */
export interface TakenBack {
  readonly at: number;
  readonly bars: readonly AheadBar[];
  /** How much it was, in milliseconds. */
  readonly lengthMs: number;
}

/** A level as a height, 0 to 1. */
export function heightOf(level: number): number {
  const share = (20 * Math.log10(level + 1e-9) - QUIET_DB) / (LOUD_DB - QUIET_DB);
  return Math.min(1, Math.max(0, share)) ** 1.4;
}

/** Content of the picture: the audio heard, by the page's time, and the audio ahead, by media time. */
export class Timeline {
  #recording: PageRecording | undefined;
  #pieces: readonly SpokenPiece[] = [];
  readonly #heard = new Float32Array(CELLS);
  #cell = 0;
  #last: Moment | undefined;
  /** The displayed playhead: it moves evenly, where its reports come in steps. */
  #playheadUs: number | undefined;
  #ahead: { readonly at: number; readonly bars: readonly AheadBar[] }[] = [];
  readonly #since = new Map<number, number>();

  /** Sets the recording, which gives the audio ahead its shape. */
  setRecording(recording: PageRecording | undefined): void {
    this.#recording = recording;
  }

  /** Sets the positions of the recording on the timeline, over older ones. */
  setPieces(pieces: readonly SpokenPiece[]): void {
    const first = Math.min(...pieces.map(({ timestamp }) => timestamp));
    const before = this.#pieces
      .filter(({ timestamp }) => timestamp < first)
      .map((piece) => ({ ...piece, lengthMs: Math.min(piece.lengthMs, (first - piece.timestamp) / 1e3) }));
    this.#pieces = [...before, ...pieces].slice(-MAX_PIECES);
  }

  /** The playhead as it is shown, in microseconds of media time. */
  get playheadUs(): number | undefined {
    return this.#playheadUs;
  }

  /** Milliseconds ahead of the playhead that are received, and that are sent. */
  get ahead(): { readonly receivedMs: number; readonly sentMs: number } {
    const { receivedUs, sentUs } = this.#last ?? {};
    const until = (time: number | undefined) =>
      time === undefined || this.#playheadUs === undefined ? 0 : Math.max(0, (time - this.#playheadUs) / 1e3);
    const receivedMs = until(receivedUs);
    return { receivedMs, sentMs: Math.max(receivedMs, until(sentUs)) };
  }

  /** Heights of the recording's bars, for a picture before any audio. */
  outline(count: number): readonly number[] {
    const { levels, levelMs } = this.#recording ?? { levels: [], levelMs: CELL_MS };
    return Array.from({ length: count }, (_, index) => {
      const level = levels[Math.floor((index * CELL_MS) / levelMs) % levels.length];
      return level === undefined ? 0 : heightOf(level);
    });
  }

  /** Position of a media time in the recording. */
  spokenAt(timeUs: number): { readonly speech: number; readonly ms: number } | undefined {
    const piece = this.#pieces.findLast(({ timestamp }) => timestamp <= timeUs);
    if (!piece) return undefined;
    return { speech: piece.speech, ms: piece.fromMs + Math.min(piece.lengthMs, (timeUs - piece.timestamp) / 1e3) };
  }

  /** Moves on to a moment. */
  advance(moment: Moment): void {
    this.#follow(moment);
    this.#remember(moment);
    this.#last = moment;
    const bars = this.bars(moment.now);
    this.#ahead = [...this.#ahead.filter(({ at }) => moment.now - at < BEFORE_MS), { at: moment.now, bars }];
  }

  /** Heights of the audio heard, newest first, and how far the newest bar has progressed, 0 to 1. */
  heard(now: number): { readonly heights: readonly number[]; readonly phase: number } {
    const heights = Array.from({ length: CELLS }, (_, back) => this.#heard[(this.#cell - back + CELLS) % CELLS]!);
    return { heights, phase: (now / CELL_MS) % 1 };
  }

  /** The bars ahead. */
  bars(now: number): readonly AheadBar[] {
    const playheadUs = this.#playheadUs;
    if (playheadUs === undefined) return [];
    const { receivedMs, sentMs } = this.ahead;
    const first = Math.ceil(now / CELL_MS);
    const count = Math.min(CELLS, Math.floor((now + sentMs) / CELL_MS) - first);
    for (const cell of this.#since.keys()) if (cell < first || cell >= first + count) this.#since.delete(cell);
    return Array.from({ length: Math.max(0, count) }, (_, index) => {
      const cell = first + index;
      const offsetMs = (cell + 0.5) * CELL_MS - now;
      const since = this.#since.get(cell) ?? now;
      this.#since.set(cell, since);
      const level = this.#levelAt(playheadUs + offsetMs * 1e3);
      const height = level === undefined ? UNKNOWN : heightOf(level);
      return { offsetMs, height, isReceived: offsetMs <= receivedMs, since };
    });
  }

  /** Audio ahead from `fromUs` on was taken back just now. */
  takeBack(fromUs: number, now: number): TakenBack {
    const fullest = this.#ahead.reduce((most, one) => (one.bars.length > most.bars.length ? one : most), {
      at: now,
      bars: [],
    } as { readonly at: number; readonly bars: readonly AheadBar[] });
    const startMs = Math.max(0, (fromUs - (this.#playheadUs ?? fromUs)) / 1e3);
    const bars = fullest.bars
      .map((bar) => ({ ...bar, offsetMs: bar.offsetMs - (now - fullest.at) }))
      .filter(({ offsetMs }) => offsetMs >= startMs);
    this.#ahead = [];
    this.#since.clear();
    return { at: now, bars, lengthMs: bars.length * CELL_MS };
  }

  #levelAt(timeUs: number): number | undefined {
    const piece = this.#pieces.findLast(({ timestamp }) => timestamp <= timeUs);
    if (!this.#recording || !piece) return undefined;
    // Audio sent since the last request continues at the end of the last piece, and then from the start.
    const { levels, levelMs } = this.#recording;
    const index = Math.floor((piece.fromMs + (timeUs - piece.timestamp) / 1e3) / levelMs);
    return levels[index % levels.length];
  }

  #follow({ now, playheadUs, playing }: Moment): void {
    const shown = this.#playheadUs;
    if (playheadUs === undefined || shown === undefined || !playing) {
      this.#playheadUs = playheadUs ?? shown;
      return;
    }
    const expected = shown + (now - (this.#last?.now ?? now)) * 1e3;
    const error = playheadUs - expected;
    this.#playheadUs = Math.abs(error) > JUMP_MS * 1e3 ? playheadUs : expected + error * CATCH_UP;
  }

  #remember({ now, level }: Moment): void {
    const cell = Math.floor(now / CELL_MS);
    const steps = Math.min(CELLS, cell - (this.#last ? Math.floor(this.#last.now / CELL_MS) : cell - 1));
    for (let step = 1; step <= steps; step++) this.#heard[(this.#cell + step) % CELLS] = 0;
    this.#cell = (this.#cell + steps) % CELLS;
    this.#heard[this.#cell] = Math.max(this.#heard[this.#cell]!, heightOf(level));
  }
}

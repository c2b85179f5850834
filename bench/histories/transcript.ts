import { decimate, LOW_RATE, likeness, rms } from "./signal.js";

/** A stretch of a recording in which one utterance was heard without a break. */
export interface Heard {
  readonly utterance: number;
  /** Positions in the utterance, in milliseconds from its first sample. */
  readonly from: number;
  readonly to: number;
  /** Position in the recording at which `from` was heard, in milliseconds. */
  readonly at: number;
  /**
   * Level against the source's, in decibels, of each step of 10 ms from `from` on; undefined where what was heard is too
   * unlike the source to say.
   */
  readonly levels: readonly (number | undefined)[];
}

/** The utterances: 48 kHz samples by their number. */
export type Said = ReadonlyMap<number, Float32Array>;

const perMs = LOW_RATE / 1000;
const WINDOW = 20 * perMs;
const HOP = 10 * perMs;
const FINE = 5 * perMs;
/**
 * Between two silences, audio may be too short for a whole window on the grid of hops. It is looked for this finely,
 * across a pause this long, and this near to the place where the other audio breaks off.
 */
const ISLAND = { window: 12 * perMs, hop: 2 * perMs, pause: 500 * perMs, reach: 20 * perMs };
/** Quieter windows are silence: 30 dB below the signals. */
const SILENCE = 0.003;
/** A window that continues a stretch may be this unlike its source. */
const CONTINUES = 0.75;
/** One that nothing else explains may be as unlike as a concealed frame or a rendition of 12 kbit/s. */
const RESEMBLES = 0.4;
/** A window out of nowhere must be this alike. */
const BEGINS = 0.85;
/** Less alike than this, as in a low rendition, a step's level is the codec's choice. */
const FAITHFUL = 0.8;
/** Clock drift and rounding move the match by so little between two windows. */
const WIGGLE = 3;
/** Only a window as alike as this says anything about drift: one with a gap in it may fit best anywhere. */
const PRECISE = 0.95;
/** At the edges of a stretch, windows of 5 ms count while they are this alike. */
const EDGE = { faithful: 0.8, coarse: 0.5 };

/** A stretch being found: places in the recording, and the place in the source of its start. */
interface Stretch {
  readonly utterance: number;
  start: number;
  offset: number;
  /** How far the match has moved since the start, in samples. */
  drift: number;
  end: number;
  isCoarse: boolean;
}

/** From a place up to another. */
interface Range {
  readonly from: number;
  readonly to: number;
}

interface Match {
  readonly utterance: number;
  readonly at: number;
  readonly alike: number;
}

/** A match of less than a window, with its place in the recording. */
interface Island extends Match {
  readonly start: number;
}

function begin(start: number, { utterance, at: offset }: Match, length: number): Stretch {
  return { utterance, start, offset, drift: 0, end: start + length, isCoarse: false };
}

/**
 * Finds out from samples alone what was heard: which stretch of which utterance, and at what level.
 *
 * @param recording What a speaker played, mono, 48 kHz.
 */
export function transcribe(recording: Float32Array, said: Said): Heard[] {
  return new Transcriber(decimate(recording), said).run();
}

class Transcriber {
  readonly #heard: Float32Array;
  readonly #sources = new Map<number, Float32Array>();
  readonly #stretches: Stretch[] = [];

  constructor(heard: Float32Array, said: Said) {
    this.#heard = heard;
    for (const [utterance, samples] of said) this.#sources.set(utterance, decimate(samples));
  }

  run(): Heard[] {
    for (let at = 0; at + WINDOW <= this.#heard.length; at += HOP) this.#look(at);
    for (const [index, stretch] of this.#stretches.entries()) this.#grow(stretch, index);
    for (let index = 0; index <= this.#stretches.length; index++) this.#lookForIsland(index);
    return this.#stretches.map((stretch) => this.#describe(stretch)).filter(({ from, to }) => to > from);
  }

  #look(at: number): void {
    if (rms(this.#heard, at, WINDOW) < SILENCE) return;
    const last = this.#stretches.at(-1);
    const next = last !== undefined && at <= last.end ? this.#near(last, at) : undefined;
    if (next !== undefined && next.alike >= CONTINUES) {
      this.#extend(last!, next, at);
      return;
    }
    const match = this.#anywhere(at);
    if (match !== undefined) {
      this.#stretches.push(begin(at, match, WINDOW));
    } else if (next !== undefined && next.alike >= RESEMBLES) {
      last!.isCoarse = true;
      this.#extend(last!, next, at);
    }
  }

  // Audio that breaks off twice in a row may be too short for a window. Audio that no stretch explains is looked at once
  // more, then: does it continue what was heard before it, or begin what is heard behind it?
  #lookForIsland(index: number): void {
    const before = this.#stretches[index - 1];
    const behind = this.#stretches[index];
    const gap = { from: before?.end ?? 0, to: (behind?.start ?? this.#heard.length) - ISLAND.window };
    const island = this.#continuation(before, gap) ?? this.#beginning(behind, gap);
    if (island === undefined) return;
    const stretch = begin(island.start, island, ISLAND.window);
    this.#stretches.splice(index, 0, stretch);
    this.#grow(stretch, index);
  }

  #continuation(before: Stretch | undefined, gap: Range): Island | undefined {
    if (before === undefined) return undefined;
    const { utterance, start, end, offset, drift } = before;
    const broke = offset + end - start + drift;
    return this.#island(utterance, gap, { from: Math.max(0, broke - ISLAND.reach), to: broke + ISLAND.reach });
  }

  #beginning(behind: Stretch | undefined, gap: Range): Island | undefined {
    if (behind === undefined) return undefined;
    const { utterance, start, offset } = behind;
    const near = { from: Math.max(gap.from, start - ISLAND.pause), to: gap.to };
    return this.#island(utterance, near, { from: Math.max(0, offset - ISLAND.reach - ISLAND.window), to: offset });
  }

  /** The best match of a short stretch that begins in one range of the recording and in one of the source. */
  #island(utterance: number, starts: Range, places: Range): Island | undefined {
    const source = this.#sources.get(utterance)!;
    const end = Math.min(places.to, source.length - ISLAND.window);
    let best: Island | undefined;
    for (let start = starts.from; start <= starts.to; start += ISLAND.hop) {
      if (rms(this.#heard, start, ISLAND.window) < SILENCE) continue;
      for (let at = places.from; at <= end; at++) {
        const alike = likeness(this.#heard, start, source, at, ISLAND.window);
        if (alike >= BEGINS && alike > (best?.alike ?? 0)) best = { utterance, at, alike, start };
      }
    }
    return best;
  }

  #extend(last: Stretch, match: Match, at: number): void {
    last.end = at + WINDOW;
    if (match.alike >= PRECISE) last.drift = match.at - (at - last.start + last.offset);
  }

  #near({ utterance, start, offset, drift }: Stretch, at: number): Match {
    const source = this.#sources.get(utterance)!;
    const expected = at - start + offset + drift;
    // Behind the last sample of the source too little is left to move the match by.
    const wiggle = expected + WINDOW > source.length ? 0 : WIGGLE;
    let best: Match = { utterance, at: expected, alike: -1 };
    for (let moved = -wiggle; moved <= wiggle; moved++) {
      const alike = likeness(this.#heard, at, source, expected + moved, WINDOW);
      if (alike > best.alike) best = { utterance, at: expected + moved, alike };
    }
    return best;
  }

  // First the utterances nearest to the last one heard: nearly always it goes on, or the next one begins.
  #anywhere(at: number): Match | undefined {
    const numbers = [...this.#sources.keys()];
    const last = numbers.indexOf(this.#stretches.at(-1)?.utterance ?? -1);
    const places = numbers.map((utterance, index) => ({ utterance, distance: Math.abs(index - last - 0.1) }));
    for (const { utterance } of places.sort((one, other) => one.distance - other.distance)) {
      const match = this.#search(utterance, at);
      if (match !== undefined) return match;
    }
    return undefined;
  }

  // The whole window only where its first 5 ms fit: nearly all places are ruled out by those.
  #search(utterance: number, at: number): Match | undefined {
    const source = this.#sources.get(utterance)!;
    let best: Match | undefined;
    for (let place = 0; place + WINDOW <= source.length; place++) {
      if (likeness(this.#heard, at, source, place, FINE) < BEGINS - 0.1) continue;
      const alike = likeness(this.#heard, at, source, place, WINDOW);
      if (alike >= BEGINS && alike > (best?.alike ?? 0)) best = { utterance, at: place, alike };
    }
    return best;
  }

  // Windows straddle edges: finds the first and the last 5 ms that belong to the stretch.
  #grow(stretch: Stretch, index: number): void {
    const source = this.#sources.get(stretch.utterance)!;
    const edge = stretch.isCoarse ? EDGE.coarse : EDGE.faithful;
    const fits = (at: number, drift: number) => {
      const place = at - stretch.start + stretch.offset + drift;
      if (place < 0 || place + FINE > source.length) return false;
      return likeness(this.#heard, at, source, place, FINE) >= edge && rms(this.#heard, at, FINE) >= SILENCE;
    };
    const before = this.#stretches[index - 1];
    const earliest = before === undefined ? 0 : before.end;
    let start = stretch.start;
    while (start - FINE >= earliest && fits(start - FINE, 0)) start -= FINE;
    while (start < stretch.end - FINE && !fits(start, 0)) start += FINE;
    let end = stretch.end;
    while (end - FINE > start && !fits(end - FINE, stretch.drift)) end -= FINE;
    const latest = this.#stretches[index + 1]?.start ?? this.#heard.length;
    while (end + FINE <= latest && fits(end, stretch.drift)) end += FINE;
    // Rounding to 5 ms must not cut the first or the last sample of an utterance.
    const first = start - stretch.start + stretch.offset;
    const rest = source.length - (end - stretch.start + stretch.offset + stretch.drift);
    if (first > 0 && first < FINE) start -= first;
    if (rest > 0 && rest < FINE) end += rest;
    stretch.offset += start - stretch.start;
    stretch.start = start;
    stretch.end = end;
  }

  #describe({
    utterance,
    start,
    offset,
    end,
  }: {
    utterance: number;
    start: number;
    offset: number;
    end: number;
  }): Heard {
    const source = this.#sources.get(utterance)!;
    const levels: (number | undefined)[] = [];
    for (let step = 0; start + step + HOP <= end; step += HOP) {
      const played = rms(this.#heard, start + step, HOP);
      const meant = rms(source, offset + step, HOP);
      const alike = likeness(this.#heard, start + step, source, offset + step, HOP);
      levels.push(alike < FAITHFUL ? undefined : 20 * Math.log10(Math.max(played, 1e-6) / Math.max(meant, 1e-6)));
    }
    return {
      utterance,
      from: offset / perMs,
      to: (offset + end - start) / perMs,
      at: start / perMs,
      levels,
    };
  }
}

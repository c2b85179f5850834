/** A stretch of a source's audio on the broadcast's timeline, in samples per channel. */
export interface Piece {
  /** Where it lies on the timeline. */
  readonly at: number;
  /** Its first sample in the source. */
  readonly from: number;
  readonly length: number;
}

/** A stretch of the timeline where other audio repeats and the source waits. */
interface Loop {
  readonly from: number;
  readonly to: number;
}

/** Every underrun, delay or resume adds a piece; the oldest pieces were heard long ago. */
const MAX_PIECES = 512;
const MAX_LOOPS = 8;

/**
 * Where the samples of one speech lie on the broadcast's timeline. Delays, underruns and pauses leave holes between
 * pieces, and a resumed speech continues elsewhere. So a position in the source is not broadcast time minus a start.
 * All positions count samples per channel: of the source from its first sample, of the broadcast from its start.
 */
export class SpeechTimeline {
  #pieces: Piece[] = [];
  #loops: Loop[] = [];
  #position = 0;

  /** The next sample of the source to write. */
  get position(): number {
    return this.#position;
  }

  /** Its stretches, in order. */
  get pieces(): readonly Piece[] {
    return this.#pieces;
  }

  /** Broadcast position of its earliest remembered sample; undefined while nothing is written. */
  get start(): number | undefined {
    return this.#pieces[0]?.at;
  }

  /** Broadcast position behind its last sample; undefined while nothing is written. */
  get end(): number | undefined {
    const last = this.#pieces.at(-1);
    return last && last.at + last.length;
  }

  /**
   * Places the next `frames` samples of the source at `at`. Samples before the end are the same audio, rendered again.
   */
  write(at: number, frames: number): void {
    let from = Math.max(at, this.end ?? at);
    const end = at + frames;
    for (const loop of this.#loops) {
      if (loop.to <= from || loop.from >= end) continue;
      this.#append(from, loop.from - from);
      from = Math.min(loop.to, end);
    }
    this.#append(from, end - from);
  }

  /** Removes everything from `at` on; the source continues with the first removed sample. */
  cut(at: number): void {
    const first = this.#pieces.find((piece) => piece.at + piece.length > at);
    if (first !== undefined) this.#position = first.from + Math.max(0, at - first.at);
    this.#pieces = this.#pieces.flatMap((piece) =>
      piece.at + piece.length <= at ? [piece] : piece.at < at ? [{ ...piece, length: at - piece.at }] : [],
    );
  }

  /** Continues the source at its sample `position`. */
  seek(position: number): void {
    this.#position = position;
  }

  /** Moves pieces at or after `from` by `by` samples. */
  move(from: number, by: number): void {
    this.#pieces = this.#pieces.flatMap((piece) => {
      if (piece.at + piece.length <= from) return [piece];
      if (piece.at >= from) return [{ ...piece, at: piece.at + by }];
      const kept = from - piece.at;
      const rest = { at: from + by, from: piece.from + kept, length: piece.length - kept };
      return [{ ...piece, length: kept }, rest];
    });
    this.#loops = this.#loops.map((loop) => ({
      from: loop.from >= from ? loop.from + by : loop.from,
      to: loop.to >= from ? loop.to + by : loop.to,
    }));
  }

  /** From `at` on audio repeats and the source waits. */
  loop(at: number): void {
    if (this.#loops.at(-1)?.to === Number.POSITIVE_INFINITY) return;
    this.#loops.push({ from: at, to: Number.POSITIVE_INFINITY });
    if (this.#loops.length > MAX_LOOPS) this.#loops.shift();
  }

  /** The source continues at `at`. */
  unloop(at: number): void {
    const last = this.#loops.at(-1);
    if (last?.to !== Number.POSITIVE_INFINITY) return;
    this.#loops[this.#loops.length - 1] = { from: Math.min(last.from, at), to: at };
  }

  /** Position in the source of a playhead at `at`; within a hole, that of the hole's start. */
  sourceAt(at: number): number {
    const piece = this.#pieces.findLast((one) => one.at <= at);
    if (piece === undefined) return this.#pieces[0]?.from ?? this.#position;
    return piece.from + Math.min(at - piece.at, piece.length);
  }

  /** Where on the timeline a sample of the source lies; undefined where it is not written. */
  broadcastAt(source: number): number | undefined {
    const piece = this.#pieces.findLast(({ from, length }) => from <= source && source < from + length);
    return piece && piece.at + source - piece.from;
  }

  /** The stretches of the broadcast from `at` on that hold its samples. */
  piecesFrom(at: number): { readonly at: number; readonly length: number }[] {
    return this.#pieces
      .filter((piece) => piece.at + piece.length > at)
      .map((piece) => ({ at: Math.max(piece.at, at), length: piece.at + piece.length - Math.max(piece.at, at) }));
  }

  /** A copy of the timeline: a listener that has not applied a rewind yet still plays it. */
  copy(): SpeechTimeline {
    const copy = new SpeechTimeline();
    copy.#pieces = [...this.#pieces];
    copy.#loops = [...this.#loops];
    copy.#position = this.#position;
    return copy;
  }

  #append(at: number, length: number): void {
    if (length <= 0) return;
    const last = this.#pieces.at(-1);
    const isNext = last !== undefined && last.at + last.length === at && last.from + last.length === this.#position;
    if (isNext) this.#pieces[this.#pieces.length - 1] = { ...last, length: last.length + length };
    else this.#pieces.push({ at, from: this.#position, length });
    this.#position += length;
    if (this.#pieces.length > MAX_PIECES) this.#pieces.shift();
  }
}

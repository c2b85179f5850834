import { type Microseconds, microseconds } from "../../base/index.js";
import { Timeline } from "../../container/index.js";
import type { EncodedFrame } from "../send/send-queue.js";
import { clip, loudestDb } from "./level.js";
import { type Knobs, Mixer } from "./mixer.js";
import type { AudioEncoder } from "./opus.js";
import { toTime } from "./position.js";
import { RenditionEncoder } from "./rendition-encoder.js";
import { TimelineBuffer, type TimelineCut } from "./timeline-buffer.js";

/** A stretch of the timeline, in samples, without audio to send. */
interface Hole {
  readonly from: number;
  readonly to: number;
}

/** Samples per channel whose level counts as loudness: 10 ms. */
const LEVEL_FRAMES = 480;
/** The longest hole that silence fills, in samples: 1 s. A player plays that silence as well, and the speech later. */
const MAX_FILLED = 48_000;
/** Control epochs remembered: future ones, and those in groups. */
const MAX_MARKS = 256;

/** One rewind: everything sent from `to` on is stale. */
export interface TrackRewind {
  readonly to: Microseconds;
  /** The last group of the old timeline. */
  readonly lastSequence: number;
  /** Name of the fresh track that replaces the old one, with `rewindBy: "track"`. */
  readonly track: string | undefined;
}

/** Options of {@link AudioTrack}. */
export interface AudioTrackOptions {
  readonly channels: 1 | 2;
  readonly frameMs: number;
  /** Samples per channel in a frame. */
  readonly frameSize: number;
  /** Frames in a group at most. */
  readonly groupFrames: number;
  /** Samples per channel that the buffer remembers. */
  readonly capacity: number;
  readonly rewindBy: "group" | "track";
  readonly knobs: Knobs;
}

/**
 * Turns rendered audio into groups: keeps the buffer, mixes by the knobs, encodes frame by frame, and goes back at a
 * rewind.
 */
export class AudioTrack {
  readonly #options: AudioTrackOptions;
  readonly #buffer: TimelineBuffer;
  readonly #mixer: Mixer;
  readonly #dry: Float32Array;
  readonly #wet: Float32Array;
  readonly #mixed: Float32Array;
  #encoder: RenditionEncoder | undefined;
  #low: RenditionEncoder | undefined;
  #timeline = new Timeline();
  #trackNumber = 0;
  #track = "audio";
  /** Position of the next frame to encode, in samples. */
  #cursor = 0;
  #holes: Hole[] = [];
  /** Where the first packet behind the last hole starts, and its audio. */
  #start: { readonly opening: number; readonly end: number } | undefined;
  /** The last audio written is the silence that ends a speech, from here on; otherwise infinite. */
  #silentFrom = Number.POSITIVE_INFINITY;
  #lastSequence = -1;
  /** The next frame is the first after a rewind. */
  #opening = false;
  /** Room for more frames in the last group; 0 when the next frame begins one. */
  #room = 0;
  readonly #rewinds: TrackRewind[] = [];
  #marks: { readonly controlEpoch: number; readonly position: number }[] = [];
  readonly #carried = [{ controlEpoch: 0, sequence: 0 }];
  readonly #counts = { groups: 0, frames: 0, bytes: 0, rewinds: 0, clipped: 0 };

  constructor(options: AudioTrackOptions) {
    this.#options = options;
    const { channels, frameSize, capacity, rewindBy, knobs } = options;
    this.#buffer = new TimelineBuffer({ channels, capacity });
    this.#mixer = new Mixer(knobs);
    const values = frameSize * channels;
    this.#dry = new Float32Array(values);
    this.#wet = new Float32Array(values);
    this.#mixed = new Float32Array(values);
    if (rewindBy === "track") this.#nextTrack();
  }

  /** Name of the current track. */
  get track(): string {
    return this.#track;
  }

  /** Position of the next frame, in samples. */
  get cursor(): number {
    return this.#cursor;
  }

  /** Position of the next rendered audio, in samples. */
  get end(): number {
    return this.#buffer.end;
  }

  /** The earliest position for audio behind what is rendered and encoded, in samples. */
  get earliest(): number {
    return Math.max(this.#cursor + (this.#encoder?.lookahead ?? 0), this.#buffer.end);
  }

  /** The earliest rendered audio in memory, in samples. */
  get oldest(): number {
    return Math.max(0, this.#buffer.oldest);
  }

  /** Length of the rendered audio in memory, in samples. */
  get memory(): number {
    return this.#options.capacity;
  }

  /** Sequence of the last group; -1 before the first. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  get epoch(): number {
    return this.#timeline.epoch;
  }

  /** Whether the mix contains denoised audio. */
  get needsWet(): boolean {
    return this.#mixer.needsWet;
  }

  /** Groups, frames and payload bytes encoded, rewinds, and samples clipped. */
  get counters(): { groups: number; frames: number; bytes: number; rewinds: number; clipped: number } {
    return { ...this.#counts };
  }

  /** Whether the next frame opens an epoch. */
  get opening(): boolean {
    return this.#opening;
  }

  /** Sets the encoders of the track and of its lower rendition; without them it encodes nothing. */
  setEncoders(encoder: AudioEncoder, low: AudioEncoder | undefined): void {
    this.#encoder = new RenditionEncoder(encoder);
    this.#low = low && new RenditionEncoder(low);
  }

  /** Sets knobs; they apply from the next frame on. */
  setKnobs(knobs: Knobs): void {
    this.#mixer.set(knobs);
  }

  /** Appends rendered audio. */
  write({ dry, wet, voice }: TimelineCut): void {
    this.#buffer.write(dry, wet, voice);
    this.#silentFrom = Number.POSITIVE_INFINITY;
  }

  /** Ends a speech with silence: listeners take audio that breaks off as a fault. */
  finish(frames: number): void {
    const { end } = this;
    const silence = new Float32Array(frames * this.#options.channels);
    this.write({ dry: silence, wet: silence });
    this.#silentFrom = end;
  }

  /** Probability of a voice in the 10 ms from `step` times 10 ms on, in the units of a voice frame. */
  voice(step: number): number {
    return this.#buffer.voice(step);
  }

  /**
   * Moves the next rendered audio to `position`, over a hole where that lies ahead. Its first packet starts a
   * look-ahead earlier: the encoder lags by that much, and no audio before that comes out whole.
   */
  startAt(position: number): void {
    const { end } = this.#buffer;
    const lookahead = this.#encoder?.lookahead ?? 0;
    const start = Math.max(position, this.earliest);
    const opening = start - lookahead;
    const emptyFrom = this.#emptyFrom;
    const from = emptyFrom ?? end;
    const isHole = opening > from && opening > this.#cursor;
    if (isHole) this.#holes.push({ from, to: opening });
    this.#buffer.seek(start);
    this.#start = isHole || emptyFrom !== undefined ? { opening, end: start } : undefined;
  }

  // Where nothing was written behind the last hole, the look-ahead there is empty, and no frame of it is owed.
  get #emptyFrom(): number | undefined {
    if (this.#start?.end !== this.#buffer.end) return undefined;
    return Math.max(this.#cursor, this.#start.opening);
  }

  /** Start of the audio that is rendered and not encoded yet, in samples. */
  get unsent(): number {
    const at = this.#holes.reduce((at, { from, to }) => (from <= at ? Math.max(at, to) : at), this.#cursor);
    return Math.min(at, this.#buffer.end);
  }

  /** Moves audio that is rendered and not encoded yet to `position`, over a hole; returns the distance. */
  delay(position: number): number {
    const from = this.unsent;
    const rest = this.cut(from);
    this.startAt(position);
    const by = this.#buffer.end - from;
    this.write(rest);
    return by;
  }

  /**
   * Encodes the next frame, if it starts before `target` and is rendered; undefined otherwise. `ended`: no more audio
   * follows, so silence fills the last frame. `low`: encode the lower rendition too.
   */
  encode(target: number, { ended, low = false }: { ended: boolean; low?: boolean }): EncodedFrame | undefined {
    const encoder = this.#encoder;
    if (encoder === undefined) return undefined;
    const lower = low ? this.#low : undefined;
    while (this.#cursor < target) {
      const hole = this.#holes[0];
      if (hole === undefined || this.#cursor < hole.from) break;
      if (this.#isSilent(hole)) return this.#silenceFrame(encoder, lower);
      this.#skip(hole);
    }
    if (this.#cursor >= target) return undefined;
    const needed = this.#cursor + this.#options.frameSize + encoder.lookahead;
    if (ended ? this.#cursor >= this.#buffer.end : needed > this.#buffer.end) return undefined;
    // An encoder's filters ring in the silence behind audio; its packet of silence holds none of that.
    if (ended && this.#cursor >= this.#silentFrom) return this.#silenceFrame(encoder, lower);
    const isContinued = [encoder, lower].every((each) => each?.continues(this.#cursor) ?? true);
    const history = isContinued ? undefined : this.#history(encoder);
    this.#buffer.read(this.#cursor + encoder.lookahead, this.#dry, this.#wet);
    this.#mixer.process(this.#dry, this.#wet, this.#mixed);
    this.#counts.clipped += clip(this.#mixed);
    const lowPacket = lower?.encode(this.#cursor, this.#mixed, history);
    return this.#frame(encoder.encode(this.#cursor, this.#mixed, history), lowPacket, {
      last: ended && this.#cursor + this.#options.frameSize >= this.#buffer.end,
    });
  }

  /** Skips rendered frames up to the first that starts at or after `position`; returns how many. */
  skip(position: number): number {
    const { frameSize } = this.#options;
    const until = Math.min(position, this.#buffer.end);
    const frames = Math.max(0, Math.ceil((until - this.#cursor) / frameSize));
    if (frames === 0) return 0;
    this.#cursor += frames * frameSize;
    this.#room = 0;
    return frames;
  }

  /**
   * Makes everything sent from `position` on stale, and encodes the following audio independently of it. {@link
   * takeRewinds} passes the rewind to other parts.
   */
  rewind(position: number): void {
    const to = toTime(position);
    const lastSequence = this.#lastSequence;
    this.#counts.rewinds++;
    this.#opening = true;
    this.#room = 0;
    if (this.#options.rewindBy === "track") {
      this.#nextTrack();
      this.#timeline = new Timeline();
      this.#rewinds.push({ to, lastSequence, track: this.#track });
    } else {
      this.#timeline.rewind(to);
      this.#rewinds.push({ to, lastSequence, track: undefined });
    }
    this.#cursor = position;
    this.#start = undefined;
    this.#restartEncoders();
  }

  /** The rewinds since the last call, in order. */
  takeRewinds(): readonly TrackRewind[] {
    return this.#rewinds.splice(0);
  }

  /** Original audio between two positions, interleaved; silence where it is no longer in memory. */
  recall(from: number, to: number): Float32Array {
    return this.#read(from, to - from).dry;
  }

  /** Level of the loudest 10 ms between two positions, mixed by the knobs of now, in dBFS. */
  loudestDb(from: number, to: number): number {
    const { dry, wet } = this.#read(from, to - from);
    this.#mixer.hold(dry, wet, dry);
    return loudestDb(dry, LEVEL_FRAMES * this.#options.channels);
  }

  /** Groups from `position` on carry the changes up to a control epoch. */
  mark(controlEpoch: number, position: number): void {
    this.#marks.push({ controlEpoch, position });
    if (this.#marks.length > MAX_MARKS) this.#marks.shift();
  }

  /** The control epoch of a group, for measurement; undefined when the group is too old. */
  controlEpochOf(sequence: number): number | undefined {
    return this.#carried.findLast((one) => one.sequence <= sequence)?.controlEpoch;
  }

  /** Removes rendered audio from `position` on from the buffer, and forgets the holes behind it. */
  cut(position: number): TimelineCut {
    this.#holes = this.#holes.filter((hole) => hole.to <= position);
    if (position < this.#cursor + (this.#encoder?.lookahead ?? 0)) this.#restartEncoders();
    return this.#buffer.cut(position);
  }

  /** Rewinds to `position` and returns one frame of silence there, which signals the rewind. */
  silence(position: number, { low = false }: { low?: boolean } = {}): EncodedFrame | undefined {
    if (this.#encoder === undefined) return undefined;
    this.rewind(position);
    return this.#silenceFrame(this.#encoder, low ? this.#low : undefined);
  }

  close(): void {
    this.#encoder?.close();
    this.#low?.close();
  }

  #restartEncoders(): void {
    this.#encoder?.restart();
    this.#low?.restart();
  }

  // Audio that the encoders need before the next packet, mixed by the knobs of that time.
  #history({ history, lookahead }: RenditionEncoder): Float32Array {
    const { dry, wet } = this.#read(this.#cursor + lookahead - history, history);
    this.#mixer.hold(dry, wet, dry);
    clip(dry);
    return dry;
  }

  #read(from: number, frames: number): { readonly dry: Float32Array; readonly wet: Float32Array } {
    const dry = new Float32Array(frames * this.#options.channels);
    const wet = new Float32Array(dry.length);
    this.#buffer.read(from, dry, wet);
    return { dry, wet };
  }

  // A rewind starts a group at the cut, even if the source is late and nothing is audible there. Fresh tracks are for
  // stock players, which may wait for ever at a pause within one.
  #isSilent({ from, to }: Hole): boolean {
    const isFilled = this.#options.rewindBy === "track" && to - from <= MAX_FILLED;
    return this.#opening ? this.#cursor < to : isFilled && this.#cursor + this.#options.frameSize <= to;
  }

  #skip(hole: Hole): void {
    this.#holes.shift();
    if (this.#cursor >= hole.to) return;
    this.#cursor = hole.to;
    this.#room = 0;
  }

  #silenceFrame(encoder: RenditionEncoder, low: RenditionEncoder | undefined): EncodedFrame {
    return this.#frame(encoder.silence, low?.silence, { last: true });
  }

  // `last`: no frame follows at once, so the group ends, full or not.
  #frame(payload: Uint8Array, low: Uint8Array | undefined, { last }: { last: boolean }): EncodedFrame {
    const { frameMs, frameSize, groupFrames } = this.#options;
    const timestamp = toTime(this.#cursor);
    const opensEpoch = this.#opening;
    const opensGroup = this.#room === 0;
    if (opensGroup) {
      this.#lastSequence = this.#timeline.next(timestamp, microseconds(frameMs * 1000)).sequence;
      this.#room = groupFrames;
      this.#counts.groups++;
    }
    // A frame that opens an epoch also goes as a datagram, which is a whole group.
    this.#room = last || opensEpoch ? 0 : this.#room - 1;
    this.#opening = false;
    const sequence = this.#lastSequence;
    this.#carry(sequence);
    this.#counts.frames++;
    this.#counts.bytes += payload.length;
    const endsGroup = this.#room === 0;
    this.#cursor += frameSize;
    return { sequence, timestamp, payload, low, opensEpoch, opensGroup, endsGroup };
  }

  #carry(sequence: number): void {
    const reached = this.#marks.filter(({ position }) => position <= this.#cursor);
    if (reached.length === 0) return;
    this.#marks = this.#marks.filter(({ position }) => position > this.#cursor);
    this.#carried.push({ controlEpoch: Math.max(...reached.map(({ controlEpoch }) => controlEpoch)), sequence });
    if (this.#carried.length > MAX_MARKS) this.#carried.shift();
  }

  #nextTrack(): void {
    this.#room = 0;
    this.#track = `audio${this.#trackNumber++}`;
  }
}

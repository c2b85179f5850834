import { type Microseconds, microseconds } from "../../base/index.js";

/** Frames (one sample of every channel) per second of all playback. */
export const SAMPLE_RATE = 48_000;

/** Frames that a speaker pulls at once: the render quantum of the Web Audio API. */
export const QUANTUM_FRAMES = 128;

/** The position of a timestamp on the grid of 48 kHz frames. */
export function framesAt(timestamp: Microseconds): number {
  return Math.round((timestamp * SAMPLE_RATE) / 1e6);
}

/** The timestamp of a position on the grid of 48 kHz frames. */
export function timestampAt(frames: number): Microseconds {
  return microseconds((frames * 1e6) / SAMPLE_RATE);
}

/** Milliseconds as a number of 48 kHz frames. */
export function framesIn(milliseconds: number): number {
  return Math.round((milliseconds * SAMPLE_RATE) / 1e3);
}

/** A number of 48 kHz frames as milliseconds. */
export function millisecondsIn(frames: number): number {
  return (frames * 1e3) / SAMPLE_RATE;
}

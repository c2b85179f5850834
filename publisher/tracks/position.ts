import { type Microseconds, microseconds } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";

/** The sample nearest to a media time: samples per channel since the start of the broadcast. */
export function toPosition(time: number): number {
  return Math.round((time * SAMPLE_RATE) / 1e6);
}

/** The media time of a sample. */
export function toTime(position: number): Microseconds {
  return microseconds((position * 1e6) / SAMPLE_RATE);
}

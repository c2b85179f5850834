import { microseconds, monotonicClock } from "../../base/index.js";

/** A clock that all processes of this machine share, in microseconds. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** Turns a time of this process's monotonic clock into one of the shared clock, or back with `back`. */
export function shared(time: number, back = false): number {
  const offset = sharedClock() - monotonicClock();
  return microseconds(back ? time - offset : time + offset);
}

import { type Clock, fromMilliseconds, type Microseconds } from "../../base/index.js";

/** Options of {@link OverloadGuard}. */
export interface OverloadGuardOptions {
  readonly clock: Clock;
  /** Cost of one hop that is affordable in the long run: its own length. */
  readonly budget: Microseconds;
  /** How far behind real time the stage may fall before a listener hears it. Default 200 ms. */
  readonly slack?: () => Microseconds;
}

/** Weight of the newest cost in the running mean of the statistics. */
const ALPHA = 1 / 16;
/** Share of the budget that the mean must stay under before denoising returns. */
const RETURN_SHARE = 0.7;
/** Hops of a trial after a pause. */
const TRIAL_HOPS = 16;
const FIRST_PAUSE = 1_000_000;
const LONGEST_PAUSE = 30_000_000;
const DEFAULT_SLACK = fromMilliseconds(200);

/**
 * Decides whether a hop may be denoised. Time beyond a hop's own length adds up to a debt, which faster hops pay back,
 * so a process that stalled for a moment changes nothing. When the debt exceeds the slack, inference is too slow: the
 * stage passes the audio through rather than fall silent, for one second at first and twice as long after every failed
 * trial.
 */
export class OverloadGuard {
  readonly #clock: Clock;
  readonly #budget: Microseconds;
  readonly #slack: () => Microseconds;
  #mean = 0;
  #debt = 0;
  #pauseEnd: number | undefined;
  #pause = FIRST_PAUSE;
  #trial = 0;
  #bled = 0;
  #denoised = 0;

  constructor({ clock, budget, slack = () => DEFAULT_SLACK }: OverloadGuardOptions) {
    this.#clock = clock;
    this.#budget = budget;
    this.#slack = slack;
  }

  /** Whether the stage is passing audio through. */
  get overloaded(): boolean {
    return this.#pauseEnd !== undefined;
  }

  /** Media time passed through so far, in milliseconds. */
  get bleedMs(): number {
    return (this.#bled * this.#budget) / 1e3;
  }

  /** Hops denoised so far. */
  get denoisedHops(): number {
    return this.#denoised;
  }

  /** Mean cost of a hop, in microseconds. */
  get meanCost(): number {
    return this.#mean;
  }

  /** Called once before every hop: whether it may be denoised. A refusal counts as bleed. */
  admit(): boolean {
    if (this.#pauseEnd !== undefined) {
      if (this.#clock() < this.#pauseEnd) {
        this.#bled++;
        return false;
      }
      this.#pauseEnd = undefined;
      this.#trial = TRIAL_HOPS;
      this.#mean = 0;
    }
    return true;
  }

  /** Records the cost of a denoised hop. */
  record(cost: Microseconds): void {
    this.#denoised++;
    if (this.#trial > 0) {
      // A plain mean over the trial, not the running one, so that one slow first hop doesn't decide.
      this.#mean += cost / TRIAL_HOPS;
      if (--this.#trial > 0) return;
      if (this.#mean > this.#budget * RETURN_SHARE) this.#enter(Math.min(this.#pause * 2, LONGEST_PAUSE));
      else this.#pause = FIRST_PAUSE;
      return;
    }
    this.#mean += (cost - this.#mean) * ALPHA;
    this.#debt = Math.max(0, this.#debt + cost - this.#budget);
    if (this.#debt > this.#slack()) this.#enter(this.#pause);
  }

  #enter(pause: number): void {
    this.#debt = 0;
    this.#pause = pause;
    this.#pauseEnd = this.#clock() + pause;
  }
}

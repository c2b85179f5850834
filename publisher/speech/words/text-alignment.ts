import { chainOf, isPause, KINDS, likelihoods, type UnitChain } from "./sound-model.js";
import type { VoiceTrace } from "./spoken-audio.js";
import type { SpokenWord } from "./spoken-text.js";

/** Speakers: a pace of 0.75 says 20 letters a second. */
const PACES = [0.75, 1, 1.35];
/**
 * States of a unit, one after the other. The more, the closer a unit keeps to its mean length: with six its spread is
 * two fifths of it, as phoneticians measure. With two, audio that has just come could be nearly any later word.
 */
const STATES = 6;
/** Audio behind the asked step that helps to place the words before it, in steps. */
const AHEAD = 300;
/** States this much less likely than the best one don't count. */
const BEAM = 1e-9;
/** Units per step that the audio ahead may reach at most. */
const REACH = 0.3;
/** A speaker's loudness that changed by this much asks for a new look at everything, in decibels. */
const DRIFT_DB = 2;

/** Probabilities over a chain of units of several states each. */
interface Forward {
  readonly pace: number;
  /** Likelihood of a further step in the same state, for each state of each unit. */
  readonly stays: Float64Array;
  /** Of each state of each unit. */
  readonly states: Float64Array;
  /** The likely units: from `low` to before `high`. */
  low: number;
  high: number;
  /** Logarithm of the likelihood of the steps so far. */
  log: number;
}

/** Likelihood of what comes, for each state of the likely units. */
interface Rest {
  readonly states: Float64Array;
  readonly log: number;
}

/** How many words were over, and had begun, at a step. */
export interface WordCounts {
  readonly ended: number;
  readonly begun: number;
}

/**
 * Lays a text on the audio that says it: a hidden Markov model over the text's sounds, in which vowels are loud,
 * fricatives high and pauses quiet. It weighs all ways of saying the text, at every pace, against each other. So it
 * knows how sure it is.
 */
export class TextAlignment {
  readonly #trace: VoiceTrace;
  #chain: UnitChain = chainOf([]);
  #forwards: readonly Forward[] = [];
  #steps = 0;
  #loudDb = 0;
  readonly #scores = new Float64Array(KINDS.length);
  /** The same for the steps ahead. */
  readonly #ahead = new Float64Array(KINDS.length * AHEAD);

  constructor(trace: VoiceTrace) {
    this.#trace = trace;
  }

  /** Replaces the text. What is known of the words that stay is kept. */
  setWords(words: readonly SpokenWord[]): void {
    const chain = chainOf(words);
    const common = chain.kinds.findIndex(
      (kind, index) =>
        kind !== this.#chain.kinds[index] ||
        chain.skips[index] !== this.#chain.skips[index] ||
        chain.lengths[index] !== this.#chain.lengths[index],
    );
    const same = common < 0 ? chain.kinds.length : common;
    const keeps = this.#forwards.every(({ high }) => high < same);
    this.#chain = chain;
    if (!keeps) this.#restart();
    else this.#forwards = this.#forwards.map((forward) => ({ ...forward, ...this.#states(forward.pace, forward) }));
  }

  /**
   * Counts the words that are over before `step`, and those that may have begun by then, each with this certainty.
   * `isComplete`: the audio so far is all of it.
   */
  at(step: number, isComplete: boolean, certainty: number): WordCounts {
    const steps = Math.min(step, this.#trace.steps);
    if (this.#chain.kinds.length < 2 || steps <= 0) return { ended: 0, begun: 0 };
    const words = this.#chain.ended.at(-1)!;
    if (isComplete && step >= this.#trace.steps) return { ended: words, begun: words };
    const isOther = Math.abs(this.#trace.loudDb - this.#loudDb) > DRIFT_DB;
    if (steps < this.#steps || isOther || this.#forwards.length === 0) this.#restart();
    for (; this.#steps < steps; this.#steps++) this.#advance();
    return this.#count(isComplete, certainty);
  }

  #restart(): void {
    this.#steps = 0;
    this.#loudDb = this.#trace.loudDb;
    this.#forwards = PACES.map((pace) => {
      const forward = { pace, ...this.#states(pace), low: 0, high: 1, log: 0 };
      forward.states[0] = 1;
      return forward;
    });
  }

  #states(pace: number, from?: Forward): Pick<Forward, "stays" | "states"> {
    const { kinds, lengths } = this.#chain;
    const states = new Float64Array(kinds.length * STATES);
    if (from !== undefined) states.set(from.states.subarray(0, from.high * STATES));
    const stays = new Float64Array(states.length);
    lengths.forEach((length, unit) => {
      const own = statesOf(stays, unit);
      if (!isPause(kinds[unit]!)) own.fill(1 - STATES / Math.max(length * pace, STATES + 0.3));
      // A pause may last much longer than its mean.
      else own[STATES - 1] = 1 - 1 / Math.max(length - STATES + 1, 1.3);
    });
    // The last pause lasts for ever.
    stays[stays.length - 1] = 1;
    return { stays, states };
  }

  #advance(): void {
    const log = likelihoods(this.#trace, this.#steps, this.#scores);
    for (const forward of this.#forwards) {
      forward.log += log;
      this.#advanceOne(forward);
    }
  }

  #advanceOne(forward: Forward): void {
    const { kinds, skips } = this.#chain;
    const { states, stays } = forward;
    let [through, most, high] = [0, 0, forward.high];
    for (let unit = forward.low; unit < kinds.length; unit++) {
      if (unit >= forward.high && through < BEAM) break;
      const score = this.#scores[kinds[unit]!]!;
      const skip = skips[unit]!;
      const end = (unit + 1) * STATES;
      const passing = skip * through;
      let entering = (1 - skip) * through;
      for (let state = unit * STATES; state < end; state++) {
        const before = states[state]!;
        const stay = stays[state]!;
        states[state] = score * (before * stay + entering);
        most = Math.max(most, states[state]!);
        entering = before * (1 - stay);
      }
      through = entering + passing;
      high = Math.max(high, unit + 1);
    }
    forward.high = high;
    this.#normalise(forward, most);
  }

  #normalise(forward: Forward, most: number): void {
    const { states, low, high } = forward;
    for (let state = low * STATES; state < high * STATES; state++) states[state]! /= most;
    forward.log += Math.log(most);
    const isUnlikely = (unit: number) => statesOf(states, unit).every((state) => state < BEAM);
    while (forward.low < forward.high - 1 && isUnlikely(forward.low)) statesOf(states, forward.low++).fill(0);
    while (forward.high > forward.low + 1 && isUnlikely(forward.high - 1)) statesOf(states, --forward.high).fill(0);
  }

  #count(isComplete: boolean, certainty: number): WordCounts {
    const { ended, begun } = this.#chain;
    const end = this.#lookAhead();
    // A text that goes on far behind the end of the audio is not said to its end.
    const isInReach = this.#forwards.some(({ high }) => this.#topOf(high, end) === this.#chain.kinds.length);
    const isEnd = isComplete && end === this.#trace.steps && isInReach;
    const rests = this.#forwards.map((forward) => this.#backward(forward, end, isEnd));
    const logs = rests.map(({ log }, index) => log + this.#forwards[index]!.log);
    const best = Math.max(...logs);
    const words = ended.at(-1)!;
    const [over, started] = [new Float64Array(words + 1), new Float64Array(words + 1)];
    let all = 0;
    this.#forwards.forEach(({ states, low, high }, index) => {
      const rest = rests[index]!.states;
      const weight = Math.exp(logs[index]! - best);
      for (let unit = low; unit < high; unit++) {
        let share = 0;
        for (let state = unit * STATES; state < (unit + 1) * STATES; state++)
          share += weight * states[state]! * rest[state - low * STATES]!;
        over[ended[unit]!]! += share;
        started[begun[unit]!]! += share;
        all += share;
      }
    });
    return { ended: lastReaching(over, certainty * all), begun: lastReaching(started, (1 - certainty) * all) };
  }

  // Likelihood of the audio ahead for each likely state now; `end`: where that audio ends.
  #backward({ stays, low, high }: Forward, end: number, isEnd: boolean): Rest {
    const { kinds, skips } = this.#chain;
    const top = this.#topOf(high, end);
    const states = new Float64Array((top - low) * STATES).fill(1);
    if (isEnd) this.#endWithText(states, low, stays);
    let log = 0;
    for (let step = end - this.#steps - 1; step >= 0; step--) {
      let [rest, most] = [0, 0];
      const reached = Math.min(top, high + Math.ceil((step + 1) * REACH) + 1);
      for (let unit = reached - 1; unit >= low; unit--) {
        const score = this.#ahead[step * KINDS.length + kinds[unit]!]!;
        let [after, entered] = [rest, 0];
        for (let state = (unit - low + 1) * STATES - 1; state >= (unit - low) * STATES; state--) {
          const stay = stays[low * STATES + state]!;
          entered = states[state]! * score;
          states[state] = stay * entered + (1 - stay) * after;
          most = Math.max(most, states[state]!);
          after = entered;
        }
        rest = (1 - skips[unit]!) * entered + skips[unit]! * rest;
      }
      if (most === 0) return { states, log: Number.NEGATIVE_INFINITY };
      for (let state = 0; state < (reached - low) * STATES; state++) states[state]! /= most;
      log += Math.log(most);
    }
    return { states, log };
  }

  // The units before this one may be said up to `end`.
  #topOf(high: number, end: number): number {
    return Math.min(this.#chain.kinds.length, high + Math.ceil((end - this.#steps) * REACH) + 1);
  }

  // Writes the likelihoods of the steps ahead; returns where they end.
  #lookAhead(): number {
    const end = Math.min(this.#trace.steps, this.#steps + AHEAD);
    for (let step = this.#steps; step < end; step++) {
      likelihoods(this.#trace, step, this.#scores);
      this.#ahead.set(this.#scores, (step - this.#steps) * KINDS.length);
    }
    return end;
  }

  // Audio that is complete ends with the text: with its last sound, or the pause behind that.
  #endWithText(states: Float64Array, low: number, stays: Float64Array): void {
    const { skips } = this.#chain;
    const last = skips.length - 1;
    states.fill(0);
    let rest = 1;
    for (let unit = last; unit >= low; unit--) {
      const ending = statesOf(states, unit - low);
      if (unit === last) ending.fill(1);
      else if (ending.length > 0) ending[STATES - 1] = (1 - stays[(unit + 1) * STATES - 1]!) * rest;
      rest *= skips[unit]!;
    }
  }
}

function statesOf(states: Float64Array, unit: number): Float64Array {
  return states.subarray(unit * STATES, (unit + 1) * STATES);
}

// The largest index from which on `shares` sum up to at least `least`.
function lastReaching(shares: Float64Array, least: number): number {
  let sum = 0;
  for (let index = shares.length - 1; index > 0; index--) {
    sum += shares[index]!;
    if (sum >= least) return index;
  }
  return 0;
}

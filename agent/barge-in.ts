/** What happens to the agent's voice when the caller speaks. */
export interface BargeInPolicy {
  /** `interrupt` takes it back for good; `pause` holds it until it is known whether the caller meant it. */
  readonly action: "interrupt" | "pause";
  /** Voice of the caller that it takes, in milliseconds. */
  readonly minDurationMs: number;
  /** With `pause`: how long after the caller's silence the voice continues, in milliseconds, unless it was decided. */
  readonly falseAlarmMs: number;
  /** With `pause`: whether a question decides in place of the time. */
  readonly asks: boolean;
}

/** What to do with speeches, by their ids. */
export interface BargeInAction {
  readonly kind: "pause" | "resume" | "interrupt" | "ask";
  readonly ids: readonly number[];
}

/**
 * Decides what a caller's speech does to an agent's. `calm`: nothing; `pending`: the caller speaks, not long enough yet;
 * `held`: the agent is paused while the caller speaks; `asking` and `settling`: the caller is silent again, and a question
 * or the time decides. Pure: every event returns what is to be done. A speech that was said after the caller began is
 * never touched.
 */
export class BargeIn {
  readonly #policy: BargeInPolicy;
  /** Speeches that are said or wait to be. */
  readonly #active = new Set<number>();
  /** Those among them that the caller speaks over. */
  #caught = new Set<number>();
  #phase: "calm" | "pending" | "held" | "asking" | "settling" = "calm";
  #settlesAt = 0;

  constructor(policy: BargeInPolicy) {
    this.#policy = policy;
  }

  /** Whether time matters: {@link tick} is to be called. */
  get waits(): boolean {
    return this.#phase === "pending" || this.#phase === "settling";
  }

  /** Whether the agent is paused. */
  get holds(): boolean {
    return this.#phase === "held" || this.#phase === "asking" || this.#phase === "settling";
  }

  /** The agent says something: what it had paused is answered by that. */
  said(id: number): readonly BargeInAction[] {
    const actions = this.holds ? this.#finish("interrupt") : [];
    this.#active.add(id);
    return actions;
  }

  /** A speech is over. */
  ended(id: number): void {
    this.#active.delete(id);
    this.#caught.delete(id);
    if (this.#caught.size === 0) this.#phase = "calm";
  }

  /** The caller began to speak, with `voicedMs` of voice by now. */
  speech(voicedMs: number): readonly BargeInAction[] {
    if (this.holds) this.#phase = "held";
    if (this.#phase !== "calm" || this.#active.size === 0) return [];
    this.#caught = new Set(this.#active);
    this.#phase = "pending";
    return this.#act(voicedMs);
  }

  /** The caller is silent. */
  silence(now: number): readonly BargeInAction[] {
    if (this.#phase === "pending") this.#calm();
    if (this.#phase !== "held") return [];
    this.#phase = this.#policy.asks ? "asking" : "settling";
    this.#settlesAt = now + this.#policy.falseAlarmMs;
    return this.#phase === "asking" ? [{ kind: "ask", ids: [...this.#caught] }] : [];
  }

  /** Time went by; the caller's voice is `voicedMs` long. */
  tick(now: number, voicedMs: number): readonly BargeInAction[] {
    if (this.#phase === "pending") return this.#act(voicedMs);
    if (this.#phase === "settling" && now >= this.#settlesAt) return this.#finish("resume");
    return [];
  }

  /** The question is answered; an answer that the caller has spoken into does not count. */
  answered(isFalseAlarm: boolean): readonly BargeInAction[] {
    return this.#phase === "asking" ? this.#finish(isFalseAlarm ? "resume" : "interrupt") : [];
  }

  /** The application decides, whatever else is going on. */
  decide(isFalseAlarm: boolean): readonly BargeInAction[] {
    return this.holds ? this.#finish(isFalseAlarm ? "resume" : "interrupt") : [];
  }

  #act(voicedMs: number): readonly BargeInAction[] {
    if (voicedMs < this.#policy.minDurationMs) return [];
    if (this.#policy.action === "interrupt") return this.#finish("interrupt");
    this.#phase = "held";
    return [{ kind: "pause", ids: [...this.#caught] }];
  }

  #finish(kind: "resume" | "interrupt"): readonly BargeInAction[] {
    const ids = [...this.#caught];
    this.#calm();
    return ids.length > 0 ? [{ kind, ids }] : [];
  }

  #calm(): void {
    this.#phase = "calm";
    this.#caught = new Set();
  }
}

/** Effect of the caller's speech on the agent's voice. */
export interface BargeInPolicy {
  /** `interrupt` takes it back for good; `pause` holds it until it is known whether the caller meant it. */
  readonly action: "interrupt" | "pause";
  /** Minimum voice of the caller, in milliseconds. */
  readonly minDurationMs: number;
  /** With `pause`: how long after the caller's silence the voice continues, in milliseconds, unless decided before. */
  readonly falseAlarmMs: number;
  /** With `pause`: whether to ask a question about the caller's speech, whose answer decides. */
  readonly asks: boolean;
}

/** An action on speeches, by their ids. */
export interface BargeInAction {
  readonly kind: "pause" | "resume" | "interrupt" | "ask";
  readonly ids: readonly number[];
}

/**
 * Decides how a caller's speech affects an agent's. `calm`: no effect; `pending`: the caller speaks, not long enough
 * yet; `held`: the agent is paused while the caller speaks; `asking` and `settling`: the caller is silent again, and the
 * time decides unless the answer to a question does. Pure: every event returns the actions to take. It never touches a speech that was said
 * after the caller began.
 */
export class BargeIn {
  readonly #policy: BargeInPolicy;
  /** Speeches that play or wait. */
  readonly #active = new Set<number>();
  /** Those among them that the caller speaks over. */
  #caught = new Set<number>();
  #phase: "calm" | "pending" | "held" | "asking" | "settling" = "calm";
  #settlesAt = 0;
  #question = 0;

  constructor(policy: BargeInPolicy) {
    this.#policy = policy;
  }

  /** Whether time matters: call {@link tick} then. */
  get waits(): boolean {
    return this.#phase === "pending" || this.#isQuiet;
  }

  /** Whether the agent is paused. */
  get holds(): boolean {
    return this.#phase === "held" || this.#isQuiet;
  }

  /** Number of the latest question. */
  get question(): number {
    return this.#question;
  }

  /** The agent says a new speech, which answers the paused ones. */
  said(id: number): readonly BargeInAction[] {
    const actions = this.holds ? this.#finish("interrupt") : [];
    this.#active.add(id);
    return actions;
  }

  /** The application resumes an interrupted speech. Unlike a new one, that answers no paused one. */
  resumed(id: number): void {
    this.#active.add(id);
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

  /** The caller is silent, after `voicedMs` of voice: in a busy process that may be the first look at it. */
  silence(now: number, voicedMs = 0): readonly BargeInAction[] {
    const late = this.#phase === "pending" ? this.#act(voicedMs) : [];
    if (this.#phase === "pending") this.#calm();
    return [...late, ...this.#settle(now)];
  }

  /** Time has passed; the caller's voice is `voicedMs` long. */
  tick(now: number, voicedMs: number): readonly BargeInAction[] {
    if (this.#phase === "pending") return this.#act(voicedMs);
    if (this.#isQuiet && now >= this.#settlesAt) return this.#finish("resume");
    return [];
  }

  /** The answer to a question; one that the caller has spoken into does not count, however late it comes. */
  answered(question: number, isFalseAlarm: boolean): readonly BargeInAction[] {
    const counts = this.#phase === "asking" && question === this.#question;
    return counts ? this.#finish(isFalseAlarm ? "resume" : "interrupt") : [];
  }

  /** The application decides, in any state. */
  decide(isFalseAlarm: boolean): readonly BargeInAction[] {
    return this.holds ? this.#finish(isFalseAlarm ? "resume" : "interrupt") : [];
  }

  /** Whether the agent is paused and the caller silent again. */
  get #isQuiet(): boolean {
    return this.#phase === "asking" || this.#phase === "settling";
  }

  #settle(now: number): readonly BargeInAction[] {
    if (this.#phase !== "held") return [];
    this.#phase = this.#policy.asks ? "asking" : "settling";
    this.#settlesAt = now + this.#policy.falseAlarmMs;
    if (this.#phase !== "asking") return [];
    this.#question++;
    return [{ kind: "ask", ids: [...this.#caught] }];
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

import { expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { SessionLife } from "./session-life.js";

/** A session on a virtual clock, with the peer's traffic and answers. */
class Stage {
  nowMs = 0;
  asked = 0;
  /** How often the peer sends, and how soon it answers; undefined while it is stopped. */
  peer: { readonly everyMs: number; readonly answerMs: number } | undefined;
  readonly life = new SessionLife({
    clock: () => fromMilliseconds(this.nowMs),
    ask: () => {
      this.asked++;
      return new Promise((resolve) => {
        this.#questions.push({ at: this.nowMs, resolve });
      });
    },
  });
  #questions: { readonly at: number; readonly resolve: (answered: boolean) => void }[] = [];

  constructor(peer: Stage["peer"]) {
    this.peer = peer;
  }

  /** Runs on, checking ten times a second; returns when the verdict changed, and to what. */
  async runTo(untilMs: number): Promise<{ readonly atMs: number; readonly alive: boolean }[]> {
    const changes: { readonly atMs: number; readonly alive: boolean }[] = [];
    let alive = this.life.check();
    for (; this.nowMs <= untilMs; this.nowMs += 10) {
      if (this.peer !== undefined) {
        const { everyMs, answerMs } = this.peer;
        if (this.nowMs % everyMs === 0) this.life.heard();
        const ready = this.#questions.filter(({ at }) => this.nowMs >= at + answerMs);
        this.#questions = this.#questions.filter((each) => !ready.includes(each));
        for (const { resolve } of ready) resolve(true);
        await Promise.resolve();
      }
      if (this.nowMs % 100 !== 0) continue;
      const next = this.life.check();
      if (next !== alive) changes.push({ atMs: this.nowMs, alive: next });
      alive = next;
    }
    return changes;
  }
}

const SPEAKING = { everyMs: 20, answerMs: 40 };
const RESTING = { everyMs: 1e9, answerMs: 200 };

test("a publisher that speaks or answers is alive, however long it is not asked in between", async () => {
  for (const peer of [SPEAKING, RESTING]) {
    const stage = new Stage(peer);
    expect(await stage.runTo(60_000)).toEqual([]);
    stage.nowMs += 3_600_000;
    expect(await stage.runTo(stage.nowMs + 10_000)).toEqual([]);
    // Often enough to notice within seconds, and at most once a second.
    expect(stage.asked).toBeLessThanOrEqual(70);
  }
});

test.each([SPEAKING, RESTING])(
  "a publisher that is killed is found dead within 2.5 s, stays so, and is not asked without end",
  async (peer) => {
    const stage = new Stage(peer);
    await stage.runTo(5000);
    stage.peer = undefined;
    const changes = await stage.runTo(65_000);
    expect(changes).toEqual([{ atMs: expect.any(Number), alive: false }]);
    expect(changes[0]!.atMs).toBeLessThanOrEqual(7500);
    const { asked } = stage;
    await stage.runTo(600_000);
    expect(stage.asked).toBeLessThanOrEqual(asked);
  },
);

test.each([SPEAKING, RESTING])(
  "a publisher whose process was stopped is alive again as soon as it goes on",
  async (peer) => {
    const stage = new Stage(peer);
    await stage.runTo(5000);
    stage.peer = undefined;
    await stage.runTo(20_000);
    stage.peer = peer;
    const changes = await stage.runTo(40_000);
    expect(changes).toEqual([{ atMs: expect.any(Number), alive: true }]);
    expect(changes[0]!.atMs).toBeLessThanOrEqual(20_200);
  },
);

import type { Colours, Look } from "./messages.js";
import { type AheadBar, CELL_MS, type TakenBack, type Timeline } from "./timeline.js";

/** Milliseconds ahead of the playhead that fit in the picture. */
const AHEAD_MS = 2500;
/** Where the playhead stands, as a share of the width. */
const PLAYHEAD = 0.46;
/** How long a bar rises when it arrives, in milliseconds. */
const RISE_MS = 260;
/** Audio taken back: struck through until, and falling from, in milliseconds; and how long one bar falls. */
const FALL = { struck: 260, from: 420, spread: 500, lasts: 900 };
/** Room under the bars for the lines that name them. */
const FOOT = 52;
/** Least height of a bar, in pixels: a dot where it is silent. */
const DOT = 2;
/** Frames per second with reduced motion. */
const CALM_FPS = 4;

interface Layout {
  readonly width: number;
  readonly height: number;
  readonly middle: number;
  readonly now: number;
  readonly perMs: number;
  readonly bar: number;
  readonly font: string;
}

/**
 * Draws the running picture of the timeline: the audio heard, the playhead, and the audio ahead, which can be taken
 * back.
 */
export class Picture {
  readonly #canvas: OffscreenCanvas;
  readonly #context: OffscreenCanvasRenderingContext2D | null;
  readonly #timeline: Timeline;
  #isCalm = false;
  #colours: Colours | undefined;
  #layout: Layout | undefined;
  #takenBack: TakenBack | undefined;
  #drawnAt = Number.NEGATIVE_INFINITY;
  /** Whether it shows what it showed before, where nothing moves. */
  #isStill = false;

  constructor(canvas: OffscreenCanvas, timeline: Timeline) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#timeline = timeline;
  }

  /** Takes the page's style. */
  become(look: Look): void {
    const { width, height, scale, font } = look;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    const now = Math.round(width * PLAYHEAD);
    const perMs = (width - now) / AHEAD_MS;
    const middle = (height - FOOT) / 2;
    this.#layout = { width, height, middle, now, perMs, bar: Math.max(2, perMs * CELL_MS * 0.6), font };
    this.#colours = look.colours;
    this.#isCalm = look.calm;
    this.refresh();
  }

  /** Has the next frame drawn, whatever moves. */
  refresh(): void {
    this.#isStill = false;
    this.#drawnAt = Number.NEGATIVE_INFINITY;
  }

  /** Animates audio that was taken back. */
  drop(takenBack: TakenBack): void {
    this.#takenBack = takenBack;
    this.refresh();
  }

  /** Draws the picture as it is at `now`. */
  draw(now: number): void {
    const context = this.#context;
    const isIdle = this.#timeline.playheadUs === undefined && !this.#takenBack;
    if (!context || !this.#layout || this.#layout.width === 0 || (isIdle && this.#isStill)) return;
    if (this.#isCalm && now - this.#drawnAt < 1000 / CALM_FPS) return;
    this.#drawnAt = now;
    this.#isStill = isIdle;
    const { width, height } = this.#layout;
    const scale = this.#canvas.width / width;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const bars = this.#timeline.bars(now);
    if (this.#timeline.playheadUs === undefined) this.#drawOutline(context, this.#layout);
    else this.#drawHeard(context, this.#layout, now);
    this.#drawAhead(context, this.#layout, bars, now);
    this.#drawTakenBack(context, this.#layout, now);
    this.#drawPlayhead(context, this.#layout);
    this.#drawNames(context, this.#layout);
  }

  /** Before any audio: the shape of the recording. */
  #drawOutline(context: OffscreenCanvasRenderingContext2D, layout: Layout): void {
    const step = CELL_MS * layout.perMs;
    context.beginPath();
    this.#timeline.outline(Math.ceil(layout.width / step)).forEach((height, index) => {
      bars(context, layout, index * step, height);
    });
    context.fillStyle = this.#colours!.line;
    context.fill();
  }

  #drawHeard(context: OffscreenCanvasRenderingContext2D, layout: Layout, now: number): void {
    const { heights, phase } = this.#timeline.heard(now);
    const { perMs, bar } = layout;
    context.beginPath();
    heights.forEach((height, back) => {
      // The newest bar ends at the playhead, and grows until its time is over.
      const right = layout.now - (back + phase - 1) * CELL_MS * perMs;
      const left = right - (CELL_MS * perMs + bar) / 2;
      if (right < -bar || left > layout.now - bar) return;
      bars(context, layout, left, height);
    });
    context.fillStyle = this.#colours!.heard;
    context.fill();
  }

  #drawAhead(
    context: OffscreenCanvasRenderingContext2D,
    layout: Layout,
    ahead: readonly AheadBar[],
    now: number,
  ): void {
    for (const isReceived of [true, false]) {
      context.beginPath();
      for (const one of ahead) {
        if (one.isReceived !== isReceived) continue;
        const risen = this.#isCalm ? 1 : ease(Math.min(1, (now - one.since) / RISE_MS));
        bars(context, layout, layout.now + one.offsetMs * layout.perMs - layout.bar / 2, one.height * risen);
      }
      context.fillStyle = this.#colours!.ahead;
      context.strokeStyle = this.#colours!.ahead;
      context.lineWidth = 1;
      if (isReceived) context.fill();
      else context.stroke();
    }
  }

  #drawTakenBack(context: OffscreenCanvasRenderingContext2D, layout: Layout, now: number): void {
    const taken = this.#takenBack;
    if (!taken) return;
    const age = now - taken.at;
    if (age > FALL.from + FALL.spread + FALL.lasts) this.#takenBack = undefined;
    const calm = this.#isCalm;
    context.fillStyle = this.#colours!.red;
    taken.bars.forEach(({ offsetMs, height }, index) => {
      const late = (index / Math.max(1, taken.bars.length)) * FALL.spread;
      const falling = calm ? 0 : Math.max(0, age - FALL.from - late) / FALL.lasts;
      if (falling >= 1) return;
      context.globalAlpha = 1 - falling ** 2;
      context.beginPath();
      const dropped = falling ** 2 * (layout.height - layout.middle);
      bars(context, layout, layout.now + offsetMs * layout.perMs - layout.bar / 2, height, dropped);
      context.fill();
    });
    this.#strike(context, layout, taken, age);
    context.globalAlpha = 1;
  }

  /** The line through the audio taken back, drawn from the playhead on. */
  #strike(context: OffscreenCanvasRenderingContext2D, layout: Layout, { bars }: TakenBack, age: number): void {
    const [first, last] = [bars[0], bars.at(-1)];
    if (!first || !last) return;
    const drawn = this.#isCalm ? 1 : ease(Math.min(1, age / FALL.struck));
    const left = layout.now + (first.offsetMs - CELL_MS) * layout.perMs;
    const right = layout.now + (last.offsetMs + CELL_MS) * layout.perMs;
    const length = (Math.min(right, layout.width) - left) * drawn;
    context.globalAlpha = Math.max(0, 1 - Math.max(0, age - FALL.from) / FALL.spread);
    context.fillStyle = this.#colours!.card;
    context.fillRect(left, layout.middle - 4, length, 8);
    context.fillStyle = this.#colours!.red;
    context.fillRect(left, layout.middle - 2, length, 4);
  }

  #drawPlayhead(context: OffscreenCanvasRenderingContext2D, { now, height }: Layout): void {
    context.fillStyle = this.#colours!.ink;
    context.fillRect(now - 1, 10, 2, height - FOOT - 10);
    context.beginPath();
    context.arc(now, 8, 5, 0, Math.PI * 2);
    context.fill();
  }

  /** The labels under the bars. */
  #drawNames(context: OffscreenCanvasRenderingContext2D, layout: Layout): void {
    const { now, perMs, width, height } = layout;
    const { receivedMs, sentMs } = this.#timeline.ahead;
    const top = height - FOOT + 8;
    context.font = layout.font;
    context.textBaseline = "top";
    if (this.#timeline.playheadUs !== undefined)
      this.#name(context, { from: 0, to: now - 8, top, text: "heard", colour: this.#colours!.heard, align: "right" });
    const colour = this.#colours!.ahead;
    const to = (ms: number): number => Math.min(width, now + 8 + Math.max(0, ms * perMs - 8));
    if (receivedMs >= CELL_MS) {
      this.#name(context, {
        from: now + 8,
        to: to(receivedMs),
        top,
        text: `received ${inSeconds(receivedMs)}`,
        colour,
      });
    }
    if (sentMs >= CELL_MS) {
      const text = `sent ${inSeconds(sentMs)}`;
      this.#name(context, { from: now + 8, to: to(sentMs), top: top + FOOT / 2 - 2, text, colour });
    }
  }

  #name(
    context: OffscreenCanvasRenderingContext2D,
    name: {
      readonly from: number;
      readonly to: number;
      readonly top: number;
      readonly text: string;
      readonly colour: string;
      readonly align?: "right";
    },
  ): void {
    context.fillStyle = name.colour;
    context.fillRect(name.from, name.top - 5, Math.max(0, name.to - name.from), 2);
    context.fillStyle = this.#colours!.soft;
    context.textAlign = name.align ?? "left";
    context.fillText(name.text, name.align === "right" ? name.to : name.from, name.top);
  }
}

/** Adds a bar about the middle line, or a dot where it has no height. */
function bars(
  context: OffscreenCanvasRenderingContext2D,
  { middle, bar }: Layout,
  left: number,
  height: number,
  dropped = 0,
): void {
  const half = Math.max(DOT / 2, height * (middle - 14));
  context.roundRect(left, middle - half + dropped, bar, half * 2, Math.min(bar / 2, half));
}

function ease(share: number): number {
  return 1 - (1 - share) ** 3;
}

function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

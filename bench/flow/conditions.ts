import type { PublisherAblation, PublisherOptions } from "../../publisher/index.js";
import type { Relay, RelayOptions } from "../../relay/index.js";
import type { Link } from "../../tests/support/impairment.js";
import type { FarEnd } from "./far-end.js";

/** The audio that is sent. */
export interface Medium {
  readonly name: string;
  readonly channels: 1 | 2;
  readonly options: Partial<PublisherOptions>;
}

/** One part of the design left out, or nothing. */
export interface Variant {
  readonly name: string | undefined;
  readonly publisher: PublisherAblation;
  readonly relay: RelayOptions;
  readonly ablation?: ConstructorParameters<typeof Relay>[1];
}

/** A step of a condition: a change of its link, at a share of the measured time. */
export interface Step {
  readonly at: number;
  /** `rateBps` is what the medium takes on the wire. */
  act(farEnd: FarEnd, lane: number, rateBps: number): Promise<void>;
}

/** A path between relay and listener. */
export interface Condition {
  readonly name: string;
  /** Name of its plot. */
  readonly file: string;
  readonly links: (rateBps: number) => { readonly up?: Link; readonly down?: Link };
  readonly steps: readonly Step[];
  readonly variants: readonly Variant[];
}

/** Frames are this long, so that a PCM group is 3840 bytes. */
export const FRAME_MS = 20;

export const MEDIA: readonly Medium[] = [
  { name: "opus", channels: 1, options: { opus: { complexity: 0 } } },
  { name: "pcm", channels: 2, options: { codec: "pcm", channels: 2 } },
];

/** Larger than any queue here, which is what no window comes to. */
const NO_WINDOW_MS = 3_600_000;

const WHOLE: Variant = { name: undefined, publisher: {}, relay: {} };
const NO_ESTIMATOR: Variant = {
  name: "estimator off",
  publisher: { ignoreStaleness: true },
  relay: {},
  ablation: { ignoreStaleness: true },
};
const UNGATED: Variant = { name: "ungated", publisher: { ungatedLead: true }, relay: {} };
const NO_WINDOW: Variant = {
  name: "no window",
  publisher: { ignoreWindow: true },
  relay: { limits: { windowMs: NO_WINDOW_MS } },
};

/** A bottleneck with a queue that never drops. */
function bottleneck(rateBps: number): Link {
  return { rateBps, queueBytes: Number.POSITIVE_INFINITY };
}

/** Where the step begins and ends, as shares of the measured time. */
export const STEP = { from: 0.2, to: 0.7 } as const;

/** Where the queue on the way up begins to grow, and is gone. */
export const UPWARD = { from: 0.1, to: 0.9 } as const;
/** Its length, and how long it grows to it. */
const UPWARD_MS = 5000;
const UPWARD_RAMP_MS = 6000;

export const DIRECT: Condition = { name: "direct", file: "direct", links: () => ({}), steps: [], variants: [WHOLE] };
export const AMPLE: Condition = {
  name: "2.6x",
  file: "rate-2.6",
  links: (rateBps) => ({ down: bottleneck(2.6 * rateBps) }),
  steps: [],
  variants: [WHOLE],
};
export const TIGHT: Condition = {
  name: "1.04x",
  file: "rate-1.04",
  links: (rateBps) => ({ down: bottleneck(1.04 * rateBps) }),
  steps: [],
  variants: [WHOLE, UNGATED, NO_WINDOW],
};
export const ONSET: Condition = {
  name: "step to 1.2x and back",
  file: "step-1.2",
  links: () => ({}),
  steps: [
    {
      at: STEP.from,
      act: (farEnd, lane, rateBps) => farEnd.setLink(lane, { down: bottleneck(1.2 * rateBps) }),
    },
    { at: STEP.to, act: (farEnd, lane) => farEnd.setLink(lane, { down: {} }) },
  ],
  variants: [WHOLE, UNGATED, NO_WINDOW],
};
export const UPWARD_QUEUE: Condition = {
  name: "5 s queue upward",
  file: "upward-queue",
  links: () => ({}),
  steps: [
    {
      at: UPWARD.from,
      act: (farEnd, lane) => farEnd.rampUp(lane, { fromMs: 0, toMs: UPWARD_MS, overMs: UPWARD_RAMP_MS }),
    },
    { at: UPWARD.to, act: (farEnd, lane) => farEnd.setLink(lane, { up: {} }) },
  ],
  variants: [WHOLE, NO_ESTIMATOR],
};
export const LOSSY: Condition = {
  name: "2 % loss, 100 ms RTT",
  file: "loss",
  links: () => ({ up: { delayMs: 50, loss: 0.02 }, down: { delayMs: 50, loss: 0.02 } }),
  steps: [],
  variants: [WHOLE],
};

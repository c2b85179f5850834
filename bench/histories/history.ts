import { seededRandom } from "../harness.js";

/** Carrier of a listener's session; with `any` the listener chooses. */
export type Carrier = "quic" | "qmux" | "any";

/** Something to say, and how the service that makes it delivers it. */
export interface Speech {
  readonly utterance: number;
  readonly lengthMs: number;
  /** Speed of the service in seconds of audio per second; `Infinity` for audio that is there at once. */
  readonly pace: number;
  readonly chunkMs: number;
  readonly firstAfterMs: number;
}

/** Impairment of one direction of a link; see the tests' `Link`. */
export interface Weather {
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly reorder: boolean;
  /** 0 to 1. */
  readonly loss: number;
}

/** A process of the stage: the publisher, the relay, the edge, or a listener by its number. */
export type Role = "publisher" | "relay" | "edge" | `listener-${number}`;

/** One event of a history, at a time in milliseconds from its start. */
export type Event = { readonly atMs: number } & (
  | { readonly do: "say"; readonly speech: Speech }
  | { readonly do: "interrupt" }
  | { readonly do: "resume" }
  | { readonly do: "gain"; readonly db: number }
  | { readonly do: "join"; readonly listener: number; readonly carrier: Carrier; readonly at: "relay" | "edge" }
  | { readonly do: "kill"; readonly role: Role; readonly forMs: number }
  | { readonly do: "stop"; readonly role: Role; readonly forMs: number }
  | { readonly do: "cut"; readonly role: Role; readonly how: "blackhole" | "udp" | "reset"; readonly forMs: number }
  | { readonly do: "weather"; readonly role: Role; readonly weather: Weather; readonly forMs: number }
  | { readonly do: "jump"; readonly role: Role; readonly byMs: number }
  /** Another publisher takes the broadcast's name, and leaves in order or by being killed. */
  | { readonly do: "rival"; readonly role: "publisher"; readonly leaves: "closes" | "dies"; readonly forMs: number }
);

/** A seeded sequence of events, all of it: what runs is nothing but this. */
export interface History {
  readonly seed: number;
  readonly lengthMs: number;
  readonly frameMs: 5 | 10 | 20;
  readonly events: readonly Event[];
}

const LISTENERS = 3;

/** Draws a history. The same seed and length give the same history. */
export function drawHistory(seed: number, lengthMs: number): History {
  const random = seededRandom(seed);
  const pick = <T>(...values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const between = (low: number, high: number): number => Math.round(low + (high - low) * random());
  const roles: Role[] = ["publisher", "relay", "listener-0", "listener-1", "listener-2"];
  const hasEdge = random() < 0.3;
  if (hasEdge) roles.push("edge");
  const events: Event[] = [];
  for (let listener = 0; listener < LISTENERS; listener++) {
    const atMs = listener === 0 ? 0 : between(0, lengthMs / 4);
    const at = hasEdge && random() < 0.6 ? "edge" : "relay";
    events.push({ atMs, do: "join", listener, carrier: pick<Carrier>("quic", "quic", "qmux", "any"), at });
  }
  let utterance = 0;
  let atMs = between(200, 1200);
  // A conversation: something is said, it ends or is cut short, perhaps it goes on, then there is a pause.
  while (atMs < lengthMs - 500) {
    const speech: Speech = {
      utterance: utterance++,
      lengthMs: pick(5, between(20, 300), between(300, 1500), between(1500, 4000)),
      pace: pick(Infinity, Infinity, 0.8, 0.9, 1, 1.1, 1.5, 3),
      chunkMs: pick(10, 20, 40, 100, 250),
      firstAfterMs: pick(0, 0, 0, between(0, 400), 2000),
    };
    events.push({ atMs, do: "say", speech });
    const playsMs = Math.max(speech.lengthMs, speech.pace === Infinity ? 0 : speech.lengthMs / speech.pace);
    const heardByMs = atMs + speech.firstAfterMs + playsMs + 400;
    if (random() < 0.4) {
      const cutMs = between(atMs, heardByMs);
      events.push({ atMs: cutMs, do: "interrupt" });
      const resumes = random() < 0.4;
      if (resumes) events.push({ atMs: cutMs + between(20, 800), do: "resume" });
      atMs = (resumes ? heardByMs + 800 : cutMs) + pick(0, 0, 50, between(50, 800));
    } else {
      if (random() < 0.2) events.push({ atMs: between(atMs, heardByMs), do: "gain", db: pick(0, -3, -6) });
      atMs = random() < 0.3 ? between(atMs, heardByMs) : heardByMs + pick(0, 100, between(100, 1500), 2500);
    }
  }
  const faults = between(1, Math.max(1, lengthMs / 4000));
  for (let n = 0; n < faults; n++) events.push(drawFault());
  return { seed, lengthMs, frameMs: pick(20, 20, 10, 5), events: events.sort((a, b) => a.atMs - b.atMs) };

  function drawFault(): Event {
    const role = pick(...roles);
    const faultMs = between(1500, Math.max(1600, lengthMs - 3000));
    const forMs = pick(between(50, 400), between(400, 2000), between(2000, 5000));
    const kind = pick("kill", "stop", "stop", "cut", "weather", "weather", "jump", "rival");
    // A relay has no path of its own; what is between it and others is theirs.
    const client: Role = role === "relay" ? "listener-0" : role;
    if (kind === "kill") return { atMs: faultMs, do: "kill", role, forMs: Math.min(forMs, 2000) };
    if (kind === "stop") return { atMs: faultMs, do: "stop", role, forMs: pick(forMs, 6000) };
    if (kind === "cut")
      return { atMs: faultMs, do: "cut", role: client, how: pick("blackhole", "udp", "reset"), forMs };
    if (kind === "rival")
      return { atMs: faultMs, do: "rival", role: "publisher", leaves: pick("closes", "dies"), forMs };
    if (kind === "jump") return { atMs: faultMs, do: "jump", role, byMs: pick(-3_600_000, 3_600_000) };
    const delayMs = pick(0, between(5, 60), 150);
    const weather = {
      delayMs,
      jitterMs: pick(0, between(2, 40)),
      reorder: random() < 0.5,
      loss: pick(0, 0.01, 0.02, 0.05),
    };
    return { atMs: faultMs, do: "weather", role: client, weather, forMs: forMs * 2 };
  }
}

/** When a history's last fault is over, in milliseconds from its start. */
export function calmAtMs({ events, lengthMs }: History): number {
  return Math.max(lengthMs, ...events.map((event) => event.atMs + ("forMs" in event ? event.forMs : 0)));
}

/** One line an event, for people. */
export function describe(event: Event): string {
  const { atMs, do: what, ...rest } = event;
  const details = Object.entries(
    "speech" in rest ? rest.speech : "weather" in rest ? { ...rest, ...rest.weather, weather: "" } : rest,
  )
    .filter(([, value]) => value !== "")
    .map(([key, value]) => `${key} ${value}`);
  return `${(atMs / 1000).toFixed(3).padStart(8)} s  ${what} ${details.join(", ")}`;
}

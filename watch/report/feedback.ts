import * as Moq from "@kixelated/moq";
import { FEEDBACK_TRACK, feedbackPath } from "../../flow/report/index.js";

/** How long a relay should keep a report that a newer one has replaced, in milliseconds. */
const RETAIN_MS = 500;

/**
 * Carries reports on a small broadcast of the listener's own, for relays that do not read them: one group for every
 * report. It is announced with the first.
 */
export class Feedback {
  readonly #connection: Moq.Connection.Established;
  readonly #session: number;
  #path: string | undefined;
  #broadcast: Moq.Broadcast.Producer | undefined;
  #track: Moq.Track.Producer | undefined;
  #sent = 0;

  /** `session` is the listener's random id. */
  constructor({
    connection,
    session,
  }: {
    readonly connection: Moq.Connection.Established;
    readonly session: number;
  }) {
    this.#connection = connection;
    this.#session = session;
  }

  /** Reports sent. */
  get sent(): number {
    return this.#sent;
  }

  /** Publishes one report about the broadcast at a path. */
  send(path: string, record: Uint8Array): void {
    if (path !== this.#path) this.close();
    if (this.#track === undefined) {
      this.#path = path;
      this.#broadcast = new Moq.Broadcast.Producer();
      this.#track = this.#broadcast.createTrack(FEEDBACK_TRACK, { latencyMax: RETAIN_MS, priority: 200 });
      this.#connection.publish(Moq.Path.from(feedbackPath(path, this.#session)), this.#broadcast);
    }
    const group = this.#track.appendGroup();
    group.writeFrame({ payload: record, timestamp: Moq.Time.Timestamp.now() });
    group.close();
    this.#sent++;
  }

  /** Withdraws the broadcast; idempotent. */
  close(): void {
    this.#broadcast?.close();
    this.#broadcast = undefined;
    this.#track = undefined;
  }
}

import * as Moq from "@kixelated/moq";
import { FEEDBACK_TRACK, feedbackPath } from "../../flow/report/index.js";
import { FrameTrackWriter } from "../../transport/moq.js";

/** Reports have priority over audio, and a relay need not keep one that a newer one replaced. */
const FEEDBACK = { name: FEEDBACK_TRACK, priority: 200, retainMs: 500 };

/**
 * Carries reports on a small broadcast of the listener's own, for relays that do not read them: one group per report.
 * The first report announces it.
 */
export class Feedback {
  readonly #connection: Moq.Connection.Established;
  readonly #session: number;
  #path: string | undefined;
  #broadcast: Moq.Broadcast.Producer | undefined;
  #track: FrameTrackWriter | undefined;
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
      this.#track = new FrameTrackWriter(this.#broadcast, FEEDBACK);
      this.#connection.publish(Moq.Path.from(feedbackPath(path, this.#session)), this.#broadcast);
    }
    this.#track.write(record);
    this.#sent++;
  }

  /** Ends the broadcast; idempotent. */
  close(): void {
    this.#broadcast?.close();
    this.#broadcast = undefined;
    this.#track = undefined;
  }
}

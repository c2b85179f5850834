import { type Microseconds, microseconds } from "../../base/index.js";
import type { SendStream, Session } from "../../transport/index.js";
import type { ByteBudget } from "../broadcast/byte-budget.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import { Code } from "../wire/code.js";
import type { FrameForm } from "../wire/group.js";

/** State that all groups in flight to one watcher share. */
export interface Sending {
  readonly form: FrameForm;
  /** Subscribe id of the session. */
  readonly subscribe: number;
  readonly counters: RelayCounters;
  /** Bytes of all groups to the session that the transport has not taken yet. */
  readonly pending: ByteBudget;
}

/** One group in flight to one watcher on a stream: one native write for everything new since the last one. */
export class GroupStream {
  readonly record: CachedGroup;
  /** Its start. */
  readonly since: Microseconds;
  readonly #sending: Sending;
  #stream: SendStream | undefined;
  #sentFrames = 0;
  #busy = false;
  /** How long it has waited for the transport. */
  #waited: Microseconds = microseconds(0);
  /** Its pending bytes while it waits for the transport: the group it keeps alive, and the copy being written. */
  #pendingBytes = 0;
  #finished = false;
  #cancelCode: number | undefined;

  constructor(record: CachedGroup, since: Microseconds, sending: Sending) {
    this.record = record;
    this.since = since;
    this.#sending = sending;
  }

  /** Whether it waits for the transport. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Whether all of it has arrived, where the transport reports that; then a reset would change nothing. */
  get settled(): boolean {
    return this.#stream?.settled === true;
  }

  /** Notes that time has passed; returns how long it has waited for the transport. */
  wait(elapsed: Microseconds): Microseconds {
    if (this.#busy) this.#waited = microseconds(this.#waited + elapsed);
    return this.#waited;
  }

  /**
   * Opens the stream and sends the frames so far. Resolves once the transport has taken them: with false when the
   * stream failed.
   */
  open(session: Session, priority: number): Promise<boolean> {
    return this.#wait(this.record.cost, async () => {
      const stream = await session.openUnidirectional({ priority });
      if (this.#cancelCode !== undefined) stream.reset(this.#cancelCode);
      else {
        this.#stream = stream;
        await this.#write(stream);
      }
    });
  }

  /**
   * Sends the frames since the last write, like {@link open}; undefined while that write is pending or there are none.
   */
  progress(): Promise<boolean> | undefined {
    const stream = this.#stream;
    if (stream === undefined || this.#busy || this.#finished || this.#cancelCode !== undefined) return undefined;
    if (this.record.frames.length > this.#sentFrames) return this.#wait(0, () => this.#write(stream));
    this.#finishIfEnded(stream);
    return undefined;
  }

  /** Resets the stream, even after its end; false when it had failed or was cancelled before. */
  cancel(code: number): boolean {
    if (this.#cancelCode !== undefined) return false;
    this.#cancelCode = code;
    this.#stream?.reset(code);
    return true;
  }

  async #write(stream: SendStream): Promise<void> {
    const { record } = this;
    const { form, subscribe, counters } = this.#sending;
    while (record.frames.length > this.#sentFrames && this.#cancelCode === undefined) {
      const from = this.#sentFrames;
      const bytes = from === 0 ? record.opening(form, subscribe) : record.following(form, from);
      this.#sentFrames = record.frames.length;
      counters.objectsOut += this.#sentFrames - from;
      counters.bytesOut += bytes.length;
      this.#hold(record.cost + bytes.length);
      const written = stream.write(bytes);
      // The end of a whole group goes in the same packet.
      this.#finishIfEnded(stream);
      await written;
    }
    if (this.#cancelCode === undefined) this.#finishIfEnded(stream);
  }

  #finishIfEnded(stream: SendStream): void {
    if (this.#finished || !this.record.ended || this.#sentFrames < this.record.frames.length) return;
    this.#finished = true;
    void stream.finish();
  }

  async #wait(bytes: number, work: () => Promise<void>): Promise<boolean> {
    this.#busy = true;
    this.#hold(bytes);
    try {
      await work();
      return true;
    } catch {
      if (this.#cancelCode === undefined) this.#sending.counters.streamsFailed++;
      this.#cancelCode ??= Code.CANCEL;
      return false;
    } finally {
      this.#busy = false;
      this.#hold(0);
    }
  }

  #hold(bytes: number): void {
    this.#sending.pending.add(bytes - this.#pendingBytes);
    this.#pendingBytes = bytes;
    this.#waited = microseconds(0);
  }
}

import type { Clock, Microseconds } from "../../base/index.js";
import type { SendStream, Session } from "../../transport/index.js";
import type { ByteBudget } from "../broadcast/byte-budget.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import { Code } from "../wire/code.js";
import type { FrameForm } from "../wire/group.js";

/** What all groups on their way to one watcher share. */
export interface Sending {
  readonly form: FrameForm;
  /** Subscribe id of the session. */
  readonly subscribe: number;
  readonly counters: RelayCounters;
  readonly clock: Clock;
  /** Bytes of all groups to the session that the transport has not taken yet. */
  readonly pending: ByteBudget;
  /** Told when a group begins to wait for the transport, and when it ends to. */
  readonly onBusy: (change: 1 | -1) => void;
  /** Told when a stream could not be opened or written. */
  readonly onFailed: (outgoing: GroupStream) => void;
}

/** One group on its way to one watcher on a stream: one native write for whatever has come since the last one. */
export class GroupStream {
  readonly record: CachedGroup;
  /** When it was started. */
  readonly since: Microseconds;
  readonly #sending: Sending;
  #stream: SendStream | undefined;
  #sentFrames = 0;
  #busy = false;
  #busySince: Microseconds;
  /** What it counts for while it waits for the transport: the group it keeps alive, and the copy that is being written. */
  #pendingBytes = 0;
  #finished = false;
  #cancelCode: number | undefined;

  constructor(record: CachedGroup, since: Microseconds, sending: Sending) {
    this.record = record;
    this.since = since;
    this.#sending = sending;
    this.#busySince = since;
  }

  /** Whether it waits for the transport. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Whether all of it has arrived, where the transport tells; then a reset would change nothing. */
  get settled(): boolean {
    return this.#stream?.settled === true;
  }

  /** How long it has waited for the transport, in microseconds. */
  busyFor(now: Microseconds): number {
    return this.#busy ? now - this.#busySince : 0;
  }

  /** Opens the stream and sends what there is. */
  open(session: Session, priority: number): void {
    this.#setBusy(true, this.record.cost);
    session.openUnidirectional({ priority }).then(
      (stream) => {
        if (this.#cancelCode !== undefined) {
          stream.reset(this.#cancelCode);
          this.#setBusy(false);
          return;
        }
        this.#stream = stream;
        this.#setBusy(false);
        this.progress();
      },
      () => this.#fail(),
    );
  }

  /** Sends what has come since the last write; waits while that one is under way. */
  progress(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#busy || this.#finished || this.#cancelCode !== undefined) return;
    const { record } = this;
    const { form, subscribe, counters } = this.#sending;
    const count = record.frames.length;
    if (count > this.#sentFrames) {
      const bytes = this.#sentFrames === 0 ? record.opening(form, subscribe) : record.following(form, this.#sentFrames);
      counters.objectsOut += count - this.#sentFrames;
      counters.bytesOut += bytes.length;
      this.#sentFrames = count;
      this.#setBusy(true, record.cost + bytes.length);
      stream.write(bytes).then(
        () => {
          this.#setBusy(false);
          this.progress();
        },
        () => this.#fail(),
      );
    }
    if (record.ended && this.#sentFrames >= record.frames.length) {
      this.#finished = true;
      void stream.finish();
    }
  }

  /** Resets the stream, also after its end; false when it had failed or was cancelled before. */
  cancel(code: number): boolean {
    if (this.#cancelCode !== undefined) return false;
    this.#cancelCode = code;
    this.#stream?.reset(code);
    return true;
  }

  #setBusy(busy: boolean, bytes = 0): void {
    if (this.#busy === busy) return;
    this.#busy = busy;
    this.#sending.pending.add(bytes - this.#pendingBytes);
    this.#pendingBytes = bytes;
    if (busy) this.#busySince = this.#sending.clock();
    this.#sending.onBusy(busy ? 1 : -1);
  }

  #fail(): void {
    if (this.#cancelCode === undefined) this.#sending.counters.streamsFailed++;
    this.#cancelCode ??= Code.CANCEL;
    this.#sending.onFailed(this);
    this.#setBusy(false);
  }
}

import { TransportError } from "../../base/index.js";
import { StreamError } from "../adapter/stream-error.js";
import type { ReceiveStream, SendStream } from "../session.js";
import { type FinishedStream, FinishedStreams, giveUp } from "./finished-streams.js";
import type { NativeReceiveStream, NativeSendStream } from "./native.js";

const READ_BYTES = 65_536;

/**
 * The streams of a session. The binding ends a stream when its object is garbage-collected, so the session must hold a
 * reference for its whole life.
 *
 * @internal
 */
export class SessionStreams {
  /** Streams that have not ended. */
  readonly open = new Set<QuicSendStream | QuicReceiveStream>();
  /** Streams that have ended and may still be in flight. */
  readonly finished = new FinishedStreams();

  /** Drops every reference. */
  close(): void {
    this.open.clear();
    this.finished.close();
  }
}

const DONE = Promise.resolve();

/**
 * The writing half of a QUIC stream: one native call per write.
 *
 * Native calls run on other threads in no particular order, so each one waits for a pending write before it. A reset or
 * a new priority waits inside the binding while a write waits for the peer's flow control.
 *
 * @internal
 */
export class QuicSendStream implements SendStream, FinishedStream {
  #native: NativeSendStream | undefined;
  #streams: SessionStreams;
  #priority: number;
  // Kept after the end until everything has arrived, so that a reset can still drop unsent data.
  #finished: NativeSendStream | undefined;
  #settled = false;
  #tail: Promise<void> | undefined;
  #failed: Error | undefined;
  #abandoned = false;
  // Created on demand: a relay opens thousands of streams a second and never needs it.
  #stopped: Promise<number | undefined> | undefined;
  #onStopped: ((code: number | undefined) => void) | undefined;
  #ended = false;
  #stopCode: number | undefined;

  constructor(native: NativeSendStream, streams: SessionStreams, priority: number) {
    this.#native = native;
    this.#streams = streams;
    this.#priority = 0;
    streams.open.add(this);
    if (priority !== 0) this.setPriority(priority);
  }

  get finished(): NativeSendStream | undefined {
    return this.#finished;
  }

  get priority(): number {
    return this.#priority;
  }

  get settled(): boolean {
    return this.#settled;
  }

  get stopped(): Promise<number | undefined> {
    this.#stopped ??= this.#ended
      ? Promise.resolve(this.#stopCode)
      : new Promise((resolve) => {
          this.#onStopped = resolve;
        });
    return this.#stopped;
  }

  write(data: Uint8Array): Promise<void> {
    const native = this.#native;
    if (!native) return this.#failed ? Promise.reject(this.#failed) : DONE;
    const written = this.#tail
      ? this.#tail.then(() => (this.#abandoned ? undefined : native.write(data)))
      : native.write(data);
    const tracked: Promise<void> = written.then(
      () => {
        if (this.#tail === tracked) this.#tail = undefined;
      },
      (cause: unknown) => {
        throw this.#fail(cause);
      },
    );
    // A rejection that no caller awaits must not crash the process; a caller that awaits still gets it.
    tracked.catch(ignore);
    this.#tail = tracked;
    return tracked;
  }

  finish(): Promise<void> {
    const native = this.#native;
    if (!native) return DONE;
    const tail = this.#tail;
    this.#release();
    this.#finished = native;
    const finished = tail ? this.#drain(native, tail) : native.finish();
    return finished.then(
      () => {
        if (this.#finished) this.#streams.finished.add(this);
        this.#settleStopped(undefined);
      },
      () => {
        giveUp(native);
        this.settle();
        this.#settleStopped(undefined);
      },
    );
  }

  reset(code: number): void {
    const native = this.#native ?? this.#finished;
    if (!native) return;
    this.#release();
    this.settle();
    this.#abandoned = true;
    this.#settleStopped(undefined);
    native.reset(code).catch(ignore);
  }

  setPriority(priority: number): void {
    if (!this.#native) return;
    this.#priority = priority;
    this.#native.setPriority(priority).catch(ignore);
  }

  settle(): void {
    this.#finished = undefined;
    this.#settled = true;
  }

  async #drain(native: NativeSendStream, tail: Promise<void>): Promise<void> {
    await tail;
    if (!this.#abandoned) await native.finish();
  }

  #release(): void {
    this.#native = undefined;
    this.#streams.open.delete(this);
  }

  #settleStopped(code: number | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopCode = code;
    this.#onStopped?.(code);
  }

  #fail(cause: unknown): Error {
    if (this.#failed) return this.#failed;
    if (this.#native) giveUp(this.#native);
    const text = cause instanceof Error ? cause.message : String(cause);
    const code = streamCode(text, "STOP_SENDING: ");
    this.#failed =
      code === undefined
        ? new TransportError("SESSION_CLOSED", `The stream cannot be written: ${text}.`, { cause })
        : new StreamError("STREAM_STOPPED", code, { cause });
    this.#release();
    this.#settleStopped(code);
    return this.#failed;
  }
}

/** The reading half of a QUIC stream. @internal */
export class QuicReceiveStream implements ReceiveStream {
  #native: NativeReceiveStream | undefined;
  #streams: SessionStreams;
  #failed: Error | undefined;
  #stopWaiting: (() => void) | undefined;

  constructor(native: NativeReceiveStream, streams: SessionStreams) {
    this.#native = native;
    this.#streams = streams;
    streams.open.add(this);
  }

  read(): Promise<Uint8Array | undefined> {
    const native = this.#native;
    if (!native) return this.#failed ? Promise.reject(this.#failed) : Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#stopWaiting = () => resolve(undefined);
      native.read(READ_BYTES).then(
        (data) => {
          if (data) return resolve(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
          this.#release();
          resolve(undefined);
        },
        (cause: unknown) => {
          const text = cause instanceof Error ? cause.message : String(cause);
          const code = streamCode(text, "RESET_STREAM: ");
          this.#release();
          this.#failed =
            code === undefined
              ? new TransportError("SESSION_CLOSED", `The stream cannot be read: ${text}.`, { cause })
              : new StreamError("STREAM_RESET", code, { cause });
          reject(this.#failed);
        },
      );
    });
  }

  stop(code: number): void {
    const native = this.#native;
    if (!native) return;
    this.#release();
    // While a read waits, the binding sends the stop when the next bytes arrive.
    native.stop(code).catch(ignore);
    this.#stopWaiting?.();
  }

  #release(): void {
    this.#native = undefined;
    this.#streams.open.delete(this);
  }
}

function streamCode(text: string, prefix: string): number | undefined {
  // "invalid" is a code outside WebTransport's range, such as QUIC's own 0 of a peer that dropped the stream.
  if (text.startsWith(`invalid ${prefix}`)) return 0;
  if (!text.startsWith(prefix)) return undefined;
  const code = Number(text.slice(prefix.length));
  return Number.isSafeInteger(code) ? code : undefined;
}

function ignore(): void {}

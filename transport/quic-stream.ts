import { TransportError } from "../base/index.js";
import type { NativeReceiveStream, NativeSendStream } from "./native.js";
import type { ReceiveStream, SendStream } from "./session.js";
import { StreamError } from "./stream-error.js";

const READ_BYTES = 65_536;
const DONE = Promise.resolve();

/**
 * The writing half of a QUIC stream: one native call per write.
 *
 * Native calls run on other threads in no particular order, so whatever follows a write that has not resolved yet
 * waits for it. A reset or a new priority waits inside the binding while a write waits for the peer's flow control.
 *
 * @internal
 */
export class QuicSendStream implements SendStream {
  #native: NativeSendStream | undefined;
  // Kept after the end, so that a reset can still drop what lies unsent.
  #finished: NativeSendStream | undefined;
  #tail: Promise<void> | undefined;
  #failed: Error | undefined;
  #abandoned = false;
  // Made when somebody asks: a relay opens thousands of streams a second and never does.
  #stopped: Promise<number | undefined> | undefined;
  #onStopped: ((code: number | undefined) => void) | undefined;
  #ended = false;
  #stopCode: number | undefined;

  constructor(native: NativeSendStream, priority: number) {
    this.#native = native;
    if (priority !== 0) this.setPriority(priority);
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
    // A caller who does not wait must not bring the process down; one who does still sees the rejection.
    tracked.catch(ignore);
    this.#tail = tracked;
    return tracked;
  }

  finish(): Promise<void> {
    const native = this.#native;
    if (!native) return DONE;
    const tail = this.#tail;
    this.#native = undefined;
    this.#finished = native;
    const finished = tail ? this.#drain(native, tail) : native.finish();
    const settle = (): void => this.#settleStopped(undefined);
    return finished.then(settle, settle);
  }

  reset(code: number): void {
    const native = this.#native ?? this.#finished;
    if (!native) return;
    this.#native = undefined;
    this.#finished = undefined;
    this.#abandoned = true;
    this.#settleStopped(undefined);
    native.reset(code).catch(ignore);
  }

  setPriority(priority: number): void {
    this.#native?.setPriority(priority).catch(ignore);
  }

  async #drain(native: NativeSendStream, tail: Promise<void>): Promise<void> {
    await tail;
    if (!this.#abandoned) await native.finish();
  }

  #settleStopped(code: number | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopCode = code;
    this.#onStopped?.(code);
  }

  #fail(cause: unknown): Error {
    if (this.#failed) return this.#failed;
    const text = cause instanceof Error ? cause.message : String(cause);
    const code = streamCode(text, "STOP_SENDING: ");
    this.#failed =
      code === undefined
        ? new TransportError("SESSION_CLOSED", `The stream can not be written: ${text}.`, { cause })
        : new StreamError("STREAM_STOPPED", code, { cause });
    this.#native = undefined;
    this.#settleStopped(code);
    return this.#failed;
  }
}

/** The reading half of a QUIC stream. @internal */
export class QuicReceiveStream implements ReceiveStream {
  #native: NativeReceiveStream | undefined;
  #failed: Error | undefined;
  #stopWaiting: (() => void) | undefined;

  constructor(native: NativeReceiveStream) {
    this.#native = native;
  }

  read(): Promise<Uint8Array | undefined> {
    const native = this.#native;
    if (!native) return this.#failed ? Promise.reject(this.#failed) : Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#stopWaiting = () => resolve(undefined);
      native.read(READ_BYTES).then(
        (data) => {
          if (data) return resolve(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
          this.#native = undefined;
          resolve(undefined);
        },
        (cause: unknown) => {
          const text = cause instanceof Error ? cause.message : String(cause);
          const code = streamCode(text, "RESET_STREAM: ");
          this.#native = undefined;
          this.#failed =
            code === undefined
              ? new TransportError("SESSION_CLOSED", `The stream can not be read: ${text}.`, { cause })
              : new StreamError("STREAM_RESET", code, { cause });
          reject(this.#failed);
        },
      );
    });
  }

  stop(code: number): void {
    const native = this.#native;
    if (!native) return;
    this.#native = undefined;
    // While a read waits, the binding sends the stop when the next bytes arrive.
    native.stop(code).catch(ignore);
    this.#stopWaiting?.();
  }
}

function streamCode(text: string, prefix: string): number | undefined {
  if (!text.startsWith(prefix)) return undefined;
  const code = Number(text.slice(prefix.length));
  return Number.isSafeInteger(code) ? code : undefined;
}

function ignore(): void {}

import { concatenate, ProtocolError, varintSizeFrom } from "../../base/index.js";
import type { ReceiveStream } from "../../transport/index.js";
import { MessageReader } from "./message-reader.js";

/** First varint of a bidirectional stream. */
export const StreamType = {
  SESSION: 0,
  ANNOUNCE: 1,
  SUBSCRIBE: 2,
  FETCH: 3,
  PROBE: 4,
  GOAWAY: 5,
  TRACK: 6,
  CLIENT_SETUP: 0x20,
  SERVER_SETUP: 0x21,
} as const;

/** First varint of a unidirectional stream. */
export const DataType = { GROUP: 0, SETUP: 1 } as const;

const EMPTY = new Uint8Array(0);
// A group of audio is far shorter, one of video far longer.
const DISCARD_BYTES = 4096;

/** Reads varints and whole messages from a stream, holding no more than one message of bounded length. */
export class StreamReader {
  readonly #stream: ReceiveStream;
  readonly #maxMessageBytes: number;
  #pending: Uint8Array = EMPTY;

  constructor(stream: ReceiveStream, maxMessageBytes: number) {
    this.#stream = stream;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** Whether the stream begins with these bytes, which it then consumes; otherwise it consumes none. */
  async startsWith(prefix: Uint8Array): Promise<boolean> {
    // Byte by byte: a stream of another kind may be shorter.
    for (let length = 1; length <= prefix.length; length++)
      if (!(await this.#fill(length)) || this.#pending[length - 1] !== prefix[length - 1]) return false;
    this.#take(prefix.length);
    return true;
  }

  /** A varint, or undefined when the stream ends before it. */
  async varintMaybe(): Promise<number | undefined> {
    if (!(await this.#fill(1))) return undefined;
    return this.varint();
  }

  /**
   * A varint.
   *
   * @throws ProtocolError `TRUNCATED_MESSAGE` when the stream ends within it.
   */
  async varint(): Promise<number> {
    await this.#need(1);
    const size = varintSizeFrom(this.#pending[0]!);
    await this.#need(size);
    return new MessageReader(this.#take(size)).varint();
  }

  /** The body of a message behind its varint length; throws `MESSAGE_TOO_LONG` or `TRUNCATED_MESSAGE`. */
  async message(): Promise<MessageReader> {
    return this.#body(await this.varint());
  }

  /** The body of a message, or undefined when the stream ends before it. */
  async messageMaybe(): Promise<MessageReader | undefined> {
    const length = await this.varintMaybe();
    return length === undefined ? undefined : this.#body(length);
  }

  /** The body of a message behind a length of two bytes, as the SETUP exchange has it. */
  async shortMessage(): Promise<MessageReader> {
    await this.#need(2);
    return this.#body(new MessageReader(this.#take(2)).uint16());
  }

  /** Bytes read ahead, then any further bytes, or undefined at the end. */
  async chunk(): Promise<Uint8Array | undefined> {
    if (this.#pending.length === 0) return this.#stream.read();
    return this.#take(this.#pending.length);
  }

  /** Resolves at the end of the stream, ignoring its rest; rejects when it was reset. */
  async drain(): Promise<void> {
    while ((await this.chunk()) !== undefined);
  }

  /**
   * Reads unwanted bytes up to the end where that is near, and stops the stream with a code where it is far; rejects
   * when it was reset. Until then a stream counts against the peer's limit. A stream that is stopped just before its
   * end can count for good: its sender is done with it and need not notice.
   */
  async discard(code: number): Promise<void> {
    let bytes = 0;
    for (let chunk = await this.chunk(); chunk !== undefined; chunk = await this.chunk()) {
      bytes += chunk.length;
      if (bytes > DISCARD_BYTES) return this.#stream.stop(code);
    }
  }

  async #body(length: number): Promise<MessageReader> {
    if (length > this.#maxMessageBytes)
      throw new ProtocolError(
        "MESSAGE_TOO_LONG",
        `A message of ${length} bytes exceeds the limit of ${this.#maxMessageBytes}.`,
      );
    await this.#need(length);
    return new MessageReader(this.#take(length));
  }

  #take(length: number): Uint8Array {
    const taken = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return taken;
  }

  async #need(length: number): Promise<void> {
    if (!(await this.#fill(length)))
      throw new ProtocolError("TRUNCATED_MESSAGE", "A stream ended in the middle of a message.");
  }

  async #fill(length: number): Promise<boolean> {
    while (this.#pending.length < length) {
      const chunk = await this.#stream.read();
      if (chunk === undefined) return false;
      this.#pending = this.#pending.length === 0 ? chunk : concatenate([this.#pending, chunk]);
    }
    return true;
  }
}

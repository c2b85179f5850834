import { ByteReader, ProtocolError, type ReadFault } from "../../base/index.js";

const UTF8 = new TextDecoder("utf-8", { fatal: true });

const FAULTS: Readonly<Record<ReadFault, string>> = {
  TRUNCATED_MESSAGE: "A message ended in the middle of one of its fields.",
  VALUE_TOO_LARGE: "A number field of a message was larger than 2^53 - 1.",
};

/**
 * Reads fields from one whole message. Every read is bounded by the message and throws a `ProtocolError`
 * (`TRUNCATED_MESSAGE`, `VALUE_TOO_LARGE`, `STRING_TOO_LONG`, `INVALID_TEXT`, `INVALID_FLAG`, `TRAILING_BYTES`).
 */
export class MessageReader extends ByteReader {
  /** One byte that is 0 or 1. */
  flag(): boolean {
    const value = this.byte();
    if (value > 1) throw new ProtocolError("INVALID_FLAG", `A boolean field of a message was ${value}, not 0 or 1.`);
    return value === 1;
  }

  /** UTF-8 text behind its length. */
  string(maxBytes: number): string {
    const length = this.varint();
    if (length > maxBytes)
      throw new ProtocolError(
        "STRING_TOO_LONG",
        `A text field of a message has ${length} bytes, more than ${maxBytes}.`,
      );
    try {
      return UTF8.decode(this.bytes(length));
    } catch (cause) {
      if (cause instanceof ProtocolError) throw cause;
      throw new ProtocolError("INVALID_TEXT", "A text field of a message is not valid UTF-8.", { cause });
    }
  }

  /** Checks that the whole message was read. */
  end(): void {
    if (this.remaining > 0)
      throw new ProtocolError("TRAILING_BYTES", `A message has ${this.remaining} bytes after its last field.`);
  }

  protected override fail(fault: ReadFault): never {
    throw new ProtocolError(fault, FAULTS[fault]);
  }
}

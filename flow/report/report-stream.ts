import { ProtocolError } from "../../base/index.js";
import { MAX_AGGREGATE_BYTES } from "./aggregate.js";
import { isReportDatagram } from "./record.js";

const TYPE_BYTES = 8;
const LENGTH_BYTES = 2;

/**
 * The first bytes of the one-way stream that carries reports where a session has no datagrams: the reserved id as the
 * stream's type.
 */
export const REPORT_STREAM_TYPE: Uint8Array = new Uint8Array(TYPE_BYTES).fill(0xff);

/** Frames an encoded record for the report stream: its length in 16 bits, most significant byte first, then the record. */
export function frameReport(record: Uint8Array): Uint8Array {
  const framed = new Uint8Array(LENGTH_BYTES + record.length);
  new DataView(framed.buffer).setUint16(0, record.length);
  framed.set(record, LENGTH_BYTES);
  return framed;
}

/** The stream that a {@link ReportStreamWriter} writes to. */
export interface ReportStream {
  /** Resolves once the transport has taken the bytes. */
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * Sends records over one long-lived one-way stream, which the first record opens. While the transport is blocked, only
 * the newest record waits: an old playhead is worthless.
 */
export class ReportStreamWriter {
  readonly #open: () => Promise<ReportStream>;
  #stream: ReportStream | undefined;
  #waiting: Uint8Array | undefined;
  #replaced = 0;
  #running = false;
  #failed = false;

  constructor(open: () => Promise<ReportStream>) {
    this.#open = open;
  }

  /** Records that a newer one replaced before they were sent. */
  get replaced(): number {
    return this.#replaced;
  }

  /** Takes a record; false once the stream has failed. */
  send(record: Uint8Array): boolean {
    if (this.#failed) return false;
    if (this.#waiting !== undefined) this.#replaced++;
    this.#waiting = record;
    if (!this.#running) {
      this.#running = true;
      this.#run().catch(() => {
        this.#failed = true;
      });
    }
    return true;
  }

  async #run(): Promise<void> {
    if (this.#stream === undefined) {
      this.#stream = await this.#open();
      await this.#stream.write(REPORT_STREAM_TYPE);
    }
    while (this.#waiting !== undefined) {
      const record = this.#waiting;
      this.#waiting = undefined;
      await this.#stream.write(frameReport(record));
    }
    this.#running = false;
  }
}

/** Splits the bytes of a report stream, after its type, into records. It holds less than one record at a time. */
export class ReportStreamReader {
  #held = new Uint8Array(0);

  /**
   * Takes bytes as they come; returns the records they complete, oldest first.
   *
   * @throws ProtocolError `REPORT_STREAM` on an impossible length or an invalid record, after which the stream must be
   * dropped.
   */
  push(bytes: Uint8Array): Uint8Array[] {
    const whole = new Uint8Array(this.#held.length + bytes.length);
    whole.set(this.#held);
    whole.set(bytes, this.#held.length);
    const view = new DataView(whole.buffer);
    const records: Uint8Array[] = [];
    let offset = 0;
    while (whole.length - offset >= LENGTH_BYTES) {
      const length = view.getUint16(offset);
      if (length < TYPE_BYTES || length > MAX_AGGREGATE_BYTES)
        throw new ProtocolError("REPORT_STREAM", `A report on a stream cannot have ${length} bytes.`);
      const end = offset + LENGTH_BYTES + length;
      if (end > whole.length) break;
      const record = whole.slice(offset + LENGTH_BYTES, end);
      if (!isReportDatagram(record))
        throw new ProtocolError("REPORT_STREAM", "The report stream holds bytes that are not a report.");
      records.push(record);
      offset = end;
    }
    this.#held = whole.slice(offset);
    return records;
  }
}

/** Recognises reports and aggregates beside the protocol, for `openMoq`. */
export const REPORT_RECORDS = {
  streamType: REPORT_STREAM_TYPE,
  isRecord: isReportDatagram,
  newReader: () => new ReportStreamReader(),
};

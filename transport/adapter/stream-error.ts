import { TransportError } from "../../base/index.js";

/** A stream that the peer ended before its time; `code` is `STREAM_STOPPED` or `STREAM_RESET`. */
export class StreamError extends TransportError {
  /** The application code the peer sent, where the backend knows it. */
  readonly streamCode: number | undefined;

  constructor(code: "STREAM_STOPPED" | "STREAM_RESET", streamCode: number | undefined, options?: ErrorOptions) {
    const verb = code === "STREAM_STOPPED" ? "stopped" : "reset";
    super(code, `The peer ${verb} the stream${streamCode === undefined ? "" : ` with code ${streamCode}`}.`, options);
    this.streamCode = streamCode;
  }
}

import { TransportError } from "../../base/index.js";

/** A stream that the peer ended early; `code` is `STREAM_STOPPED` or `STREAM_RESET`. */
export class StreamError extends TransportError {
  /** The peer's application code, where the backend provides it. */
  readonly streamCode: number | undefined;

  constructor(code: "STREAM_STOPPED" | "STREAM_RESET", streamCode: number | undefined, options?: ErrorOptions) {
    const verb = code === "STREAM_STOPPED" ? "stopped" : "reset";
    super(code, `The peer ${verb} the stream${streamCode === undefined ? "" : ` with code ${streamCode}`}.`, options);
    this.streamCode = streamCode;
  }
}

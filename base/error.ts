/**
 * Base class of all errors that this package throws on purpose.
 *
 * `code` is stable across releases: match on it, not on the message. The message is one sentence that names the field,
 * file or address at fault.
 */
export class UnsayError extends Error {
  /** Stable upper-case identifier such as `INVALID_OPTION`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }

  /** Whether the same call may succeed later without any change by the caller, such as after a relay's restart. */
  get retryable(): boolean {
    return false;
  }
}

/** Input from outside (a flag, a file, JSON, a URL, an option) is invalid. */
export class InputError extends UnsayError {}

/** Answers of a relay, and faults of a set-up, that stay the same however often a client tries. */
const FINAL_CODES: ReadonlySet<string> = new Set([
  "UNAUTHORIZED",
  "NOT_GRANTED",
  "NAME_TAKEN",
  "CERTIFICATE_UNTRUSTED",
  "CA_UNUSABLE",
  "UNSUPPORTED_VERSION",
  "UPSTREAM_IS_SELF",
  "WRONG_HOST",
  "WRONG_ORIGIN",
  "NATIVE_UNAVAILABLE",
  "NATIVE_REFUSED",
  "HTTP3_UNAVAILABLE",
  "INSECURE_PAGE",
]);

/** A connection failed, was refused, or broke. */
export class TransportError extends UnsayError {
  /**
   * False for refusals: a wrong token, a name that is not granted or is taken, an untrusted certificate, no common
   * version.
   */
  override get retryable(): boolean {
    return !FINAL_CODES.has(this.code);
  }
}

/** The peer sent bytes that the protocol does not allow. */
export class ProtocolError extends UnsayError {}

/** Audio, video or a catalog could not be decoded or encoded. */
export class MediaError extends UnsayError {}

/** A denoising model is missing, broken, or violates its contract. */
export class ModelError extends UnsayError {}

/** An object was used in a state that does not allow it, such as after `close()`. */
export class StateError extends UnsayError {}

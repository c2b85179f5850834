/**
 * The root of every error this package throws on purpose.
 *
 * `code` is stable across releases: match on it, not on the message.
 * The message is one whole sentence that names the field, file or address at fault.
 */
export class UnsayError extends Error {
  /** Stable, upper-case identifier such as `INVALID_OPTION`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Input from outside (a flag, a file, JSON, a URL, an option) is not what it must be. */
export class InputError extends UnsayError {}

/** A connection could not be made, was refused, or broke. */
export class TransportError extends UnsayError {}

/** The peer sent bytes that the protocol does not allow. */
export class ProtocolError extends UnsayError {}

/** Audio, video or a catalog could not be decoded or encoded. */
export class MediaError extends UnsayError {}

/** A denoising model is missing, broken, or does not fulfil its contract. */
export class ModelError extends UnsayError {}

/** An object was used in a state that does not allow it, such as after `close()`. */
export class StateError extends UnsayError {}

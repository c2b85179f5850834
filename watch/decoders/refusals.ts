import { MediaError } from "../../base/index.js";

/** Recognises a decoder that refuses every packet: a single one that it can't take is only counted. */
export class Refusals {
  readonly #what: string;
  readonly #most: number;
  #count = 0;
  #error: MediaError | undefined;

  /** `most`: refusals in a row, without any output, that are no accident any more. */
  constructor(what: "audio" | "video", most: number) {
    this.#what = what;
    this.#most = most;
  }

  /** The error to report, until a packet can be decoded again. */
  get error(): MediaError | undefined {
    return this.#error;
  }

  /** The decoder refused a packet. */
  add(cause: unknown): void {
    this.#count++;
    if (this.#count < this.#most || this.#error) return;
    this.#error = new MediaError("UNDECODABLE", `The decoder refuses every packet of the ${this.#what}.`, { cause });
  }

  /** The decoder had an output. */
  clear(): void {
    this.#count = 0;
    this.#error = undefined;
  }
}

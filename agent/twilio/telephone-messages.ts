/** Ids of a call, in Twilio's form. */
export interface CallIds {
  /** `MZ` and 32 hex digits. */
  readonly streamSid: string;
  /** `CA` and 32 hex digits. */
  readonly callSid: string;
  /** `AC` and 32 hex digits. */
  readonly accountSid: string;
}

/** The keys of a telephone. */
export const DTMF_DIGITS = "0123456789*#ABCD";

const MEDIA_FORMAT = { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 };

/** Writes the messages of the telephone side of a Media Stream: text messages in order, numbers as strings. */
export class TelephoneMessages {
  readonly #ids: CallIds;
  #sequence = 0;
  #chunk = 0;

  constructor(ids: CallIds) {
    this.#ids = ids;
  }

  /** The first message. */
  connected(): string {
    return JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" });
  }

  /** The second message. The bot gets `customParameters` unchanged. */
  start(customParameters: Readonly<Record<string, string>>): string {
    return this.#message("start", {
      start: { ...this.#ids, tracks: ["inbound"], mediaFormat: MEDIA_FORMAT, customParameters },
    });
  }

  /** Audio of the caller, `timestampMs` after the start of the stream. */
  media(audio: Uint8Array, timestampMs: number): string {
    const payload = Buffer.from(audio.buffer, audio.byteOffset, audio.byteLength).toString("base64");
    const chunk = String(++this.#chunk);
    return this.#message("media", {
      media: { track: "inbound", chunk, timestamp: String(Math.round(timestampMs)), payload },
    });
  }

  /** A key pressed by the caller. */
  dtmf(digit: string): string {
    return this.#message("dtmf", { dtmf: { track: "inbound_track", digit } });
  }

  /** Confirms that the audio before a mark was heard or cleared. */
  mark(name: string): string {
    return this.#message("mark", { mark: { name } });
  }

  /** Ends the call. */
  stop(): string {
    const { accountSid, callSid } = this.#ids;
    return this.#message("stop", { stop: { accountSid, callSid } });
  }

  #message(event: string, fields: object): string {
    const sequenceNumber = String(++this.#sequence);
    return JSON.stringify({ event, sequenceNumber, streamSid: this.#ids.streamSid, ...fields });
  }
}

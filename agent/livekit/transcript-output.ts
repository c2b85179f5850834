import { isTimedString, type TimedString, voice } from "@livekit/agents";
import type { AudioOutput } from "./audio-output.js";

/**
 * Takes the text of a LiveKit `AgentSession` for its {@link AudioOutput}, so that an interrupted reply keeps the heard
 * words even where the text-to-speech service delivers no timings.
 */
export class TranscriptOutput extends voice.ParalellTextOutput {
  readonly #audio: AudioOutput;
  #isNew = true;

  constructor(audio: AudioOutput) {
    super([]);
    this.#audio = audio;
  }

  override async captureText(text: string | TimedString): Promise<void> {
    const plain = isTimedString(text) ? text.text : text;
    this.#audio.addText(plain, { isNew: this.#isNew });
    this.#isNew = false;
  }

  override flush(): void {
    this.#isNew = true;
  }
}

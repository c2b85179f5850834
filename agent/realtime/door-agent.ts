import { WebSocket } from "ws";
import { background, InputError, StateError } from "../../base/index.js";
import type { Speech } from "../../publisher/index.js";
import { tooMuch } from "../backlog.js";
import type { Caller } from "../caller/caller.js";
import { Problems } from "../problems.js";
import { FORMATS, realtimeFormat } from "./audio-format.js";
import { CallerAudio } from "./caller-audio.js";
import { type AgentEvent, decodeAgentEvent } from "./realtime-event.js";
import type { PartPlace } from "./realtime-part.js";
import type { RealtimePlayback } from "./realtime-playback.js";

/** Backlog of an agent that does not read: beyond this the caller's audio is dropped. */
const MAX_UNREAD_BYTES = 1024 * 1024;
/** An agent that leaves this much unread is closed: answers to its events would pile up. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;

const UNKNOWN_FORMAT = `An event of the agent names a format of audio other than ${FORMATS}.`;

/** A response of the agent, from its first audio until it is complete and heard, or cut. */
interface HeardResponse {
  readonly id: string;
  /** Parts that are not over. */
  left: number;
  /** Whether the agent knows that it sounds. */
  isSounding: boolean;
}

/** The connection of an agent. */
type AgentSocket = Pick<WebSocket, "readyState" | "bufferedAmount" | "send" | "terminate" | "close">;

/** One agent at a {@link RealtimeDoor}. */
export class DoorAgent {
  readonly #socket: AgentSocket;
  readonly #playback: RealtimePlayback;
  readonly #caller: CallerAudio | undefined;
  readonly #followed = new WeakSet<Speech>();
  /** In the order in which they are heard. */
  #heard: readonly HeardResponse[] = [];
  readonly #refused = new Problems();
  #isClosed = false;

  /**
   * `playback`: the door's, which may still play speech of earlier agents. `caller`: the person whom it hears, if any.
   */
  constructor(socket: AgentSocket, playback: RealtimePlayback, caller?: Pick<Caller, "frames">) {
    this.#socket = socket;
    this.#playback = playback;
    this.#caller = caller && new CallerAudio(caller, { frameMs: 20 });
    if (this.#caller) background("agent.door", this.#hear(this.#caller));
  }

  /** Takes an event. Returns its fault, if any. A closed agent's events do nothing. */
  receive(message: string | Uint8Array): string | undefined {
    if (this.#isClosed) return undefined;
    try {
      return this.#take(decodeAgentEvent(message));
    } catch (error) {
      if (!(error instanceof StateError) && !(error instanceof InputError)) throw error;
      return tooMuch("agent", error) ?? `An event of the agent can't be used: ${error.message}`;
    }
  }

  #take(event: AgentEvent): string | undefined {
    switch (event.type) {
      case "audio":
        this.#say(event.place, event.audio);
        return undefined;
      case "end":
        this.#playback.end(event.place);
        return undefined;
      case "text":
        this.#playback.text(event.place, event.text, event.words);
        return undefined;
      case "began":
        this.#playback.begin(event.responseId, realtimeFormat(event.format));
        return isKnown(event.format) ? undefined : UNKNOWN_FORMAT;
      case "done":
        this.#playback.complete(event.responseId);
        this.#stopComplete();
        return undefined;
      case "interrupt":
        this.#interrupt();
        return undefined;
      case "cancel":
        if (this.#playback.drop(event.responseId)) this.#stopComplete();
        else this.#interrupt();
        return undefined;
      case "formats":
        return this.#setFormats(event);
      case "invalid":
        return event.reason;
      default:
        return undefined;
    }
  }

  /** Answers an event that was not understood, once for each fault. */
  refuse(fault: string): void {
    if (!this.#refused.isNew(fault)) return;
    this.#send({ type: "error", error: { type: "invalid_request_error", code: "AGENT_EVENT", message: fault } });
  }

  /** The caller speaks: the agent falls silent. */
  callerSpoke(): void {
    this.#send({ type: "input_audio_buffer.speech_started" });
    this.#interrupt();
  }

  callerFellSilent(): void {
    this.#send({ type: "input_audio_buffer.speech_stopped" });
  }

  /** Audio already received is still said, until an interrupt. `reason`: said to the agent. Idempotent. */
  close(reason?: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#caller?.stop();
    this.#playback.leave();
    this.#socket.close(1000, reason);
  }

  async #hear(caller: CallerAudio): Promise<void> {
    for await (const bytes of caller.frames()) {
      if (this.#socket.bufferedAmount > MAX_UNREAD_BYTES) continue;
      this.#send({ type: "input_audio_buffer.append", audio: Buffer.from(bytes).toString("base64") });
    }
  }

  #setFormats({ input, output }: { readonly input: unknown; readonly output: unknown }): string | undefined {
    const [heard, said] = [realtimeFormat(input), realtimeFormat(output)];
    if (said !== undefined) this.#playback.setFormat(said);
    if (heard !== undefined && this.#caller?.setFormat(heard) === false)
      return "An event of the agent asks for the caller's audio at a rate that is no whole number of hertz.";
    return isKnown(input) && isKnown(output) ? undefined : UNKNOWN_FORMAT;
  }

  #say(place: PartPlace, audio: Uint8Array): void {
    this.#playback.audio(place, audio);
    const speech = this.#playback.speechOf(place);
    if (speech === undefined || this.#followed.has(speech)) return;
    this.#followed.add(speech);
    // Not every agent says when a response is complete; at the latest, it is with the first audio of the next one.
    this.#stopComplete();
    const response = this.#responseOf(place.responseId);
    response.left++;
    speech.on("started", () => this.#start(response));
    speech.on("finished", () => {
      response.left--;
      this.#stop(response);
    });
  }

  #responseOf(id: string): HeardResponse {
    const known = this.#heard.find((response) => response.id === id) ?? { id, left: 0, isSounding: false };
    // A part that continues after it was heard is heard behind the others.
    const isBehind = known.left === 0;
    if (isBehind) this.#heard = [...this.#heard.filter((response) => response !== known), known];
    return known;
  }

  #start(response: HeardResponse): void {
    if (response.isSounding || !this.#heard.includes(response)) return;
    // Those before it are over, although their last report may say so later.
    for (const before of this.#heard.slice(0, this.#heard.indexOf(response))) this.#fallSilent(before);
    response.isSounding = true;
    this.#send({ type: "output_audio_buffer.started", response_id: response.id });
  }

  #stopComplete(): void {
    for (const response of this.#heard) this.#stop(response);
  }

  // A response has several parts: its audio stops when it is complete and the last of them is over.
  #stop(response: HeardResponse): void {
    if (response.left > 0 || this.#playback.isInProgress(response.id) || !this.#heard.includes(response)) return;
    this.#heard = this.#heard.filter((each) => each !== response);
    this.#fallSilent(response);
  }

  #fallSilent(response: HeardResponse): void {
    if (!response.isSounding) return;
    response.isSounding = false;
    this.#send({ type: "output_audio_buffer.stopped", response_id: response.id });
  }

  #interrupt(): void {
    const { latest, playing, current } = this.#playback;
    if (latest === undefined && !playing) return;
    // Audio of which no listener has reported anything yet is cleared, too.
    const sounding = this.#heard.find(({ isSounding }) => isSounding)?.id ?? current ?? latest;
    // What the listeners still report of them comes too late for an agent that knows them to be cleared.
    this.#heard = [];
    const cut = this.#playback.interrupt();
    if (sounding !== undefined) this.#send({ type: "output_audio_buffer.cleared", response_id: sounding });
    background(
      "agent.door",
      cut.then((truncations) => {
        for (const { itemId, contentIndex, audioEndMs, heardText, exact } of truncations)
          this.#send({
            type: "conversation.item.truncate",
            item_id: itemId,
            content_index: contentIndex,
            audio_end_ms: audioEndMs,
            heardText,
            exact,
          });
      }),
    );
  }

  #send(event: object): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (this.#socket.bufferedAmount <= MAX_BACKLOG_BYTES) this.#socket.send(JSON.stringify(event));
    else {
      this.close();
      this.#socket.terminate();
    }
  }
}

/** Whether a format is one that audio can have, or none is named. */
function isKnown(format: unknown): boolean {
  return format == null || realtimeFormat(format) !== undefined;
}

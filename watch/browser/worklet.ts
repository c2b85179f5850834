import { Playout, type PlayoutOptions } from "../audio/playout.js";
import { PROCESSOR, type WorkletCommand, type WorkletStatus } from "./messages.js";

/** The part of the AudioWorklet's global scope used here; TypeScript's own libraries do not declare it. */
interface ProcessorBase {
  readonly port: MessagePort;
}
declare const AudioWorkletProcessor: new () => ProcessorBase;
declare function registerProcessor(
  name: string,
  processor: new (options: { processorOptions: PlayoutOptions }) => ProcessorBase,
): void;

/** Quanta of 128 frames between two statuses: about 20 ms. */
const STATUS_QUANTA = 8;

/** The speaker: pulls the shared {@link Playout} once per render quantum. */
class PlayoutProcessor extends AudioWorkletProcessor {
  readonly #playout: Playout;
  #open = true;
  #moving = false;
  #playing = false;
  #quanta = 0;
  #energy = 0;
  #samples = 0;
  #rewinds = 0;

  constructor({ processorOptions }: { processorOptions: PlayoutOptions }) {
    super();
    this.#playout = new Playout(processorOptions);
    this.port.onmessage = ({ data }: MessageEvent<WorkletCommand>) => this.#obey(data);
  }

  /** Called by the browser for every quantum of 128 frames; false ends the node. */
  process(_inputs: unknown, outputs: Float32Array[][]): boolean {
    const output = outputs[0]!;
    this.#playout.pull(output);
    for (const channel of output) for (const sample of channel) this.#energy += sample * sample;
    this.#samples += (output[0]?.length ?? 0) * output.length;
    const { playing, moving } = this.#playout;
    const changed = playing !== this.#playing || moving !== this.#moving;
    if (++this.#quanta >= STATUS_QUANTA || changed) this.#report();
    this.#playing = playing;
    this.#moving = moving;
    if (!this.#open) this.port.postMessage(null);
    return this.#open;
  }

  #obey(command: WorkletCommand): void {
    switch (command.type) {
      case "arrive":
        this.#playout.arrive(command.timestamp, command.begins);
        break;
      case "landed":
        this.#playout.landed(command.timestamp, command.copy);
        break;
      case "live":
        this.#playout.setLive(command.on);
        break;
      case "publisher":
        this.#playout.setPublisher(command.publisher);
        break;
      case "lost":
        this.#playout.lost(command.frames);
        this.#report();
        break;
      case "write":
        this.#playout.write(command.timestamp, command.samples, command.provenance);
        break;
      case "rewind":
        this.#playout.rewind(command.rewind);
        this.#rewinds++;
        this.#report();
        break;
      case "rewind-clock":
        this.#playout.clock.rewind(command.rewind);
        this.#rewinds++;
        this.#report();
        break;
      case "hold":
        this.#playout.hold(command.on);
        break;
      case "close":
        this.#open = false;
        break;
    }
  }

  #report(): void {
    const status: WorkletStatus = {
      playhead: this.#playout.playhead,
      heardUntil: this.#playout.heardUntil,
      missed: this.#playout.missed,
      earliest: this.#playout.clock.earliest,
      due: this.#playout.due,
      targetMs: this.#playout.targetMs,
      canWait: this.#playout.canWait,
      patient: this.#playout.patient,
      started: this.#playout.started,
      playing: this.#playout.playing,
      moving: this.#playout.moving,
      resting: this.#playout.resting,
      bufferedMs: this.#playout.bufferedMs,
      energy: this.#energy,
      samples: this.#samples,
      rewinds: this.#rewinds,
      applied: this.#playout.applied,
      counters: this.#playout.counters,
    };
    this.port.postMessage(status);
    this.#quanta = 0;
    this.#energy = 0;
    this.#samples = 0;
  }
}

registerProcessor(PROCESSOR, PlayoutProcessor);

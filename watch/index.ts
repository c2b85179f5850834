export { AudioPipeline, type Ticket } from "./audio/audio-pipeline.js";
export type { PlayoutRewind } from "./audio/playout.js";
export { SAMPLE_RATE } from "./audio/samples.js";
export { Controller } from "./control/controller.js";
export type {
  ControllerEvents,
  ControllerOperation,
  ControllerOptions,
  ControllerState,
  ControllerStats,
} from "./control/controller-options.js";
export { loadOpus } from "./decoders/opus.js";
export { Listener } from "./listener.js";
export type { ListenerEvents, ListenerOptions, ListenerStats } from "./listener-options.js";
export type { ListenerLanding, ListenerRewind, ListenerState } from "./options.js";
export { RawSink } from "./output/raw-sink.js";
export type { AudioSink, PlayedRun } from "./output/virtual-speaker.js";
export { WavSink, type WavSinkOptions } from "./output/wav-sink.js";

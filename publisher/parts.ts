import type { z } from "zod";
import { broadcastPath, type Clock, type Logger, monotonicClock } from "../base/index.js";
import { reach } from "../transport/index.js";
import { Controls } from "./control/controls.js";
import { RemoteControl } from "./control/remote-control.js";
import type { PublisherAblation, publisherOptionsSchema } from "./options.js";
import { CatalogWriter } from "./send/catalog-writer.js";
import { Deadlines } from "./send/deadlines.js";
import { Listeners } from "./send/listeners.js";
import { SendQueue } from "./send/send-queue.js";
import { Sender } from "./send/sender.js";
import { Uplink } from "./send/uplink.js";
import { UplinkEvents } from "./send/uplink-events.js";
import { SAMPLE_RATE } from "./source/resample.js";
import { Interrupts } from "./speech/interrupts.js";
import { Playback } from "./speech/playback.js";
import { Renderer } from "./speech/renderer.js";
import { AudioTrack } from "./tracks/audio-track.js";
import { OpusEncoder } from "./tracks/opus.js";
import { PCM_BITRATE_BPS, PcmEncoder } from "./tracks/pcm-encoder.js";
import { VideoTrack } from "./tracks/video-track.js";
import { VoiceTrack } from "./tracks/voice-track.js";
import { Wake } from "./wake.js";

/** A publisher's options with their defaults. */
export type PublisherSettings = z.output<typeof publisherOptionsSchema>;

export interface PublisherParts {
  readonly settings: PublisherSettings;
  readonly ablation: PublisherAblation;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly wake: Wake;
  readonly listeners: Listeners;
  readonly playback: Playback;
  readonly deadlines: Deadlines;
  readonly audioTrack: AudioTrack;
  readonly renderer: Renderer;
  readonly controls: Controls;
  readonly video: VideoTrack | undefined;
  readonly voice: VoiceTrack;
  readonly remote: RemoteControl | undefined;
  readonly events: UplinkEvents;
  readonly uplink: Uplink;
  readonly sendQueue: SendQueue;
  readonly sender: Sender;
  readonly interrupts: Interrupts;
  readonly catalog: CatalogWriter;
}

/** Maximum distance that a publisher sends ahead where it adapts to the link: see `LeadController`. */
const MAX_AHEAD_MS = 4350;

/** Creates the parts of a publisher and starts its uplink. */
export function makeParts(settings: PublisherSettings, logger: Logger, ablation: PublisherAblation): PublisherParts {
  const clock = monotonicClock;
  const wake = new Wake();
  const retainMs = (settings.aheadMs ?? 2000) + 5000;
  const lowBitrateBps = lowBitrateOf(settings);
  const listeners = new Listeners({
    clock,
    leadMode: ablation.ungatedLead ? "ungated" : "gated",
    staleness: !ablation.ignoreStaleness,
  });
  const playback = new Playback();
  const deadlines = new Deadlines({ ...settings, aheadMs: settings.aheadMs, start: clock(), listeners });
  const audioTrack = new AudioTrack({
    channels: settings.channels,
    frameMs: settings.frameMs,
    frameSize: (SAMPLE_RATE / 1000) * settings.frameMs,
    groupFrames: settings.groupFrames,
    capacity: Math.ceil(((settings.aheadMs ?? 5000) / 1000 + 5) * SAMPLE_RATE),
    rewindBy: settings.rewindBy,
    knobs: settings.denoise,
  });
  const renderer: Renderer = new Renderer({
    ...settings,
    clock,
    deadlines,
    audioTrack,
    logger,
    wake,
    // Speeches in the renderer call the interrupts, and the interrupts need the renderer: this object joins the two.
    control: {
      interrupt: (id) => interrupts.interrupt(id),
      pause: (id) => interrupts.pause(id),
      resume: (id) => interrupts.resume(id),
      phase: (id) => interrupts.phase(id),
      pieces: (id) => interrupts.pieces(id),
    },
  });
  const controls = new Controls({
    ...settings,
    sources: settings.sources,
    knobs: settings.denoise,
    renderer,
    audioTrack,
    wake,
    logger,
  });
  const { rewindBy } = settings;
  const voice = new VoiceTrack({ retainMs, rewindBy, source: audioTrack });
  const video = settings.video && new VideoTrack({ source: settings.video, retainMs, rewindBy, logger, wake });
  const remote = settings.control
    ? new RemoteControl({
        broadcast: settings.broadcast,
        clock,
        control: (operation, payload) => controls.request(operation, payload),
        logger,
      })
    : undefined;
  const events = new UplinkEvents(wake);
  const uplink = new Uplink({
    path: broadcastPath(settings.broadcast),
    reach: reach(settings.url, settings.connect),
    retainMs,
    low: lowBitrateBps !== false,
    logger,
    tracks: [video, voice, remote].filter((track) => track !== undefined),
    events,
    bound: listeners.bound,
  });
  const sendQueue = new SendQueue({
    bitrateBps: bitrateOf(settings),
    frameMs: settings.frameMs,
    window: !ablation.ignoreWindow,
    late: settings.mode === "ahead",
  });
  const { mode, frameMs } = settings;
  const sender = new Sender({
    mode,
    frameMs,
    clock,
    logger,
    wake,
    audioTrack,
    voice,
    renderer,
    sendQueue,
    uplink,
    listeners,
    deadlines,
  });
  const hasAudio = settings.audio;
  const interrupts: Interrupts = new Interrupts({
    clock,
    hasAudio,
    renderer,
    audioTrack,
    video,
    listeners,
    deadlines,
    playback,
    sender,
    wake,
    heardLimitMs: ablation.heardLimitMs,
  });
  const catalog = new CatalogWriter({
    ...settings,
    bitrateBps: bitrateOf(settings),
    lowBitrateBps,
    aheadMs: settings.aheadMs ?? MAX_AHEAD_MS,
  });
  return {
    settings,
    ablation,
    clock,
    logger,
    wake,
    listeners,
    playback,
    deadlines,
    audioTrack,
    renderer,
    controls,
    video,
    voice,
    remote,
    events,
    uplink,
    sendQueue,
    sender,
    interrupts,
    catalog,
  };
}

/** Creates the encoders of the audio track and of its lower rendition. */
export async function makeEncoders(settings: PublisherSettings, audioTrack: AudioTrack): Promise<void> {
  const { channels, frameMs, opus, codec, bitrateBps } = settings;
  const shared = { ...opus, channels, frameMs };
  const encoder =
    codec === "pcm" ? new PcmEncoder({ channels, frameMs }) : await OpusEncoder.create({ ...shared, bitrateBps });
  const low = lowBitrateOf(settings);
  // CELT at any bit rate: a listener may come from the other rendition, so packets must stand alone.
  const make = (rate: number) =>
    OpusEncoder.create({ ...shared, bitrateBps: rate, application: "lowdelay", lookahead: encoder.lookahead });
  audioTrack.setEncoders(encoder, low === false ? undefined : await make(low));
}

function bitrateOf({ codec, channels, bitrateBps }: PublisherSettings): number {
  return codec === "pcm" ? PCM_BITRATE_BPS * channels : bitrateBps;
}

function lowBitrateOf({ codec, rewindBy, frameMs, lowBitrateBps }: PublisherSettings): number | false {
  if (codec === "pcm" || rewindBy === "track") return false;
  return lowBitrateBps ?? (frameMs === 5 ? 16_000 : 12_000);
}

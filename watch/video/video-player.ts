import type { Clock } from "../../base/index.js";
import type { VideoRendition } from "../../container/index.js";
import type { TrackEvent } from "../../transport/moq.js";
import type { OpenDecoder } from "../audio/audio-pipeline.js";
import { VideoFeed } from "./video-feed.js";
import { type VideoClock, type VideoImage, VideoPipeline } from "./video-pipeline.js";

/** The video decoders of a platform. */
export interface VideoDecoders<P extends VideoImage> {
  /** Whether a rendition can be decoded. */
  canDecode(rendition: VideoRendition): boolean | Promise<boolean>;
  /** Creates a decoder of it. */
  open(rendition: VideoRendition): OpenDecoder<P>;
}

/** Plays one video track after the other, along a playhead that audio sets where there is any. */
export class VideoPlayer<P extends VideoImage = VideoImage> {
  readonly decoders: VideoDecoders<P>;
  readonly #clock: Clock;
  #feed: VideoFeed | undefined;
  #pipeline: VideoPipeline<P> | undefined;

  constructor({ decoders, clock }: { readonly decoders: VideoDecoders<P>; readonly clock: Clock }) {
    this.decoders = decoders;
    this.#clock = clock;
  }

  /** Bytes of the present track received. */
  get receivedBytes(): number {
    return this.#feed?.receivedBytes ?? 0;
  }

  /** Newest group of the present track of which any part has arrived. */
  get newest(): number | undefined {
    return this.#feed?.newest;
  }

  /** Invalid or undecodable frames of the present track. */
  get malformed(): number {
    return (this.#feed?.malformed ?? 0) + (this.#pipeline?.counters.errors ?? 0);
  }

  /** Why no picture of the present track can be decoded; undefined where one can. */
  get refusal(): Error | undefined {
    return this.#pipeline?.refusal;
  }

  /** Rewinds of the present track. */
  get generation(): number {
    return this.#pipeline?.generation ?? 0;
  }

  /** Pictures of the present track that were shown. */
  get shown(): number {
    return this.#pipeline?.counters.shown ?? 0;
  }

  /**
   * Begins another track. `master`: there is no audio, so that video sets the playhead. `hasEpochs`: group numbers have
   * epochs, as those of our publisher have.
   */
  begin(
    rendition: VideoRendition,
    playhead: VideoClock,
    { master, hasEpochs }: { readonly master: boolean; readonly hasEpochs: boolean },
  ): void {
    this.close();
    this.#feed = new VideoFeed({ clock: this.#clock, hasEpochs });
    this.#pipeline = new VideoPipeline<P>({
      consumer: this.#feed.consumer,
      openDecoder: this.decoders.open(rendition),
      clock: playhead,
      master,
      now: this.#clock,
    });
  }

  /** Takes what arrives of the present track. */
  take(event: TrackEvent): void {
    if (event.kind === "frame") this.#feed?.receive(event);
    else if (event.kind === "end") this.#feed?.end(event);
    else return;
    this.pump();
  }

  /** Advances everything. */
  pump(): void {
    this.#pipeline?.pump();
  }

  /** See `VideoPipeline.present`. */
  present(): P | undefined {
    return this.#pipeline?.present();
  }

  /** Frees the decoder and every picture; idempotent. */
  close(): void {
    this.#pipeline?.close();
    this.#pipeline = undefined;
    this.#feed = undefined;
  }
}

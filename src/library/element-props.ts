/** Attributes of `<unsay-watch>`, for the types of a framework. */
export interface UnsayWatchProps {
  /** The relay; default: the page's origin. */
  readonly url?: string | undefined;
  /** Name of the broadcast; default `demo`. */
  readonly broadcast?: string | undefined;
  /** Delay from arrival to audio at the start, in milliseconds. */
  readonly jitter?: number | undefined;
  /** URL of the audio worklet, for pages that forbid `blob:` scripts. */
  readonly worklet?: string | undefined;
  readonly muted?: boolean | undefined;
  /** 0 to 1. */
  readonly volume?: number | undefined;
  /** Whether it shows a button. */
  readonly controls?: boolean | undefined;
  readonly autoplay?: boolean | undefined;
  readonly preload?: "none" | "metadata" | undefined;
}

/** Attributes of `<unsay-talk>`, for the types of a framework. */
export interface UnsayTalkProps extends Pick<UnsayWatchProps, "url" | "worklet" | "muted" | "controls"> {
  /** Name of the broadcast; default `caller`. */
  readonly broadcast?: string | undefined;
  /** Id of the microphone; default: the system's. */
  readonly device?: string | undefined;
}

import type { PageRecording, SpokenPiece } from "../replies.js";
import type { Moment, TakenBack } from "./timeline.js";

/** Colours of a picture, as CSS resolves them. */
export interface Colours {
  readonly heard: string;
  readonly ahead: string;
  readonly line: string;
  readonly soft: string;
  readonly ink: string;
  readonly red: string;
  readonly card: string;
}

/** The style of a picture on its page. */
export interface Look {
  /** In CSS pixels; `scale` is how many of the display's make one. */
  readonly width: number;
  readonly height: number;
  readonly scale: number;
  readonly font: string;
  /** Whether motion is unwanted. */
  readonly calm: boolean;
  readonly colours: Colours;
}

/** Messages to the worker of a picture; times are the page's, in milliseconds since its `timeOrigin`. */
export type PictureMessage =
  | { readonly type: "canvas"; readonly canvas: OffscreenCanvas; readonly timeOrigin: number }
  | { readonly type: "look"; readonly look: Look }
  | { readonly type: "recording"; readonly recording: PageRecording | undefined }
  | { readonly type: "pieces"; readonly pieces: readonly SpokenPiece[] }
  | { readonly type: "moment"; readonly moment: Moment }
  | { readonly type: "takeBack"; readonly fromUs: number; readonly now: number }
  | { readonly type: "drop"; readonly takenBack: TakenBack };

import { StateError } from "../../base/index.js";
import { WORKLET_SCRIPT } from "./worklet-script.js";

let url: string | undefined;

/** URL of the audio worklet's script, which this library contains; it stays the same for the life of the page. */
export function workletUrl(): string {
  if (WORKLET_SCRIPT === "") throw new StateError("NO_WORKLET", "This bundle was made without the audio worklet.");
  url ??= URL.createObjectURL(new Blob([WORKLET_SCRIPT], { type: "text/javascript" }));
  return url;
}

import { normalizePath } from "../../base/index.js";

/** The track of a feedback broadcast: one group for every report or, from an edge relay, aggregate; the newest wins. */
export const FEEDBACK_TRACK = "report";
/** Maximum feedback broadcasts that a publisher follows at once. */
export const MAX_FEEDBACKS = 64;

/**
 * Below this path listeners publish their reports, and edge relays their aggregates, as broadcasts of their own where
 * the relay in between forwards none. A name that begins with a dot is neither listed nor watched as a broadcast.
 */
export function feedbackPrefix(broadcast: string): string {
  return `${normalizePath(broadcast)}/.feedback`;
}

/** Path of one listener's feedback broadcast, or of an edge relay's. */
export function feedbackPath(broadcast: string, session: number): string {
  return `${feedbackPrefix(broadcast)}/${session.toString(16).padStart(8, "0")}`;
}

/** Whether a path is that of a feedback broadcast. */
export function isFeedbackPath(path: string): boolean {
  return /(^|\/)\.feedback\/[0-9a-f]{8}$/.test(path);
}

/** Whether the last part of a path names a listener, as {@link feedbackPath} writes it. */
export function isFeedbackName(name: string): boolean {
  return /^[0-9a-f]{8}$/.test(name);
}

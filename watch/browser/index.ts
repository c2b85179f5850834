export type { ListenerLanding, ListenerRewind, ListenerState } from "../options.js";
export type { PlayerStats } from "../stats.js";
export {
  BrowserListener,
  type BrowserListenerEventMap,
  type BrowserListenerOptions,
  type BrowserListenerStats,
} from "./browser-listener.js";

export {
  type AudioCallerOptions,
  type BroadcastCallerOptions,
  Caller,
  type CallerChange,
  type CallerEvents,
  type CallerOptions,
  type CallerStats,
} from "./caller/caller.js";
export type { HeardAgent } from "./caller/echo-gate.js";
export type { CallerFrame, FrameOptions } from "./caller/frame-reader.js";
export {
  type BargeInOptions,
  Conversation,
  type ConversationEvents,
  type ConversationOptions,
} from "./conversation.js";
export { RealtimeDoor, type RealtimeDoorEvents, type RealtimeDoorOptions } from "./realtime/realtime-door.js";
export {
  MediaStreamsCall,
  type MediaStreamsCallEvents,
  type MediaStreamsCallOptions,
  type MediaStreamsCallStats,
} from "./twilio/media-streams-call.js";
export type { CallIds } from "./twilio/telephone-messages.js";

export { bestShift } from "./best-shift.js";
export {
  BROADCAST_NAME_RULE,
  broadcastName,
  broadcastPath,
  broadcastPaths,
  isBroadcastName,
  normalizePath,
  shownName,
} from "./broadcast-name.js";
export { ByteReader, type ReadFault } from "./bytes/byte-reader.js";
export { ByteWriter } from "./bytes/byte-writer.js";
export { concatenate } from "./bytes/concatenate.js";
export { readVarint, unzigzag, varintSize, varintSizeFrom, writeVarint, zigzag } from "./bytes/varint.js";
export {
  fields,
  hasCredentials,
  hasMethods,
  isBoolean,
  isBroadcast,
  isNumber,
  isObject,
  isOneOf,
  isRelayUrl,
  isSignal,
  isString,
  isUrl,
  NO_CREDENTIALS,
  type Rule,
} from "./check.js";
export { InputError, MediaError, ModelError, ProtocolError, StateError, TransportError, UnsayError } from "./error.js";
export { background, faultCounts, guard, guardHandlers } from "./guard.js";
export { Inbox } from "./inbox.js";
export { Ending, endProcessor, endWith, loadWorklet, noAudio, openAudioContext, openWorklet } from "./lifetime.js";
export { attachLogger, type Logger, logForProcess } from "./logger.js";
export { race } from "./race.js";
export {
  type Clock,
  every,
  fromMilliseconds,
  fromSeconds,
  type Microseconds,
  microseconds,
  monotonicClock,
  settlesWithin,
  sleep,
  timePassed,
  toMilliseconds,
  toSeconds,
} from "./time.js";
export { faultOf, requirementOf, type Schema, showValue, validate } from "./validate.js";

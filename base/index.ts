export { InputError, MediaError, ModelError, ProtocolError, StateError, TransportError, UnsayError } from "./error.js";
export {
  type Clock,
  fromMilliseconds,
  fromSeconds,
  type Microseconds,
  microseconds,
  monotonicClock,
  toMilliseconds,
  toSeconds,
} from "./time.js";

/**
 * The relay of unsay: fans published audio and video out to listeners and sends their reports to the publisher.
 *
 * Importing it loads neither a denoiser nor a codec nor any part of the publisher.
 *
 * @module
 */
import "../../base/polyfills.js";

export { InputError, StateError, TransportError, UnsayError } from "../../base/index.js";
export {
  type AuthOptions,
  type Logger,
  Relay,
  type RelayCounters,
  type RelayEvents,
  type RelayLimits,
  type RelayListener,
  type RelayOptions,
  type RelayStats,
  type UpstreamOptions,
} from "../../relay/index.js";
export {
  type Backend,
  type Certificate,
  Certificates,
  createCertificate,
  loadCertificate,
  loadOrCreateCertificate,
} from "../../transport/index.js";

import { MAX_BULK_TRANSFERS, MAX_PAYLOAD_BYTES } from "../../flow/bulk/index.js";

/** Caps of {@link RemoteControl}; hitting one is counted. */
export interface RemoteControlLimits {
  /** Controllers served at once. Default 16. */
  readonly controllers: number;
  /** Payloads in transfer at once, of all controllers. Default 4. */
  readonly payloads: number;
  /** Bytes of one payload. Default 64 MiB. */
  readonly payloadBytes: number;
  /** Longest pause within a payload, in milliseconds. Default 10,000. */
  readonly idleMs: number;
  /** Pending requests of one controller. Default 64. */
  readonly pending: number;
  /** Requests per second of one controller, in the long run and as a burst. Default 200. */
  readonly requestsPerSecond: number;
}

export const REMOTE_CONTROL_LIMITS: RemoteControlLimits = {
  controllers: 16,
  payloads: MAX_BULK_TRANSFERS,
  payloadBytes: MAX_PAYLOAD_BYTES,
  idleMs: 10_000,
  pending: 64,
  requestsPerSecond: 200,
};

import { MAX_BULK_TRANSFERS, MAX_PAYLOAD_BYTES } from "../../flow/bulk/index.js";

/** Caps of {@link RemoteControl}; hitting one is counted. */
export interface RemoteControlLimits {
  /** Controllers listened to at once. Default 16. */
  readonly controllers: number;
  /** Payloads on their way at once, of all controllers. Default 4. */
  readonly payloads: number;
  /** Bytes of one payload. Default 64 MiB. */
  readonly payloadBytes: number;
  /** Longest silence of a payload, in milliseconds. Default 10,000. */
  readonly idleMs: number;
  /** Requests of one controller that have not ended. Default 64. */
  readonly pending: number;
  /** Requests of one controller a second, in the long run; as many may come at once. Default 200. */
  readonly requestsPerSecond: number;
}

/** The defaults. */
export const REMOTE_CONTROL_LIMITS: RemoteControlLimits = {
  controllers: 16,
  payloads: MAX_BULK_TRANSFERS,
  payloadBytes: MAX_PAYLOAD_BYTES,
  idleMs: 10_000,
  pending: 64,
  requestsPerSecond: 200,
};

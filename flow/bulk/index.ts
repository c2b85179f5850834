export {
  BulkReceiver,
  type BulkReceiverCounters,
  type BulkReceiverOptions,
  type PayloadHash,
} from "./bulk-receiver.js";
export { BulkSender, type BulkSenderOptions, type BulkSenderStats } from "./bulk-sender.js";
export {
  BULK_OPERATIONS,
  BULK_UNIT_BYTES,
  type BulkAck,
  MAX_BULK_TRANSFERS,
  MAX_PAYLOAD_BYTES,
  type PayloadHead,
} from "./piece.js";

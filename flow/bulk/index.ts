export { BulkReceiver } from "./bulk-receiver.js";
export { BulkSender, type BulkSenderStats } from "./bulk-sender.js";
export { BULK_OPERATIONS, MAX_BULK_TRANSFERS, MAX_PAYLOAD_BYTES, type PayloadHead } from "./piece.js";

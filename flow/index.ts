export {
  type Aggregate,
  type DecodedAggregate,
  decodeAggregate,
  encodeAggregate,
  type ListedListener,
  MAX_AGGREGATE_BYTES,
  MAX_LISTED,
} from "./aggregate.js";
export { type Ingest, MAX_LAG, ReportAggregator, type ReportAggregatorOptions } from "./aggregator.js";
export {
  BULK_OPERATIONS,
  BULK_UNIT_BYTES,
  type BulkAck,
  MAX_BULK_TRANSFERS,
  MAX_PAYLOAD_BYTES,
  type PayloadHead,
} from "./bulk.js";
export {
  BulkReceiver,
  type BulkReceiverCounters,
  type BulkReceiverOptions,
  type PayloadHash,
} from "./bulk-receiver.js";
export { BulkSender, type BulkSenderOptions, type BulkSenderStats } from "./bulk-sender.js";
export { COMFORTABLE } from "./comfortable.js";
export {
  type Change,
  type ControlEvent,
  type ControlOutcome,
  ControlStage,
  type ControlStageOptions,
  controlMessage,
  type Preparation,
  type Recompose,
  type Tick,
} from "./control.js";
export { DelayRateEstimator, type DelayRateOptions, type DeliveryLevel } from "./delay-rate.js";
export { type Acknowledgement, Delivery } from "./delivery.js";
export { reportsOf } from "./edge.js";
export {
  FEEDBACK_TRACK,
  feedbackPath,
  feedbackPrefix,
  isFeedbackName,
  isFeedbackPath,
  MAX_FEEDBACKS,
} from "./feedback.js";
export {
  foldLead,
  LeadController,
  type LeadControllerOptions,
  type LeadMode,
  type LeadSample,
  type LeadVerdict,
} from "./lead.js";
export { Ledger, type LedgerCounters, type LedgerOptions, type Settled } from "./ledger.js";
export {
  type FoldResult,
  type LandingLead,
  LISTENER_TIMEOUT,
  ListenerState,
  type ListenerStateOptions,
  type StampedReport,
} from "./listener.js";
export { type Band, LoopBand } from "./loop-band.js";
export {
  type Audible,
  audible,
  type ChangedGroup,
  type ChangeRun,
  type LeadBucket,
  LeadBuckets,
  type LeadBucketsOptions,
  type Pull,
  timeToSilenceMs,
} from "./metrics.js";
export { type Knobs, knobsSchema, type Operation, type OperationName, parseOperation } from "./operation.js";
export { Pacer, type PacerOptions } from "./pacer.js";
export {
  type PlayheadChange,
  PlayheadClock,
  type PlayheadClockOptions,
  type PlayheadSample,
} from "./playhead.js";
export { PlayheadBound } from "./playhead-bound.js";
export { type DecodedReceipt, decodeReceipt, encodeReceipt, type Receipt } from "./receipt.js";
export { broadcastHash, isReportDatagram, type ReportErrorCode, reportKind } from "./record.js";
export {
  ANSWERS_TRACK,
  type ControlAnswer,
  type ControlRequest,
  controlPath,
  decodeControlAnswer,
  decodeControlRequest,
  encodeControlAnswer,
  encodeControlRequest,
  isControllerId,
  MAX_CONTROL_BYTES,
  OPERATIONS_TRACK,
  payloadTrack,
} from "./remote.js";
export { type DecodedReport, decodeReport, encodeReport, MAX_REPORT_BYTES, type Report } from "./report.js";
export {
  frameReport,
  REPORT_STREAM_TYPE,
  type ReportStream,
  ReportStreamReader,
  ReportStreamWriter,
} from "./report-stream.js";
export { type DueReport, ReportSchedule, type ReportScheduleOptions } from "./schedule.js";
export { type SkipCounters, SkipPolicy, type SkipPolicyOptions, type SkipQuestion, type SkipReason } from "./skip.js";
export { StalenessEstimator } from "./staleness.js";
export { Window, type WindowOptions } from "./window.js";

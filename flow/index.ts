export {
  BulkReceiver,
  type BulkReceiverCounters,
  type BulkReceiverOptions,
  type PayloadHash,
} from "./bulk/bulk-receiver.js";
export { BulkSender, type BulkSenderOptions, type BulkSenderStats } from "./bulk/bulk-sender.js";
export {
  BULK_OPERATIONS,
  BULK_UNIT_BYTES,
  type BulkAck,
  MAX_BULK_TRANSFERS,
  MAX_PAYLOAD_BYTES,
  type PayloadHead,
} from "./bulk/piece.js";
export {
  BytesInFlight,
  type BytesInFlightCounters,
  type BytesInFlightOptions,
  type Settled,
} from "./congestion/bytes-in-flight.js";
export { type Acknowledgement, CongestionController } from "./congestion/congestion-controller.js";
export {
  type CongestionLevel,
  DelayBasedEstimator,
  type DelayBasedEstimatorOptions,
} from "./congestion/delay-based-estimator.js";
export {
  type SkipCounters,
  SkipPolicy,
  type SkipPolicyOptions,
  type SkipQuestion,
  type SkipReason,
} from "./congestion/skip-policy.js";
export { TokenBucket, type TokenBucketOptions } from "./congestion/token-bucket.js";
export { Window, type WindowOptions } from "./congestion/window.js";
export {
  type Band,
  type ControlEvent,
  type ControlOutcome,
  ControlStage,
  type ControlStageOptions,
  controlMessage,
  type Preparation,
  type StagedChange,
  type Tick,
} from "./control/control-stage.js";
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
} from "./control/messages.js";
export { type Knobs, knobsSchema, type Operation, type OperationName, parseOperation } from "./control/operation.js";
export {
  type Audible,
  audible,
  type ChangedGroup,
  type ChangeRun,
  type LeadBucket,
  LeadBuckets,
  type LeadBucketsOptions,
  type PulledBlock,
  timeToSilenceMs,
} from "./metrics.js";
export { COMFORTABLE } from "./playhead/comfortable.js";
export {
  LeadController,
  type LeadControllerOptions,
  type LeadMode,
  type LeadSample,
  type LeadVerdict,
} from "./playhead/lead.js";
export { PlayheadBound } from "./playhead/playhead-bound.js";
export {
  type PlayheadChange,
  PlayheadClock,
  type PlayheadClockOptions,
  type PlayheadSample,
} from "./playhead/playhead-clock.js";
export { StalenessEstimator } from "./playhead/staleness.js";
export {
  type Aggregate,
  type DecodedAggregate,
  decodeAggregate,
  encodeAggregate,
  type ListedListener,
  MAX_AGGREGATE_BYTES,
  MAX_LISTED,
} from "./report/aggregate.js";
export { type IngestProgress, MAX_LAG, ReportAggregator, type ReportAggregatorOptions } from "./report/aggregator.js";
export { reportsOf } from "./report/edge.js";
export {
  FEEDBACK_TRACK,
  feedbackPath,
  feedbackPrefix,
  isFeedbackName,
  isFeedbackPath,
  MAX_FEEDBACKS,
} from "./report/feedback.js";
export {
  type FoldResult,
  type LandingLead,
  LISTENER_TIMEOUT,
  ListenerState,
  type ListenerStateOptions,
  type StampedReport,
} from "./report/listener-state.js";
export { type DecodedReceipt, decodeReceipt, encodeReceipt, type Receipt } from "./report/receipt.js";
export { broadcastHash, isReportDatagram, type ReportErrorCode, reportKind } from "./report/record.js";
export { type DecodedReport, decodeReport, encodeReport, MAX_REPORT_BYTES, type Report } from "./report/report.js";
export {
  frameReport,
  REPORT_RECORDS,
  REPORT_STREAM_TYPE,
  type ReportStream,
  ReportStreamReader,
  ReportStreamWriter,
} from "./report/report-stream.js";
export { type DueReport, ReportSchedule, type ReportScheduleOptions } from "./report/schedule.js";

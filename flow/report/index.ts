export {
  type Aggregate,
  type DecodedAggregate,
  decodeAggregate,
  encodeAggregate,
  isOvertaken,
  type ListedListener,
  MAX_AGGREGATE_BYTES,
  MAX_LISTED,
} from "./aggregate.js";
export { type IngestProgress, MAX_LAG, ReportAggregator, type ReportAggregatorOptions } from "./aggregator.js";
export {
  FEEDBACK_TRACK,
  feedbackPath,
  feedbackPrefix,
  isFeedbackName,
  isFeedbackPath,
  MAX_FEEDBACKS,
} from "./feedback.js";
export {
  type FoldResult,
  type LandingLead,
  LISTENER_TIMEOUT,
  ListenerState,
  type ListenerStateOptions,
  type StampedReport,
} from "./listener-state.js";
export { type DecodedReceipt, decodeReceipt, encodeReceipt, type Receipt } from "./receipt.js";
export { broadcastHash, isReportDatagram, type ReportErrorCode, reportKind } from "./record.js";
export { type DecodedReport, decodeReport, encodeReport, MAX_REPORT_BYTES, type Report } from "./report.js";
export {
  frameReport,
  REPORT_RECORDS,
  REPORT_STREAM_TYPE,
  type ReportStream,
  ReportStreamReader,
  ReportStreamWriter,
} from "./report-stream.js";
export { type DueReport, ReportSchedule, type ReportScheduleOptions } from "./schedule.js";

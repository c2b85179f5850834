export { type Aggregate, decodeAggregate, encodeAggregate, isOvertaken, type ListedListener } from "./aggregate.js";
export { MAX_LAG, ReportAggregator } from "./aggregator.js";
export {
  FEEDBACK_TRACK,
  feedbackPath,
  feedbackPrefix,
  isFeedbackName,
  isFeedbackPath,
  MAX_FEEDBACKS,
} from "./feedback.js";
export { LISTENER_TIMEOUT, ListenerState, type StampedReport } from "./listener-state.js";
export { decodeReceipt, encodeReceipt, type Receipt } from "./receipt.js";
export { broadcastHash, isReportDatagram, reportKind } from "./record.js";
export { decodeReport, encodeReport, MAX_REPORT_BYTES, type Report } from "./report.js";
export {
  frameReport,
  REPORT_RECORDS,
  REPORT_STREAM_TYPE,
  ReportStreamReader,
  ReportStreamWriter,
} from "./report-stream.js";
export { ReportSchedule } from "./schedule.js";

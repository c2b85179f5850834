export {
  type ControlEvent,
  ControlStage,
  controlMessage,
  type Preparation,
  type StagedChange,
} from "./control-stage.js";
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
  OPERATIONS_TRACK,
  payloadTrack,
} from "./messages.js";
export { MIN_BAND, type Operation, parseOperation } from "./operation.js";

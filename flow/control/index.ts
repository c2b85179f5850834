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
  MAX_CONTROL_BYTES,
  OPERATIONS_TRACK,
  payloadTrack,
} from "./messages.js";
export { type Knobs, knobsSchema, MIN_BAND, type Operation, type OperationName, parseOperation } from "./operation.js";

export {
  type AudioRendition,
  type Catalog,
  encodeCatalog,
  parseCatalog,
  rewindField,
  type VideoRendition,
} from "./catalog.js";
export { RewindClassifier } from "./classifier.js";
export { type Delivery, RewindConsumer } from "./consumer.js";
export { EPOCH_SIZE, epochOf, epochStart } from "./epoch.js";
export { decodeLegacyFrame, encodeLegacyFrame, type Frame } from "./frame.js";
export { isLowerInCatalog, isLowRendition, lowRenditionOf } from "./renditions.js";
export { Timeline } from "./timeline.js";
export {
  decodeVoiceFrame,
  encodeVoiceFrame,
  VOICE_STEP,
  VOICE_UNKNOWN,
  type VoiceFrame,
  voiceChance,
  voiceStep,
} from "./voice.js";

export {
  type AudioRendition,
  type Catalog,
  type CatalogInput,
  encodeCatalog,
  MAX_CATALOG_BYTES,
  parseCatalog,
  rewindField,
  type VideoRendition,
} from "./catalog.js";
export { type Observation, type Rewind, RewindClassifier } from "./classifier.js";
export { type ConsumerCounters, type Delivery, RewindConsumer, type RewindConsumerOptions } from "./consumer.js";
export { EPOCH_SIZE, epochOf, epochStart } from "./epoch.js";
export { decodeLegacyFrame, encodeLegacyFrame, type Frame } from "./frame.js";
export { isLowerInCatalog, isLowRendition, lowRenditionOf } from "./renditions.js";
export { type RewindPoint, Timeline } from "./timeline.js";
export {
  decodeVoiceFrame,
  encodeVoiceFrame,
  MAX_VOICE_STEPS,
  VOICE_STEP,
  VOICE_UNKNOWN,
  type VoiceFrame,
  voiceChance,
  voiceStep,
} from "./voice.js";

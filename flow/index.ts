export * from "./bulk/index.js";
export * from "./congestion/index.js";
export * from "./control/index.js";
export * from "./playhead/index.js";
export * from "./report/index.js";

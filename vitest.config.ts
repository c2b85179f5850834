import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const ROOMS = "{base,container,flow,transport,publisher,relay,watch,agent,src,bench}";
/** Real parts or a virtual clock: nothing in them keeps real time, so that they run side by side. */
const UNTIMED = [
  "tests/untimed/*.test.ts",
  "tests/{audio-files,guards,layers,live-delay,memory,numbers,options,opus-loss,slow-source,standstill,utterances}.test.ts",
];
/** Real parts that wait for what must come, however late: a busy machine only makes them slower. */
const PATIENT = [
  "tests/{another-run,cli,conformance,control,examples,idle-peers,load,many-subscriptions,names,operator}.test.ts",
  "tests/{package,pipes,quiet,refusals,relay,relay-limits,relay-operations,watch,web-pages}.test.ts",
];

/** Chromium plays in these. */
const BROWSER = ["tests/{browser-bundle,interop,page,page-demo,publish-video-page,video}.test.ts"];
/** The longest files of those that run side by side, longest first: what starts last is waited for. */
const FIRST = ["package", "idle-peers", "control", "load", "conformance", "examples", "pipes"]
  .concat(["page-demo", "browser-bundle", "page", "publish-video-page", "interop"])
  .concat(["voice", "outages", "control-operations", "feedback", "histories", "agent-livekit"])
  .map((name) => `tests/${name}.test.ts`);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification) => {
      const at = FIRST.findIndex((name) => moduleId.endsWith(`/${name}`));
      return at === -1 ? FIRST.length : at;
    };
    return sorted.toSorted((one, other) => rank(one) - rank(other));
  }
}

export default defineConfig({
  test: {
    setupFiles: ["./base/polyfills.ts"],
    globalSetup: ["./tests/support/compile.ts"],
    // These bound a fault. A busy machine must not fail a test: work and what is polled for may take their time.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 120_000 } },
    isolate: false,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [`${ROOMS}/**/*.test.ts`, ...UNTIMED],
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "patient",
          include: PATIENT,
          // Before and beside the units, in the same three workers: while these scenarios wait, those compute.
          maxWorkers: 3,
          maxConcurrency: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["tests/**/*.test.ts"],
          exclude: [...UNTIMED, ...PATIENT, ...BROWSER],
          // Relays and listeners keep time, so only two: while one's scenarios wait for audio to play, the other's compute.
          maxWorkers: 2,
          // Scenarios of one file mostly wait for audio to play.
          maxConcurrency: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "browser",
          include: BROWSER,
          // In the same two workers as the system's files, and first: a starved Chromium falls back to WebSocket.
          maxWorkers: 2,
          maxConcurrency: 3,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

import { defineConfig } from "vitest/config";

const ROOMS = "{base,container,flow,transport,publisher,relay,watch,agent,src,bench}";
/** Real parts or a virtual clock: nothing in them keeps real time, so that they run side by side. */
const UNTIMED = [
  "tests/untimed/*.test.ts",
  "tests/{audio-files,guards,layers,live-delay,memory,numbers,options,opus-loss,slow-source,standstill,utterances}.test.ts",
];

export default defineConfig({
  test: {
    setupFiles: ["./base/polyfills.ts"],
    globalSetup: ["./tests/support/compile.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A busy machine must not fail a test: what is polled for may take its time.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [`${ROOMS}/**/*.test.ts`, ...UNTIMED],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["tests/**/*.test.ts"],
          exclude: UNTIMED,
          isolate: false,
          // Relays, listeners and browsers keep time: files run one after the other.
          maxWorkers: 1,
          // Scenarios of one file mostly wait for audio to play.
          maxConcurrency: 3,
          // Two scenarios side by side still starve each other at times (delivery, publisher-relay); the units do without.
          retry: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{base,container,flow,transport,publisher,relay,watch,src,bench,tests}/**/*.test.ts"],
    setupFiles: ["./base/polyfills.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A busy machine must not fail a test: what is polled for may take its time.
    expect: { poll: { timeout: 15_000 } },
    // Relays, listeners and browsers keep time: files run one after the other, and on a shared machine a scenario that
    // was held up gets another try.
    maxWorkers: 1,
    retry: 2,
  },
});

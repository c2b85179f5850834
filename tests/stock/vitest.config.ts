import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** The tests that need the stock Rust relay, which `scripts/stock-relay.sh` builds; `npm test` leaves them out. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, "../.."),
    include: ["tests/stock/*.stock.ts"],
    setupFiles: ["./base/polyfills.ts"],
    testTimeout: 90_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    maxWorkers: 1,
  },
});

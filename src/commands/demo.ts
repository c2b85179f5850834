import { MediaError } from "../../base/index.js";
import { command, elapsed } from "../command.js";
import { flag, number } from "../config.js";
import { Demo } from "../demo/demo.js";
import { Meter } from "../meter.js";

const KEEP_SECONDS = 60;

/** `unsay demo`: the main use case on an embedded recording. */
export const demo = command({
  examples: ["unsay demo", "unsay demo --headless --seconds 10 --json"],
  settings: {
    port: {
      schema: number({ min: 0, max: 65_535, integer: true }).default(4443),
      value: "<number>",
      help: "port of the relay and the page; 0 picks a free one",
    },
    headless: { schema: flag.default(false), help: "do not print the URL of the page" },
    control: {
      schema: flag.default(false),
      help: "accept operations of unsay control too; any client of the port may then change settings and load models",
    },
    seconds: { schema: number({ min: 1, max: 86_400 }).optional(), value: "<number>", help: "stop after this long" },
    json: { schema: flag.default(false), help: "end with the result as one line of JSON instead of showing a meter" },
  },
  async run(config, { signal, logger, status, print }) {
    const demo = await Demo.start({
      port: config.port,
      logger,
      control: config.control,
      keepSeconds: Math.min(config.seconds ?? KEEP_SECONDS, KEEP_SECONDS),
    });
    if (!config.headless && !config.json) {
      print(`\n  Listen and turn the knobs:  ${demo.pageUrl}\n`);
      print(`  Or from another terminal:   unsay watch ${demo.pageUrl} --wav heard.wav\n`);
    }
    const meter = config.json ? undefined : new Meter({ read: () => demo.listenerStats(), status });
    try {
      await Promise.race([demo.closed, elapsed(config.seconds, signal)]);
      if (config.seconds === undefined && !config.json) return 0;
      const result = await demo.result();
      if (config.json) print(JSON.stringify(result));
      // A run that was stopped early is not judged.
      if (result.ok || signal.aborted) return 0;
      meter?.close();
      throw new MediaError(
        "DEMO_FAILED",
        `The listener did not hear denoised speech: level ${result.levelDb} dB, score ${result.heardSiSdrDb ?? "none"} dB against ${result.inputSiSdrDb} dB at the input, ${result.staleMs} ms stale.`,
      );
    } finally {
      meter?.close();
      await demo.close();
    }
  },
});

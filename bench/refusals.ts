import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKey, Relay, signToken } from "../relay/index.js";
import { unsay } from "../tests/support/command-line.js";
import { type Bench, type BenchContext, median, type Row, row } from "./harness.js";

const RECORDING = "examples/audio/noisy-speech.wav";
/** The reason has to be there by then. */
const TARGET_MS = 2000;
/** Nothing listens here. */
const DEAD = "http://127.0.0.1:1";

/** A command that cannot do what it is asked to, and what it has to say. */
interface Refused {
  readonly name: string;
  readonly argv: readonly string[];
  readonly reason: RegExp;
}

interface Stage {
  readonly refused: readonly Refused[];
  close(): Promise<void>;
}

/** A relay for everyone and one with keys, and what each refuses. */
async function setUp(): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), "unsay-refusals-"));
  const key = await generateKey("HS256");
  const keys = join(folder, "key.jwk");
  writeFileSync(keys, JSON.stringify(key), { mode: 0o600 });
  const past = Math.floor(Date.now() / 1000) - 60;
  const expired = await signToken(key, { put: "", get: "", exp: past });
  const granted = await signToken(key, { put: "stage", get: "stage" });
  const relays = [new Relay({ port: 0 }), new Relay({ port: 0, auth: { keys } })];
  const [open, keyed] = (await Promise.all(relays.map((relay) => relay.listen()))).map(
    ({ port }) => `http://127.0.0.1:${port}`,
  ) as [string, string];
  const secure = open.replace("http:", "https:");
  const publish = (url: string, ...rest: string[]) => ["publish", RECORDING, "--bypass", "--url", url, ...rest];
  const stranger = ["--broadcast", "other", "--token", granted];
  return {
    refused: [
      { name: "publish to a dead port", argv: publish(DEAD), reason: /nothing listens on that port/ },
      { name: "publish, untrusted certificate", argv: publish(secure), reason: /\(CERTIFICATE_UNTRUSTED\)/ },
      { name: "publish without a token", argv: publish(keyed), reason: /\(UNAUTHORIZED\)/ },
      { name: "publish, token that ended", argv: publish(keyed, "--token", expired), reason: /\(UNAUTHORIZED\)/ },
      { name: "publish, name not granted", argv: publish(keyed, ...stranger), reason: /\(NOT_GRANTED\)/ },
      { name: "watch a dead port", argv: ["watch", DEAD], reason: /nothing listens on that port/ },
      { name: "watch, untrusted certificate", argv: ["watch", secure], reason: /\(CERTIFICATE_UNTRUSTED\)/ },
      { name: "watch, name not granted", argv: ["watch", keyed, ...stranger], reason: /\(NOT_GRANTED\)/ },
      {
        name: "watch what is not published",
        argv: ["watch", open, "--broadcast", "none"],
        reason: /There is no none/,
      },
      { name: "interrupt without a token", argv: ["control", keyed, "interrupt"], reason: /\(UNAUTHORIZED\)/ },
    ],
    close: async () => {
      await Promise.all(relays.map((relay) => relay.close()));
      rmSync(folder, { recursive: true });
    },
  };
}

/** Milliseconds until the command says why it does not work; infinite where it does not say so within 10 s. */
async function untilSaid({ argv, reason }: Refused): Promise<number> {
  const stop = new AbortController();
  const limit = setTimeout(() => stop.abort(), 10_000);
  const started = performance.now();
  let ms = Number.POSITIVE_INFINITY;
  let said = "";
  try {
    await unsay(argv, {
      signal: stop.signal,
      onError: (text) => {
        said += text;
        if (!reason.test(said)) return;
        ms = Math.min(ms, performance.now() - started);
        stop.abort();
      },
    });
  } finally {
    clearTimeout(limit);
  }
  return ms;
}

async function run({ quick, progress, log }: BenchContext): Promise<Row[]> {
  const rounds = quick ? 3 : 10;
  const stage = await setUp();
  const bar = progress("commands", rounds * stage.refused.length);
  const rows: Row[] = [];
  try {
    for (const refused of stage.refused) {
      const all: number[] = [];
      for (let round = 0; round < rounds; round++) {
        all.push(await untilSaid(refused));
        bar.advance(1, refused.name);
      }
      rows.push(row(refused.name, "ms to the reason, median", median(all)));
      rows.push(row(refused.name, "ms to the reason, worst", Math.max(...all), { atMost: TARGET_MS }));
    }
  } finally {
    bar.stop();
    await stage.close();
  }
  log("From the start of the command inside a running process: what Node.js takes to start comes on top.");
  return rows;
}

/** How long a command that cannot work takes to say why. */
export const bench: Bench = {
  name: "refusals",
  description: "Time until a command that cannot work says why.",
  run,
};

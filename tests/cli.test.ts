import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Relay } from "../src/index.js";
import { UnsayProcess, unsay } from "./support/command-line.js";
import { waveFile } from "./support/wave-file.js";

const folder = mkdtempSync(join(tmpdir(), "unsay-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));
const recording = "examples/audio/noisy-speech.wav";

test("every wrong input gets one sentence with a stable code, and an exit code of 2", async () => {
  const broken = join(folder, "broken.wav");
  writeFileSync(broken, "RIFF but not really");
  const badModel = join(folder, "bad.onnx");
  writeFileSync(badModel, "not a model");
  const publish = (...rest: string[]) => ["publish", recording, "--url", "http://127.0.0.1:1", ...rest];
  const wrong: [string[], RegExp][] = [
    [["listen"], /unknown command 'listen'.* \(INVALID_ARGUMENT\)/],
    [["relay", "--prot", "1"], /unknown option '--prot'.*--port.* \(INVALID_ARGUMENT\)/],
    [["relay", "--port", "many"], /--port must .*, but is "many"\. \(INVALID_OPTION\)/],
    [["relay", "--port", "70000"], /--port must .*, but is "70000"\. \(INVALID_OPTION\)/],
    [["relay", "--cert", "only.pem"], /--cert and --key must be given together/],
    [["relay", "--config", join(folder, "absent.json")], /absent\.json cannot be read/],
    [["watch"], /--url must be a URL such as .*, but is missing\. \(INVALID_OPTION\)/],
    [["watch", "ftp://host"], /--url must be a URL.*, but is "ftp:\/\/host"/],
    [["watch", "http://127.0.0.1:1", "--certificate-hash", "abc"], /--certificate-hash must be 64 hex.*, but is "abc"/],
    [["watch", "http://127.0.0.1:1", "--wav", join(folder, "no/such/place.wav")], /place\.wav cannot be written/],
    [["publish", "--url", "http://127.0.0.1:1"], /There is nothing to publish/],
    [["publish", join(folder, "absent.wav"), "--url", "http://127.0.0.1:1"], /absent\.wav/],
    [publish("--frame-ms", "7"), /--frame-ms must .*, but is "7"/],
    [publish("--strength", "2"), /--strength must .*, but is "2"/],
  ];
  for (const [argv, sentence] of wrong) {
    const { exitCode, error } = await unsay(argv);
    expect(error, argv.join(" ")).toMatch(sentence);
    expect(error.trim().split("\n"), argv.join(" ")).toHaveLength(1);
    expect(exitCode, argv.join(" ")).toBe(2);
  }
  expect(await unsay(["publish", broken, "--url", "http://127.0.0.1:1"])).toMatchObject({
    exitCode: 2,
    // ffmpeg has its say where it is installed.
    error: expect.stringMatching(/broken\.wav.*\((?:WAV_INVALID|UNSUPPORTED_FILE)\)/),
  });
  expect(await unsay(publish("--model", badModel))).toMatchObject({
    exitCode: 2,
    error: expect.stringMatching(/bad\.(onnx|json).*\(MODEL_[A-Z_]+\)/),
  });
});

test("help lists the commands, and prints settings without running", async () => {
  const help = await unsay(["--help"]);
  expect(help.exitCode).toBe(0);
  for (const name of ["demo", "relay", "publish", "watch"]) expect(help.out).toContain(name);
  const watch = await unsay(["watch", "--help"]);
  expect(watch.out).toMatch(/--jitter-ms <ms>.*\(default: 80\)/s);
  expect(watch.out).toContain("Examples:");
  const shown = await unsay(["relay", "--print-config", "--port", "5000"], { environment: { UNSAY_HOST: "::1" } });
  expect(JSON.parse(shown.out)).toMatchObject({ port: 5000, host: "::1", repeat: false });
});

test("a port in use, a refused certificate, a missing relay and a missing broadcast each cause one sentence", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const taken = (server.address() as AddressInfo).port;
  const environment = { XDG_DATA_HOME: folder };
  try {
    const busy = await unsay(["demo", "--port", String(taken)], { environment });
    expect(busy).toMatchObject({ exitCode: 1, error: expect.stringMatching(new RegExp(`${taken}.*PORT_IN_USE`)) });
  } finally {
    server.close();
  }
  const silentRelay = await unsay(["watch", `http://127.0.0.1:${taken}`, "--timeout-ms", "1500"]);
  expect(silentRelay.exitCode).toBe(1);
  expect(silentRelay.error).toContain(`127.0.0.1:${taken}`);

  const relay = new Relay({ port: 0 });
  const { port } = await relay.listen();
  try {
    const silent = await unsay(["watch", `http://127.0.0.1:${port}`, "--timeout-ms", "1500"]);
    expect(silent.error).toMatch(/No publisher of demo\.hang at 127\.0\.0\.1:\d+ within 1500 ms\. \(NO_BROADCAST\)/);
    expect(silent.exitCode).toBe(1);
    const refused = await unsay(
      ["watch", `https://127.0.0.1:${port}`, "--certificate-hash", "0".repeat(64), "--timeout-ms", "1500"],
      {},
    );
    expect(refused.exitCode).toBe(1);
    expect(refused.error).toMatch(/127\.0\.0\.1.*\([A-Z_]+\)\n$/);
  } finally {
    await relay.close();
  }
});

test("a publisher whose standard input or file has no audio says so in one sentence, and exits with 2", async () => {
  const relay = new UnsayProcess(["relay", "--port", "0"], { XDG_DATA_HOME: folder });
  const [, url] = await relay.says(/relay listening on (http:\/\/\S+)/);
  const publisher = new UnsayProcess(["publish", "-", "--url", url!, "--bypass"]);
  publisher.child.stdin.end();
  expect(await publisher.exited()).toBe(2);
  expect(publisher.error).toBe("unsay: Standard input ended before any audio came. (NO_AUDIO)\n");
  const file = join(folder, "header.wav");
  writeFileSync(file, waveFile({ channels: [new Float32Array(0)] }));
  const ofFile = new UnsayProcess(["publish", file, "--loop", "--url", url!, "--bypass"]);
  expect(await ofFile.exited()).toBe(2);
  expect(ofFile.error).toBe("unsay: The audio file header.wav holds no audio. (NO_AUDIO)\n");
  expect(await relay.interrupt()).toBe(0);
});

test("raw PCM that ends in the middle of a sample is published to its end, and Ctrl-C ends a relay in order", async () => {
  const relay = new UnsayProcess(["relay", "--port", "0"], { XDG_DATA_HOME: folder });
  const [, url] = await relay.says(/relay listening on (http:\/\/\S+)/);
  const wav = join(folder, "heard.wav");
  const over = new AbortController();
  let heard = "";
  const watcher = unsay(["watch", url!, "--wav", wav, "--json", "--timeout-ms", "120000"], {
    signal: over.signal,
    onOut: (text) => {
      heard += text;
    },
  });
  const publisher = new UnsayProcess(["publish", "-", "--url", url!, "--rate", "16000", "--bypass"]);
  // A whole number of periods, so that the tone goes on from one part to the next.
  const tone = new Int16Array(1600).map((_, i) => 8_000 * Math.sin((2 * Math.PI * 440 * i) / 16_000));
  const feed = setInterval(() => publisher.child.stdin.write(Buffer.from(tone.buffer)), 100);
  try {
    await expect.poll(() => heard).toMatch(/"playedMs":(?:[5-9]\d\d|\d{4,})/);
  } finally {
    clearInterval(feed);
  }
  publisher.child.stdin.end(Buffer.from([1]));
  expect(await publisher.exited()).toBe(2);
  expect(publisher.error).toMatch(/ended in the middle of a sample.*\(PCM_TRUNCATED\)/);
  over.abort();
  const { exitCode, out } = await watcher;
  expect(exitCode).toBe(0);
  const last = JSON.parse(out.trim().split("\n").at(-1)!) as { playedMs: number; staleMs: number };
  expect(last.playedMs).toBeGreaterThan(500);
  expect(last.staleMs).toBe(0);
  expect(await relay.interrupt()).toBe(0);
});

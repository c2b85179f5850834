import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { Readable } from "node:stream";
import { type AudioSource, openSource } from "../../publisher/index.js";
import { compiledPath } from "./compile.js";

async function* tone(hertz: number): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const samples = new Int16Array(960);
    for (const index of samples.keys()) samples[index] = 8000 * Math.sin((2 * Math.PI * hertz * position++) / 48_000);
    yield Buffer.from(samples.buffer);
  }
}

/** A tone without an end. */
export function endlessTone(hertz: number): Promise<AudioSource> {
  return openSource({ pcm: Readable.from(tone(hertz)), format: "s16le", rate: 48_000, inputChannels: 1 });
}

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Runs a script of this folder in a process of its own, until it has written something; the caller ends it. */
export async function spawnScript(script: string, ...args: readonly (string | number)[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [compiledPath(`tests/support/${script}`), ...args.map(String)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  return child;
}

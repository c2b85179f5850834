import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "../../base/index.js";

const START_MS = 20_000;

/** A sound server whose only microphone hears exactly what its only loudspeaker plays: the worst of rooms. */
export class EchoRoom implements AsyncDisposable {
  readonly #server: ChildProcess;
  readonly #folder: string;

  private constructor(server: ChildProcess, folder: string) {
    this.#server = server;
    this.#folder = folder;
  }

  /** Starts PulseAudio (Debian package `pulseaudio`); undefined where it is not installed. */
  static async open(): Promise<EchoRoom | undefined> {
    try {
      execFileSync("pulseaudio", ["--version"], { stdio: "ignore" });
    } catch {
      return undefined;
    }
    const folder = mkdtempSync(join(tmpdir(), "unsay-room-"));
    const socket = join(folder, "native");
    const modules = [
      "module-null-sink sink_name=room rate=48000",
      // Browsers list no loudspeaker's monitor as a microphone.
      "module-remap-source source_name=microphone master=room.monitor",
      `module-native-protocol-unix auth-anonymous=1 socket=${socket}`,
    ];
    const options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"];
    const server = spawn("pulseaudio", [...options, ...modules.flatMap((each) => ["-L", each])], {
      stdio: "ignore",
      env: { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder, XDG_CONFIG_HOME: folder },
    });
    const room = new EchoRoom(server, folder);
    for (const limit = performance.now() + START_MS; !existsSync(socket); await sleep(50))
      if (performance.now() > limit) throw new Error(`PulseAudio did not start within ${START_MS / 1000} s.`);
    return room;
  }

  /** Environment with which programs find it. */
  get environment(): Readonly<Record<string, string>> {
    return { PULSE_SERVER: `unix:${join(this.#folder, "native")}`, PULSE_SINK: "room", PULSE_SOURCE: "microphone" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.kill();
    await sleep(200);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

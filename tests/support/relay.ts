import { Broadcast, Connection, Path, Time, type Track } from "@kixelated/moq";
import { onTestFinished } from "vitest";
import { Relay, type RelayOptions } from "../../relay/index.js";
import { type ConnectOptions, connect, type Session, toWebTransport } from "../../transport/index.js";

/** A relay on a free port, which closes with the test. */
export async function startRelay(
  options: RelayOptions = {},
  ablation: ConstructorParameters<typeof Relay>[1] = {},
): Promise<{ readonly relay: Relay; readonly url: string; readonly port: number }> {
  const relay = new Relay({ port: 0, ...options }, ablation);
  onTestFinished(() => relay.close());
  const { host, port } = await relay.listen();
  return { relay, url: `http://${host}:${port}/`, port };
}

/** A session over QUIC by default, which closes with the test. */
export async function dial(url: string | URL, options: ConnectOptions = {}): Promise<Session> {
  const session = await connect(url, { backends: ["quic"], ...options });
  onTestFinished(() => session.close());
  return session;
}

/** A stock client on such a session. */
export async function dialMoq(url: string, options?: ConnectOptions) {
  const session = await dial(url, options);
  const moq = await Connection.connect(new URL(url), { transport: toWebTransport(session) });
  return { session, moq };
}

/** Has a stock client publish a broadcast with some tracks. */
export function publishTracks(moq: Connection.Established, path: string, tracks = ["audio"]): Track.Producer[] {
  const broadcast = new Broadcast.Producer();
  const producers = tracks.map((name) => broadcast.createTrack(name, { timescale: Time.Timescale.MICRO }));
  moq.publish(Path.from(path), broadcast);
  return producers;
}

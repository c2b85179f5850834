import { Broadcast, Connection, Group, type Path, type Track } from "@kixelated/moq";
import {
  certificateHash,
  createCertificate,
  listenQuic,
  type SessionServer,
  toWebTransport,
} from "../../transport/index.js";

type Peer = Awaited<ReturnType<typeof Connection.accept>>;

/**
 * A relay as one writes it in an hour on `@kixelated/moq`'s `Connection.accept`: every broadcast of every session is
 * offered to all others, group by group. It knows nothing of ours. The library misses an announcement that is made while
 * it writes another one, so broadcasts have to come one after the other.
 */
export class NetRelay {
  readonly #server: SessionServer;
  readonly #peers = new Set<Peer>();
  readonly #broadcasts = new Map<Path.Valid, Source>();
  /** SHA-256 of its certificate. */
  readonly certificateHash: Uint8Array;

  private constructor(server: SessionServer, hash: Uint8Array) {
    this.#server = server;
    this.certificateHash = hash;
    void this.#accept();
  }

  /** Starts to listen on a free port, over QUIC. */
  static async listen(): Promise<NetRelay> {
    const certificate = await createCertificate(["127.0.0.1"]);
    const server = await listenQuic({ host: "127.0.0.1", port: 0, certificate });
    return new NetRelay(server, Uint8Array.from(Buffer.from(certificateHash(certificate.cert), "hex")));
  }

  get url(): string {
    return `https://127.0.0.1:${this.#server.address.port}`;
  }

  /** Whether a broadcast is announced now. */
  has(path: string): boolean {
    return this.#broadcasts.has(path as Path.Valid);
  }

  async close(): Promise<void> {
    for (const peer of this.#peers) peer.close();
    await this.#server.close();
  }

  async #accept(): Promise<void> {
    for (let request = await this.#server.accept(); request; request = await this.#server.accept()) {
      const session = await request.accept();
      const peer = await Connection.accept(toWebTransport(session), request.url);
      for (const [path, source] of this.#broadcasts) this.#offer(peer, path, source);
      this.#peers.add(peer);
      void this.#follow(peer).catch(() => {});
      void peer.closed.then(() => {
        this.#peers.delete(peer);
        for (const [path, { from }] of this.#broadcasts) if (from === peer) this.#drop(path);
      });
    }
  }

  async #follow(peer: Peer): Promise<void> {
    const announced = peer.announced();
    for (let event = await announced.next(); event; event = await announced.next()) {
      const { path, active } = event;
      const known = this.#broadcasts.get(path);
      if (active) {
        const source = new Source(peer, peer.consume(path));
        this.#broadcasts.set(path, source);
        for (const other of this.#peers) if (other !== peer) this.#offer(other, path, source);
      } else if (!active && known?.from === peer) {
        this.#drop(path);
      }
    }
  }

  #drop(path: Path.Valid): void {
    this.#broadcasts.get(path)?.consumer.close();
    this.#broadcasts.delete(path);
  }

  #offer(peer: Peer, path: Path.Valid, source: Source): void {
    const broadcast = new Broadcast.Producer();
    peer.publish(path, broadcast);
    void source.consumer.closed.then(() => broadcast.close());
    void (async () => {
      for (let request = await broadcast.requested(); request; request = await broadcast.requested())
        void source.serve(request);
    })().catch(() => {});
  }
}

/** One broadcast of one session. Each track is subscribed once, and for good: a lookup of its properties is a request too. */
class Source {
  readonly from: Peer;
  readonly consumer: Broadcast.Consumer;
  readonly #tracks = new Map<string, { readonly info: Promise<Track.Info>; readonly sinks: Set<Track.Producer> }>();

  constructor(from: Peer, consumer: Broadcast.Consumer) {
    this.from = from;
    this.consumer = consumer;
  }

  async serve(request: Track.Request): Promise<void> {
    try {
      const { info, sinks } = this.#track(request.name);
      const sink = request.accept(await info);
      sinks.add(sink);
      void sink.closed.then(() => sinks.delete(sink));
    } catch (error) {
      request.reject(error as Error);
    }
  }

  #track(name: string) {
    const known = this.#tracks.get(name);
    if (known) return known;
    const track = this.consumer.track(name).subscribe({ latencyMax: 30_000 });
    const made = { info: track.info(), sinks: new Set<Track.Producer>() };
    this.#tracks.set(name, made);
    void pump(track, made.sinks)
      .catch(() => {})
      .finally(() => {
        this.#tracks.delete(name);
        for (const sink of made.sinks) sink.close();
      });
    return made;
  }
}

async function pump(track: Track.Subscriber, sinks: Set<Track.Producer>): Promise<void> {
  for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
    const from = group;
    const copies = [...sinks].map((sink) => {
      const copy = new Group.Producer(from.sequence);
      sink.writeGroup(copy);
      return copy;
    });
    void (async () => {
      for (let frame = await from.readFrame(); frame; frame = await from.readFrame())
        for (const copy of copies) copy.writeFrame(frame);
      for (const copy of copies) copy.close();
    })().catch((error: Error) => {
      for (const copy of copies) copy.close(error);
    });
  }
}

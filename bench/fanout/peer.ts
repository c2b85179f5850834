import { type Broadcast, Connection, Group, Path, type Track } from "@kixelated/moq";
import {
  certificateHash,
  createCertificate,
  listenQuic,
  type SessionServer,
  toWebTransport,
} from "../../transport/index.js";
import { broadcastPath } from "./session.js";

type Session = Awaited<ReturnType<typeof Connection.accept>>;

/** The relay for comparison: what one writes in an hour on `@kixelated/moq`'s `Connection.accept`, on our transport. */
export class PeerRelay {
  readonly #tracks = new Map<string, Set<Track.Producer>>();
  #server: SessionServer | undefined;
  #publisher: Broadcast.Consumer | undefined;
  /** SHA-256 of its certificate in hex. */
  fingerprint = "";

  /** Starts to listen on a free port. */
  async listen(): Promise<{ port: number }> {
    const certificate = await createCertificate(["127.0.0.1"]);
    this.fingerprint = certificateHash(certificate.cert);
    this.#server = await listenQuic({ host: "127.0.0.1", port: 0, certificate });
    void this.#accept(this.#server);
    return this.#server.address;
  }

  async #accept(server: SessionServer): Promise<void> {
    for (;;) {
      const request = await server.accept();
      if (request === undefined) return;
      const session = await request.accept();
      const connection = await Connection.accept(toWebTransport(session), request.url);
      if (request.url.searchParams.get("role") === "publish") void this.#follow(connection);
      else void this.#offer(connection);
    }
  }

  async #follow(connection: Session): Promise<void> {
    await connection.announced().next();
    this.#publisher = connection.consume(Path.from(broadcastPath(0)));
  }

  // A producer ends with the first session that closes, so every watcher's session has one of its own.
  async #offer(connection: Session): Promise<void> {
    const { Broadcast } = await import("@kixelated/moq");
    const broadcast = new Broadcast.Producer();
    connection.publish(Path.from(broadcastPath(0)), broadcast);
    for (;;) {
      const request = await broadcast.requested();
      if (request === undefined) return;
      const { info, producers } = await this.#track(request.name);
      const producer = request.accept(info);
      producers.add(producer);
      void connection.closed.then(() => producers.delete(producer));
    }
  }

  #upstream = new Map<string, Promise<{ info: Track.Info; producers: Set<Track.Producer> }>>();

  #track(name: string): Promise<{ info: Track.Info; producers: Set<Track.Producer> }> {
    const known = this.#upstream.get(name);
    if (known) return known;
    const made = (async () => {
      const track = this.#publisher!.track(name).subscribe();
      const producers = new Set<Track.Producer>();
      this.#tracks.set(name, producers);
      void this.#pumpGroups(track, producers);
      void this.#pumpDatagrams(track, producers);
      return { info: await track.info(), producers };
    })();
    this.#upstream.set(name, made);
    return made;
  }

  async #pumpGroups(track: Track.Subscriber, producers: Set<Track.Producer>): Promise<void> {
    for (;;) {
      const group = await track.recvGroup();
      if (group === undefined) return;
      const copies = [...producers].map((producer) => {
        const copy = new Group.Producer(group.sequence);
        producer.writeGroup(copy);
        return copy;
      });
      void (async () => {
        for (;;) {
          const frame = await group.readFrame();
          if (frame === undefined) break;
          for (const copy of copies) copy.writeFrame(frame);
        }
        for (const copy of copies) copy.close();
      })();
    }
  }

  async #pumpDatagrams(track: Track.Subscriber, producers: Set<Track.Producer>): Promise<void> {
    for (;;) {
      const datagram = await track.recvDatagram();
      if (datagram === undefined) return;
      for (const producer of producers) producer.writeDatagram(datagram);
    }
  }
}

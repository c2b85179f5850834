import type { ReceiveStream, Session } from "../session.js";

/**
 * Takes one-way streams with a given prefix out of a session: `take` gets the rest of each. The returned session
 * accepts all others, complete.
 */
export function demuxStreams(session: Session, prefix: Uint8Array, take: (stream: ReceiveStream) => void): Session {
  const ready: ReceiveStream[] = [];
  let wake: (() => void) | undefined;
  let ended = false;
  const look = async (stream: ReceiveStream): Promise<void> => {
    let head = new Uint8Array(0);
    let matches = true;
    while (matches && head.length < prefix.length) {
      const bytes = await stream.read();
      if (bytes === undefined) break;
      const whole = new Uint8Array(head.length + bytes.length);
      whole.set(head);
      whole.set(bytes, head.length);
      head = whole;
      matches = prefix.every((byte, index) => index >= head.length || head[index] === byte);
    }
    if (matches && head.length >= prefix.length) return take(withHead(stream, head.subarray(prefix.length)));
    ready.push(withHead(stream, head));
    wake?.();
  };
  const accept = async (): Promise<void> => {
    for (let stream = await session.acceptUnidirectional(); stream; stream = await session.acceptUnidirectional())
      // A stream that breaks off before its kind is known concerns no reader.
      look(stream).catch(() => {});
    ended = true;
    wake?.();
  };
  void accept();
  const { backend, protocol, url, remoteAddress, datagrams, closed } = session;
  return {
    backend,
    protocol,
    url,
    remoteAddress,
    datagrams,
    closed,
    openUnidirectional: (options) => session.openUnidirectional(options),
    openBidirectional: (options) => session.openBidirectional(options),
    acceptBidirectional: () => session.acceptBidirectional(),
    async acceptUnidirectional() {
      while (ready.length === 0 && !ended) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return ready.shift();
    },
    close: (info) => session.close(info),
  };
}

function withHead(stream: ReceiveStream, head: Uint8Array): ReceiveStream {
  let waiting: Uint8Array | undefined = head.length > 0 ? head : undefined;
  return {
    async read() {
      const bytes = waiting;
      waiting = undefined;
      return bytes ?? stream.read();
    },
    stop(code) {
      waiting = undefined;
      stream.stop(code);
    },
  };
}

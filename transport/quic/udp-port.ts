import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIPv6 } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { InputError, TransportError } from "../../base/index.js";

/**
 * Waits until a UDP port can be bound again. The binding's socket is freed with the last JavaScript object that refers
 * to it, so this collects garbage on the way. When the program itself still holds streams, it gives up quietly.
 */
export async function released(host: string, port: number, withinMs: number): Promise<void> {
  let collect: (() => void) | undefined;
  for (const end = performance.now() + withinMs; performance.now() < end; ) {
    if (await canBind(host, port)) return;
    if (!collect) {
      setFlagsFromString("--expose-gc");
      collect = runInNewContext("gc") as () => void;
    }
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function canBind(host: string, port: number): Promise<boolean> {
  return (await bindOnce(host, port)) !== undefined;
}

/** A UDP port that is free now. */
export async function freePort(host: string): Promise<number> {
  const port = await bindOnce(host, 0);
  if (port === undefined) throw new TransportError("LISTEN_FAILED", `No free UDP port on ${host}.`);
  return port;
}

function bindOnce(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    socket.once("error", () => {
      socket.close();
      resolve(undefined);
    });
    socket.bind({ address: host, port, exclusive: true }, () => {
      const bound = socket.address().port;
      socket.close(() => resolve(bound));
    });
  });
}

/**
 * The address of a host name.
 *
 * @throws InputError `INVALID_HOST`.
 */
export async function resolveHost(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new InputError("INVALID_HOST", `The host ${host} is not an address of this machine.`, { cause });
  }
}

/** An address and a port as in a URL. */
export function bracket(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

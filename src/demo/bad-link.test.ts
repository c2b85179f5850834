import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, test } from "vitest";
import { BadLink } from "./bad-link.js";

/** A UDP socket on a port of its own. */
async function open() {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { socket, port: socket.address().port };
}

test("a browser gets through a bad link after many attempts that ended in silence, and the one that talks stays", async () => {
  const relay = await open();
  relay.socket.on("message", (packet, from) =>
    relay.socket.send(`${packet} from ${from.port}`, from.port, from.address),
  );
  const link = await BadLink.open(relay.port);
  const all = [relay];
  const attempt = async ({ socket }: typeof relay) => {
    socket.send("hello", link.port, "127.0.0.1");
    return String((await once(socket, "message"))[0]);
  };
  const talking = await open();
  all.push(talking);
  const answer = await attempt(talking);
  for (let count = 0; count < 40; count++) {
    const browser = await open();
    all.push(browser);
    expect(await attempt(browser)).toMatch(/^hello from /);
    // A link that had given its place away would send from another port.
    expect(await attempt(talking)).toBe(answer);
  }
  await link.close();
  for (const { socket } of all) socket.close();
});

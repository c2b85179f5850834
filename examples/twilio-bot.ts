// A bot that speaks Twilio's Media Streams, called by unsay: a mark comes back when the listener heard the audio before it.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Listener, MediaStreamsCall, Publisher } from "unsay";
import { Relay } from "unsay/relay";
import { WebSocketServer } from "ws";

/** Half a second of a buzz as 8 kHz mu-law. */
const payload = Buffer.from(Array.from({ length: 4000 }, (_, i) => (i % 20 < 10 ? 0xa0 : 0x20))).toString("base64");

// Stands for your bot: it sends five seconds at once, a mark behind each half, and clears behind the second that comes back.
const bot = new WebSocketServer({ host: "127.0.0.1", port: 0 });
await once(bot, "listening");
bot.on("connection", (socket) => {
  const back: string[] = [];
  socket.on("message", (data) => {
    const { event, streamSid, mark } = JSON.parse(String(data));
    const send = (message: object) => socket.send(JSON.stringify({ streamSid, ...message }));
    if (event === "start")
      for (let half = 1; half <= 10; half++) {
        send({ event: "media", media: { payload } });
        send({ event: "mark", mark: { name: `${half}` } });
      }
    if (event !== "mark") return;
    back.push(mark.name);
    console.log(`mark ${mark.name} is back`);
    if (back.length === 2) send({ event: "clear" });
    if (back.length === 10) socket.close();
  });
});

const relay = new Relay({ port: 0 });
const url = `http://127.0.0.1:${(await relay.listen()).port}`;
const publisher = new Publisher({ url, broadcast: "bot" });
const listener = new Listener({ url, broadcast: "bot" });
const call = new MediaStreamsCall({ bot: `ws://127.0.0.1:${(bot.address() as AddressInfo).port}/media`, publisher });
call.on("problem", (problem) => console.log(problem.message));
await call.closed;

console.log(
  `The bot sent ${call.stats().botMs} ms, the listener played ${Math.round(listener.stats().playedMs)} ms of it.`,
);
for (const part of [listener, publisher, relay, bot]) await part.close();
process.exit();

import "../../base/polyfills.js";
import { Publisher } from "../../publisher/index.js";
import { endlessTone } from "./outage.js";

/** A publisher of a tone in a process of its own, to be stopped or killed; it says on standard output when it publishes. */
const [url, hertz] = process.argv.slice(2);
const publisher = new Publisher({
  url: url!,
  broadcast: "demo",
  lowBitrateBps: false,
  connect: { backends: ["quic"] },
});
publisher.on("state", (state) => process.stdout.write(`${state}\n`));
publisher.say(await endlessTone(Number(hertz)));

import { Relay } from "../../relay/index.js";

/** A relay in a process of its own, to be killed; it says on standard output when it listens. */
const relay = new Relay({ port: Number(process.argv[2]) });
await relay.listen();
process.stdout.write("listening\n");

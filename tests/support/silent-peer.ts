/** Opens a quiet session per backend named on its command line, after the URL, and keeps them until it is killed. */
import { type Backend, connect } from "../../transport/index.js";

const [url, ...backends] = process.argv.slice(2);
// This version has nothing to say at first, so a relay does not wait for words.
for (const backend of backends) {
  await connect(url!, { backends: [backend as Backend], protocols: ["moq-lite-04"], timeoutMs: 60_000 });
}
process.stdout.write("connected\n");
setInterval(() => {}, 60_000);

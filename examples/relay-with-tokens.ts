// A relay that only admits clients with a token: one may publish, one may listen, a third is refused.
import { once } from "node:events";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Listener, openAudio, Publisher, WavSink } from "unsay";
import { Relay } from "unsay/relay";
import { generateKey, publicKeyOf, signToken } from "unsay/token";

const key = await generateKey("EdDSA");
const folder = await mkdtemp(join(tmpdir(), "unsay-keys-"));
// The relay only needs the public half.
await writeFile(join(folder, "public.jwk"), JSON.stringify(publicKeyOf(key)), { mode: 0o600 });

const relay = new Relay({ port: 0, auth: { keys: folder } });
const { port } = await relay.listen();
const exp = Math.floor(Date.now() / 1000) + 3600;
const urlFor = async (grants: { put?: string; get?: string }) =>
  `http://127.0.0.1:${port}/live?jwt=${await signToken(key, { root: "live", ...grants, exp })}`;

const publisher = new Publisher({ url: await urlFor({ put: "stage.hang" }), broadcast: "stage" });
const listener = new Listener({
  url: await urlFor({ get: "stage.hang" }),
  broadcast: "stage",
  sink: new WavSink({ path: "stage.wav" }),
});
const stranger = new Listener({
  url: `http://127.0.0.1:${port}/live`,
  broadcast: "stage",
  sink: new WavSink({ path: "stranger.wav" }),
});

const samples = Float32Array.from({ length: 48_000 }, (_, i) => 0.2 * Math.sin((2 * Math.PI * 330 * i) / 48_000));
await once(publisher, "listeners"); // Without a listener, `heardMs` would be what the clock says.
const { heardMs, measured } = await publisher.say(openAudio({ samples })).done;
if (!measured) throw new Error("No listener reported what it heard.");
const refusal = await stranger.closed;
console.log(`The one without a token was refused: ${refusal?.message}`);
console.log(`The listener with a token heard ${Math.round(heardMs)} ms.`);

await listener.close();
await publisher.close();
await relay.close();

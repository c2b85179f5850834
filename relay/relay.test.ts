import { expect, test } from "vitest";
import { Relay } from "./relay.js";

const UPSTREAM = "http://127.0.0.1:1/?jwt=secret";

test.each<[string, unknown, string]>([
  ["host", "", "not be empty"],
  ["host", 7, "be a string"],
  ["port", -1, "be at least 0"],
  ["port", 70_000, "be at most 65535"],
  ["port", "4443", "be a number"],
  ["certificate", "cert.pem", "be { cert, key } as PEM text, or Certificates"],
  ["repeat", "sometimes", 'be true or false or "auto"'],
  ["handler", {}, "be a function of request and response"],
  ["auth", "keys/", "be an object"],
  ["auth.keys", 5, "be a string"],
  ["auth.public", [], "be an object"],
  ["auth.public.get", "/", "be an array"],
  ["allowedHosts", "relay.example", "be an array"],
  ["allowedOrigins", ["app.example"], "be an origin such as https://app.example, or *"],
  ["upstream", "http://localhost", "be an object"],
  ["upstream.url", "localhost", "be a URL such as https://origin.example:4443"],
  ["opsPort", 1.5, "be a whole number"],
  ["limits", 5, "be an object"],
  ["limits.sessions", 0, "be more than 0"],
  ["logger", console.log, "have the methods debug, info, warn and child"],
  ["signal", {}, "be an AbortSignal"],
])("a relay refuses %s = %j in one sentence", (path, value, words) => {
  const options = path.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
  const place = Array.isArray(value) && value.length > 0 ? `Relay.${path}.0` : `Relay.${path}`;
  expect(() => new Relay(options as never)).toThrow(
    expect.objectContaining({
      code: "INVALID_OPTION",
      message: expect.stringMatching(new RegExp(`^${literal(place)} must ${literal(words)}, but is .+\\.$`)),
    }),
  );
});

test.each<[unknown, string]>([
  [{ prot: 1 }, 'Relay has no option "prot".'],
  [{ takeBack: false }, 'Relay has no option "takeBack".'],
  [{ limits: { sesions: 1 } }, 'Relay.limits has no option "sesions".'],
  [
    { auth: { public: { put: [""] } } },
    'Relay.auth.public.put.0 must be a path, where / stands for everything, but is "".',
  ],
  [{ upstream: { url: UPSTREAM, ca: "" } }, 'Relay.upstream.ca must not be empty, but is "".'],
  [
    { upstream: { url: UPSTREAM, backends: ["tcp"] } },
    'Relay.upstream.backends.0 must be "quic", "qmux" or "http2", but is "tcp".',
  ],
  [null, "Relay must get an object of options, but got null."],
])("a relay refuses the options %j in one sentence", (options, message) => {
  expect(() => new Relay(options as never)).toThrow(expect.objectContaining({ code: "INVALID_OPTION", message }));
});

test("a relay closes once, with its block or its signal, and is unusable afterwards", async () => {
  const abort = new AbortController();
  let port = 0;
  {
    await using relay = new Relay({ port: 0, signal: abort.signal });
    ({ port } = await relay.listen());
    await expect(relay.listen()).rejects.toMatchObject({ code: "ALREADY_LISTENING" });
    expect(relay.backends).toEqual(["quic", "qmux"]);
  }
  // Its port is free again.
  const next = new Relay({ port, signal: abort.signal });
  await next.listen();
  abort.abort(new Error("The program ends."));
  expect(await next.closed).toBeNull();
  await next.close();
  expect(next.address.port).toBe(port);

  const late = new Relay({ port: 0, signal: abort.signal });
  await expect(late.listen()).rejects.toThrow("The program ends.");
  const closed = new Relay({ port: 0 });
  await closed.close();
  expect(await closed.closed).toBeNull();
  for (const used of [closed.listen(), closed.setCertificate({ cert: "", key: "" })])
    await expect(used).rejects.toMatchObject({ name: "StateError", code: "CLOSED" });
});

test("a relay whose operations port is its own port says so", async () => {
  await using first = new Relay({ port: 0 });
  const { port } = await first.listen();
  await first.close();
  await using relay = new Relay({ port, opsPort: port });
  await expect(relay.listen()).rejects.toThrow(`The ops port ${port} is in use by the relay itself.`);
});

test("a relay that failed to listen can try again, and one that closes while it opens holds no port", async () => {
  await using first = new Relay({ port: 0 });
  const { port } = await first.listen();
  await using second = new Relay({ port });
  await expect(second.listen()).rejects.toMatchObject({ code: "PORT_IN_USE" });
  await first.close();
  expect((await second.listen()).port).toBe(port);

  const hasty = new Relay({ port: 0 });
  const listening = hasty.listen();
  const closing = hasty.close();
  await expect(listening).rejects.toMatchObject({ code: "CLOSED" });
  await closing;
});

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

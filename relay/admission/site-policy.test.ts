import { expect, test } from "vitest";
import { SitePolicy } from "./site-policy.js";

type Case = [host: string | undefined, origin: string | undefined, code: "WRONG_HOST" | "WRONG_ORIGIN" | undefined];

function check(policy: SitePolicy, cases: readonly Case[]): void {
  for (const [host, origin, code] of cases)
    expect([host, origin, policy.refuse({ host, origin })?.code]).toEqual([host, origin, code]);
}

test("a relay on loopback takes clients without an origin and pages of this machine, and no other site's", () => {
  for (const host of ["127.0.0.1", "localhost", "::1", "127.1.2.3"]) {
    check(new SitePolicy({ host }), [
      ["localhost:4443", undefined, undefined],
      ["127.0.0.1:4443", undefined, undefined],
      [undefined, undefined, undefined],
      ["localhost:4443", "http://localhost:4443", undefined],
      ["127.0.0.1:4443", "http://localhost:5173", undefined],
      ["[::1]:4443", "https://[::1]:4443", undefined],
      ["LOCALHOST.:4443", "http://app.localhost", undefined],
      ["127.0.0.1:4443", "http://evil.example", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "null", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "http://127.0.0.1.evil.example", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "http://localhost.evil.example:4443", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "http://192.168.1.7", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "chrome-extension://localhost", "WRONG_ORIGIN"],
      ["0.0.0.0:4443", "http://evil.example", "WRONG_ORIGIN"],
      ["[::ffff:127.0.0.1]:4443", "http://evil.example", "WRONG_ORIGIN"],
      // DNS rebinding: the page's own name leads here.
      ["evil.example:4443", "http://evil.example:4443", "WRONG_HOST"],
      ["evil.example:4443", undefined, "WRONG_HOST"],
      ["localhost.evil.example", undefined, "WRONG_HOST"],
      ["a b", undefined, "WRONG_HOST"],
      // No browser sends these, so that they only hide another name.
      ["evil.example@127.0.0.1:4443", undefined, "WRONG_HOST"],
      ["127.0.0.1#evil.example", undefined, "WRONG_HOST"],
      ["127.0.0.1\\@evil.example", undefined, "WRONG_HOST"],
      ["127.0.0.1:99999", undefined, "WRONG_HOST"],
      ["127.0.0.1:4443", "http://evil@localhost", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "http://localhost/page", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "HTTP://LOCALHOST", "WRONG_ORIGIN"],
      ["127.0.0.1:4443", "file://", "WRONG_ORIGIN"],
    ]);
  }
});

test("a relay for a network takes every page, except at its loopback and private addresses", () => {
  for (const host of ["0.0.0.0", "::", "192.168.1.5", "relay.example"]) {
    check(new SitePolicy({ host }), [
      ["relay.example:4443", "https://app.example", undefined],
      ["203.0.113.5", "https://app.example", undefined],
      ["relay.example", "null", undefined],
      ["relay.example", "capacitor://localhost", undefined],
      ["127.0.0.1:4443", "https://app.example", "WRONG_ORIGIN"],
      ["192.168.1.5:4443", "https://app.example", "WRONG_ORIGIN"],
      ["192.168.1.5:4443", "http://192.168.1.9:3000", undefined],
      ["[fd00::5]:4443", "https://app.example", "WRONG_ORIGIN"],
      ["192.168.1.5:4443", undefined, undefined],
    ]);
  }
});

test("settings admit other names and pages, and nothing besides", () => {
  check(new SitePolicy({ host: "127.0.0.1", allowedHosts: ["Relay.example", "bücher.example"] }), [
    ["relay.example", undefined, undefined],
    ["xn--bcher-kva.example", undefined, undefined],
    ["relay.example", "https://app.example", undefined],
    ["other.example", undefined, "WRONG_HOST"],
    ["127.0.0.1:4443", "https://app.example", "WRONG_ORIGIN"],
  ]);
  check(new SitePolicy({ host: "0.0.0.0", allowedHosts: ["relay.example"], allowedOrigins: ["https://app.example"] }), [
    ["relay.example", "https://app.example", undefined],
    ["relay.example:4443", "http://relay.example:4443", undefined],
    ["relay.example", "http://app.example", "WRONG_ORIGIN"],
    ["127.0.0.1:4443", "https://app.example", undefined],
    ["other.example", undefined, "WRONG_HOST"],
  ]);
  check(new SitePolicy({ host: "127.0.0.1", allowedOrigins: ["*"] }), [
    ["127.0.0.1:4443", "https://app.example", undefined],
    ["127.0.0.1:4443", "null", undefined],
    ["evil.example", "https://app.example", "WRONG_HOST"],
  ]);
});

test("a refusal names the setting for the operator", () => {
  const policy = new SitePolicy({ host: "127.0.0.1" });
  expect(policy.refuse({ host: "relay.local:4443", origin: undefined })).toEqual({
    status: 403,
    code: "WRONG_HOST",
    message: "The relay does not answer to relay.local; --allow-host relay.local would let it.",
  });
  expect(policy.refuse({ host: "localhost", origin: "https://app.example" })?.message).toContain(
    "--allow-origin https://app.example",
  );
});

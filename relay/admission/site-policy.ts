import { BlockList, isIP } from "node:net";
import { type Refusal, requestUrl } from "../../transport/index.js";

/** Web pages that may use a relay, and names that it answers to. */
export interface SitePolicyOptions {
  /** The address that the relay listens on. */
  readonly host: string;
  /** More host names it answers to; default none on loopback, where it answers only to loopback names, else all. */
  readonly allowedHosts?: readonly string[] | undefined;
  /**
   * Origins of web pages that may connect, such as `https://app.example`, or `*` for all. Default: on loopback and
   * private addresses only pages of such addresses, else all.
   */
  readonly allowedOrigins?: readonly string[] | undefined;
}

/**
 * Headers of a request; both are absent for clients other than browsers, or where the carrier does not provide them.
 */
export interface RequestSource {
  /** The `Host` header or `:authority`, with or without a port. */
  readonly host: string | undefined;
  /** The `Origin` header. */
  readonly origin: string | undefined;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
// "This host": browsers connect it to loopback.
loopback.addAddress("0.0.0.0", "ipv4");
loopback.addAddress("::1", "ipv6");
loopback.addAddress("::", "ipv6");

const privateNetworks = new BlockList();
privateNetworks.addSubnet("10.0.0.0", 8, "ipv4");
privateNetworks.addSubnet("172.16.0.0", 12, "ipv4");
privateNetworks.addSubnet("192.168.0.0", 16, "ipv4");
privateNetworks.addSubnet("169.254.0.0", 16, "ipv4");
privateNetworks.addSubnet("fc00::", 7, "ipv6");
privateNetworks.addSubnet("fe80::", 10, "ipv6");

/** How far a host name reaches. */
type Reach = "loopback" | "private" | "public";

/**
 * Keeps web pages of other sites away from a relay that their visitor happens to run. A browser sends any page's
 * requests to loopback, with the page's own origin. A page whose owner points its host name at 127.0.0.1 (DNS
 * rebinding) shares its origin with the relay, so that only the `Host` header gives it away. Addresses as such cannot
 * be rebound.
 *
 * Clients other than browsers send no `Origin` and are not affected.
 */
export class SitePolicy {
  readonly #host: string;
  readonly #hosts: ReadonlySet<string> | undefined;
  readonly #origins: ReadonlySet<string> | undefined;

  constructor({ host, allowedHosts, allowedOrigins }: SitePolicyOptions) {
    this.#host = host.toLowerCase();
    const isWildcard = this.#host === "0.0.0.0" || this.#host === "::";
    const isLocal = !isWildcard && reachOf(this.#host) === "loopback";
    this.#hosts = allowedHosts || isLocal ? new Set(allowedHosts?.map(spelled)) : undefined;
    this.#origins = allowedOrigins && new Set(allowedOrigins);
  }

  /** The reason to refuse a request, or undefined to admit it. */
  refuse({ host, origin }: RequestSource): Refusal | undefined {
    const here = host === undefined ? undefined : requestUrl("http", host, "/");
    if (host !== undefined && !this.#answersTo(here)) {
      const name = here && nameOf(here);
      const hint =
        name === undefined
          ? "answers to no malformed name"
          : `does not answer to ${name}; --allow-host ${name} would let it`;
      return { status: 403, code: "WRONG_HOST", message: `The relay ${hint}.` };
    }
    if (origin === undefined || this.#admits(origin, here)) return undefined;
    const hint = isOrigin(origin) ? origin : "*";
    const message = `The relay takes no web pages of ${origin || "no origin"}; --allow-origin ${hint} would let it.`;
    return { status: 403, code: "WRONG_ORIGIN", message };
  }

  #answersTo(url: URL | undefined): boolean {
    if (url === undefined) return false;
    const name = nameOf(url);
    if (isIP(name) !== 0 || name === this.#host || reachOf(name) === "loopback") return true;
    return this.#hosts === undefined || this.#hosts.has(name);
  }

  #admits(origin: string, here: URL | undefined): boolean {
    if (this.#origins?.has("*") || this.#origins?.has(origin)) return true;
    if (here === undefined) return false;
    const to = reachOf(nameOf(here));
    if (to === "public" && this.#origins === undefined) return true;
    // The origin of a file or of a frame in a sandbox is "null".
    if (!isOrigin(origin)) return false;
    const page = new URL(origin);
    if (page.host === here.host) return true;
    const from = reachOf(nameOf(page));
    return to !== "public" && (from === "loopback" || (from === "private" && to === "private"));
  }
}

function parse(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** Whether a browser would send it for a page of a web server: other forms of the same site are none of its pages. */
function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && parse(text)?.origin === text;
}

/** A host name as the URL of a request has it. */
function spelled(name: string): string {
  const url = parse(`http://${name}`);
  return url === undefined ? name.toLowerCase() : nameOf(url);
}

/** The host of a URL without brackets and without the dot of a complete name. */
function nameOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
}

function reachOf(name: string): Reach {
  const version = isIP(name);
  if (version === 0) return name === "localhost" || name.endsWith(".localhost") ? "loopback" : "public";
  const family = version === 6 ? "ipv6" : "ipv4";
  if (loopback.check(name, family)) return "loopback";
  return privateNetworks.check(name, family) ? "private" : "public";
}

/** The MoQ version between two ends of this project. */
export const MOQ_LITE_05 = "moq-lite-05";

/** The query parameter for the version where a carrier does not negotiate one itself. */
const PARAMETER = "moq";

/**
 * Adds the first offered protocol to a URL as `?moq=`, unless it names one already.
 *
 * The QUIC binding's server never selects a WebTransport subprotocol, so our two ends agree through the URL.
 */
export function offerProtocol(url: URL, protocols: readonly string[]): URL {
  const offered = protocols[0];
  if (offered === undefined || url.searchParams.has(PARAMETER)) return url;
  const copy = new URL(url);
  copy.searchParams.set(PARAMETER, offered);
  return copy;
}

/**
 * The URL of a request by its host and its path, or undefined for malformed ones. As a relative URL, the path `//live`
 * would name another host.
 */
export function requestUrl(scheme: "http" | "https", host: string, path: string): URL | undefined {
  const text = `${scheme}://${host}${path}`;
  return path.startsWith("/") && !/[\s/?#@\\]/.test(host) && URL.canParse(text) ? new URL(text) : undefined;
}

/** The protocol that a URL names by `?moq=`, if supported here; otherwise "". */
export function urlProtocol(url: URL, protocols: readonly string[]): string {
  const offered = url.searchParams.get(PARAMETER);
  return offered !== null && protocols.includes(offered) ? offered : "";
}

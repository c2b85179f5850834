const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Decodes base64, with or without padding. Undefined for anything else: Node.js would skip foreign characters, and end
 * at padding in the middle.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (!BASE64.test(text)) return undefined;
  const digits = text.endsWith("=") ? text.indexOf("=", text.length - 2) : text.length;
  const isWhole = digits % 4 !== 1 && (digits === text.length || text.length % 4 === 0);
  return isWhole ? Buffer.from(text, "base64") : undefined;
}

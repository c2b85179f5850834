/** How often an idle session sends a datagram: the QUIC binding drops a session after 30 silent seconds. */
export const KEEPALIVE_MS = 10_000;

/**
 * A MoQ datagram for Subscribe ID 2^62-2 (eight bytes of varint), group 0, timestamp 0, without payload. No peer
 * subscribes under that number, so unaware receivers drop it quietly; our own receivers hide it.
 */
export const KEEPALIVE = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x00, 0x00);

/** Whether a datagram is {@link KEEPALIVE}. */
export function isKeepalive(datagram: Uint8Array): boolean {
  if (datagram.length !== KEEPALIVE.length || datagram[7] !== 0xfe) return false;
  for (let i = 0; i < KEEPALIVE.length; i++) if (datagram[i] !== KEEPALIVE[i]) return false;
  return true;
}

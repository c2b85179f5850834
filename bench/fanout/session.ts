import { connectQuic, type Session } from "../../transport/index.js";
import { SETUP_STREAM } from "./wire.js";

/** The broadcast of a number; there is only number 0 but where several share a relay. */
export function broadcastPath(number: number): string {
  return `fanout-${number}.hang`;
}

/** The one track of each. */
export const TRACK_NAME = "audio";

/** Where a relay of the bench listens. */
export interface Door {
  readonly port: number;
  readonly fingerprint: string;
}

/** Opens a session of its own UDP socket, and greets. */
export async function dial({ port, fingerprint }: Door, role: "publish" | "watch"): Promise<Session> {
  const session = await connectQuic(new URL(`https://127.0.0.1:${port}/?role=${role}`), {
    certificateHashes: [Buffer.from(fingerprint, "hex")],
    timeoutMs: 60_000,
  });
  const setup = await session.openUnidirectional();
  await setup.write(SETUP_STREAM);
  void setup.finish();
  return session;
}

/** Waits. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}

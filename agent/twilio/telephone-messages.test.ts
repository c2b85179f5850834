import { expect, test } from "vitest";
import { TelephoneMessages } from "./telephone-messages.js";

const ids = { streamSid: "MZ1", callSid: "CA1", accountSid: "AC1" };

test("a call has Twilio's format: numbers are strings, and every message but the first has its number", () => {
  const messages = new TelephoneMessages(ids);
  const written = [
    messages.connected(),
    messages.start({ language: "it" }),
    messages.media(Uint8Array.of(255, 127), 0),
    messages.media(Uint8Array.of(0), 20.4),
    messages.dtmf("#"),
    messages.mark("done"),
    messages.stop(),
  ];
  expect(written.map((text) => JSON.parse(text))).toEqual([
    { event: "connected", protocol: "Call", version: "1.0.0" },
    {
      event: "start",
      sequenceNumber: "1",
      streamSid: "MZ1",
      start: {
        ...ids,
        tracks: ["inbound"],
        mediaFormat: { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 },
        customParameters: { language: "it" },
      },
    },
    {
      event: "media",
      sequenceNumber: "2",
      streamSid: "MZ1",
      media: { track: "inbound", chunk: "1", timestamp: "0", payload: "/38=" },
    },
    {
      event: "media",
      sequenceNumber: "3",
      streamSid: "MZ1",
      media: { track: "inbound", chunk: "2", timestamp: "20", payload: "AA==" },
    },
    { event: "dtmf", sequenceNumber: "4", streamSid: "MZ1", dtmf: { track: "inbound_track", digit: "#" } },
    { event: "mark", sequenceNumber: "5", streamSid: "MZ1", mark: { name: "done" } },
    { event: "stop", sequenceNumber: "6", streamSid: "MZ1", stop: { accountSid: "AC1", callSid: "CA1" } },
  ]);
});

import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { openAudio, type Publisher, type Speech } from "../../publisher/index.js";
import { toFloat } from "../../publisher/source/pcm.js";
import { VirtualStage } from "../../tests/support/virtual-stage.js";
import { Caller } from "../caller/caller.js";
import { DoorAgent } from "./door-agent.js";
import { RealtimePlayback } from "./realtime-playback.js";

/** An agent at a door whose publisher and listener run on a virtual clock. */
function openDoor(caller?: Caller) {
  const stage = new VirtualStage({ aheadMs: 600 });
  const sent: {
    readonly type: string;
    readonly response_id?: string;
    readonly audio_end_ms?: number;
    readonly audio?: string;
  }[] = [];
  const socket = {
    readyState: WebSocket.OPEN,
    bufferedAmount: 0,
    send: (text: unknown) => void sent.push(JSON.parse(String(text))),
    close: () => {},
    terminate: vi.fn(),
  };
  const speeches: Speech[] = [];
  const say: Publisher["say"] = (source, options = {}) => {
    const speech = stage.renderer.say(source, options);
    speeches.push(speech);
    return speech;
  };
  const playback = new RealtimePlayback({ say });
  const agent = new DoorAgent(socket, playback, caller);
  const receive = (event: object) => agent.receive(JSON.stringify(event));
  const place = (response: string) => ({ response_id: response, item_id: `${response}-item`, content_index: 0 });
  const audio = (response: string, ms: number, bytesPerMs = 48) =>
    receive({
      type: "response.output_audio.delta",
      ...place(response),
      delta: Buffer.alloc(ms * bytesPerMs, 1).toString("base64"),
    });
  const began = (response: string) => receive({ type: "response.created", response: { id: response } });
  const end = (response: string) => receive({ type: "response.output_audio.done", ...place(response) });
  const text = (response: string, fields: object) =>
    receive({ type: "response.output_audio_transcript.delta", ...place(response), delta: "", ...fields });
  const done = (response: string) => receive({ type: "response.done", response: { id: response } });
  return { agent, playback, socket, stage, sent, speeches, receive, audio, began, end, done, text };
}

test("an agent that gives every response the same name is heard again after an interrupt", async () => {
  const { stage, sent, receive, audio, began, end } = openDoor();
  began("r");
  audio("r", 1000);
  await stage.runTo(500);
  receive({ type: "output_audio_buffer.clear" });
  audio("r", 1000);
  await stage.runTo(2500);
  expect(sent.map(({ type }) => type)).toEqual([
    "output_audio_buffer.started",
    "output_audio_buffer.cleared",
    "conversation.item.truncate",
  ]);
  began("r");
  audio("r", 300);
  end("r");
  await stage.runTo(4000);
  expect(sent.at(-1)?.type).toBe("output_audio_buffer.started");
});

test.each([
  ["once it was heard", 2000],
  ["while it still plays", 150],
])("an agent that gives every response the same name is heard again %s", async (_, pauseMs) => {
  const { stage, sent, speeches, audio, began, end, done, text } = openDoor();
  for (const [index, words] of ["one", "two", "three"].entries()) {
    began("r");
    text("r", { delta: words });
    audio("r", 300);
    // Not every agent says when the audio of a part is complete.
    if (index !== 1) end("r");
    done("r");
    await stage.runTo((index + 1) * pauseMs);
  }
  await stage.runTo(stage.now + 3000);
  const results = await Promise.all(speeches.map((speech) => speech.done));
  expect(results.map(({ outcome, heardMs, heardText }) => [outcome, heardMs, heardText])).toEqual([
    ["finished", 300, "one"],
    ["finished", 300, "two"],
    ["finished", 300, "three"],
  ]);
  expect(sent.at(-1)).toEqual({ type: "output_audio_buffer.stopped", response_id: "r" });
});

test("a part that goes on after its end is heard to its end, and no agent is heard after it was replaced", async () => {
  const { agent, stage, speeches, audio, end } = openDoor();
  audio("r", 300);
  end("r");
  audio("r", 200);
  agent.close();
  audio("r", 400);
  audio("other", 400);
  await stage.runTo(2000);
  const results = await Promise.all(speeches.map((speech) => speech.done));
  expect(results.map(({ outcome, heardMs }) => [outcome, heardMs])).toEqual([
    ["finished", 300],
    ["finished", 200],
  ]);
});

test("a response whose agent never says that it is complete stops with the first audio of the next one", async () => {
  const { stage, sent, audio, began, end } = openDoor();
  began("r1");
  audio("r1", 300);
  end("r1");
  await stage.runTo(2000);
  expect(sent.map(({ type }) => type)).toEqual(["output_audio_buffer.started"]);
  began("r2");
  expect(sent).toHaveLength(1);
  audio("r2", 300);
  expect(sent.at(-1)).toEqual({ type: "output_audio_buffer.stopped", response_id: "r1" });
});

test("a response beside the one that speaks ends none of its parts, and an interrupt cuts at what was heard of the item", async () => {
  const { stage, sent, speeches, receive, audio, began, done } = openDoor();
  began("r1");
  audio("r1", 1000);
  await stage.runTo(300);
  // It only writes, as one out of band does.
  began("aside");
  done("aside");
  audio("r1", 3000);
  expect(speeches).toHaveLength(1);
  await stage.runTo(2500);
  receive({ type: "output_audio_buffer.clear" });
  audio("r1", 1000);
  await stage.runTo(5000);
  const { heardMs } = await speeches[0]!.done;
  expect(heardMs).toBeGreaterThan(1500);
  expect(sent.map(({ type, audio_end_ms: ms }) => [type, ms])).toEqual([
    ["output_audio_buffer.started", undefined],
    ["output_audio_buffer.cleared", undefined],
    ["conversation.item.truncate", Math.floor(heardMs)],
  ]);
  expect(speeches).toHaveLength(1);
});

test("a response that is cancelled beside the one that speaks is never heard, and costs the other nothing", async () => {
  const { stage, sent, speeches, receive, audio, began, done } = openDoor();
  for (const response of ["r1", "aside"]) began(response);
  audio("r1", 500);
  await stage.runTo(300);
  receive({ type: "response.cancel", response_id: "aside" });
  audio("aside", 500);
  audio("r1", 500);
  done("r1");
  await stage.runTo(3000);
  expect(await Promise.all(speeches.map((speech) => speech.done))).toMatchObject([
    { outcome: "finished", heardMs: 1000 },
  ]);
  began("r2");
  audio("r2", 1000);
  await stage.runTo(3500);
  receive({ type: "response.cancel", response_id: "r2" });
  await stage.runTo(6000);
  expect(sent.map(({ type, response_id: id }) => [type.split(".")[1], id])).toEqual([
    ["started", "r1"],
    ["stopped", "r1"],
    ["started", "r2"],
    ["cleared", "r2"],
    ["item", undefined],
  ]);
});

test("an interrupt before the first audio drops all of it, also where another response was complete meanwhile", async () => {
  const { stage, sent, speeches, receive, audio, began, done } = openDoor();
  began("r1");
  began("aside");
  done("aside");
  receive({ type: "output_audio_buffer.clear" });
  audio("r1", 1000);
  await stage.runTo(2000);
  expect(speeches).toEqual([]);
  expect(sent).toEqual([{ type: "output_audio_buffer.cleared", response_id: "r1" }]);
});

test("what can't be said is answered by a sentence, and never costs the audio", async () => {
  const { stage, sent, receive, audio, end, text } = openDoor();
  const many = (from: number) =>
    Array.from({ length: 10_000 }, (_, i) => ({ text: "a", startMs: from + i, endMs: from + i }));
  for (let i = 0; i < 8; i++) expect(text("r", { words: many(i * 10_000) })).toBeUndefined();
  expect(audio("r", 300)).toBeUndefined();
  const faults = Array.from({ length: 8 }, (_, i) => text("r", { words: many((i + 8) * 10_000) }));
  expect(faults.at(-1)).toBe(
    "An event of the agent can't be used: Speech.words must hold at most 65536 words, not more.",
  );
  end("r");
  await stage.runTo(2000);
  expect(sent.map(({ type }) => type)).toEqual(["output_audio_buffer.started", "output_audio_buffer.stopped"]);
  const format = { type: "audio/pcm", rate: 22_050.5 };
  receive({ type: "session.update", session: { audio: { output: { format } } } });
  expect(audio("r3", 10)).toMatch(/^An event of the agent can't be used: .*sampleRate/);
});

test("a part keeps the format that it began with", async () => {
  const { stage, sent, receive, audio } = openDoor();
  const setFormat = (type: string) =>
    receive({ type: "session.update", session: { audio: { output: { format: { type } } } } });
  setFormat("audio/pcmu");
  audio("r", 200, 8);
  setFormat("audio/pcm");
  audio("r", 200, 8);
  await stage.runTo(1500);
  receive({ type: "output_audio_buffer.clear" });
  await stage.runTo(4000);
  const { audio_end_ms: end } = sent.find(({ type }) => type === "conversation.item.truncate") ?? {};
  expect(end).toBeGreaterThan(350);
  expect(end).toBeLessThanOrEqual(400);
});

test("audio that is cleared before any listener reported it is answered as cleared, then truncated", async () => {
  const { stage, sent, receive, audio, began, end, done } = openDoor();
  began("r");
  audio("r", 500);
  end("r");
  done("r");
  receive({ type: "output_audio_buffer.clear" });
  await stage.runTo(3000);
  expect(sent.map(({ type, response_id: response, audio_end_ms: ms }) => [type, response ?? ms])).toEqual([
    ["output_audio_buffer.cleared", "r"],
    ["conversation.item.truncate", 0],
  ]);
});

test("a response is said in the format that it names, or that its session had when it began", async () => {
  const { stage, speeches, receive, audio, began, end } = openDoor();
  const format = { type: "audio/pcmu" };
  receive({ type: "response.created", response: { id: "r1", audio: { output: { format } } } });
  audio("r1", 300, 8);
  end("r1");
  began("r2");
  receive({ type: "session.update", session: { audio: { output: { format } } } });
  audio("r2", 300);
  end("r2");
  await stage.runTo(3000);
  const results = await Promise.all(speeches.map((speech) => speech.done));
  expect(results.map(({ heardMs }) => heardMs)).toEqual([300, 300]);
});

test("a format that is unknown is refused with a sentence, and the one before stays", async () => {
  const { stage, speeches, receive, audio, end } = openDoor();
  const mulaw = { type: "audio/pcmu" };
  receive({ type: "session.update", session: { audio: { output: { format: mulaw } } } });
  const fault =
    "An event of the agent names a format of audio other than audio/pcm at a rate from 8,000 to 48,000, audio/pcmu or audio/pcma.";
  for (const format of [
    { type: "audio/opus" },
    { type: "audio/pcm", rate: "16000" },
    { type: "audio/pcm", rate: 1e6 },
  ]) {
    for (const side of ["input", "output"])
      expect(receive({ type: "session.update", session: { audio: { [side]: { format } } } })).toBe(fault);
    expect(receive({ type: "response.created", response: { id: "r", audio: { output: { format } } } })).toBe(fault);
  }
  audio("r", 200, 8);
  end("r");
  await stage.runTo(2000);
  expect(await speeches[0]!.done).toMatchObject({ outcome: "finished", heardMs: 200 });
});

test("an agent gets the caller's audio in the format that its session asks for", async () => {
  const microphone = openAudio({ sampleRate: 48_000, format: "f32le", name: "caller" });
  const caller = new Caller({ audio: microphone });
  const { agent, sent, receive } = openDoor(caller);
  const appended = () => sent.filter(({ type }) => type === "input_audio_buffer.append");
  const speak = async () => {
    microphone.push!.write(new Float32Array(9600).fill(0.5));
    const { heardMs } = caller.stats();
    await vi.waitFor(() => expect(caller.stats().heardMs).toBe(heardMs + 200));
    return Buffer.from(appended().at(-1)?.audio ?? "", "base64");
  };
  const session = (format: unknown) => receive({ type: "session.update", session: { audio: { input: { format } } } });
  expect(await speak()).toHaveLength(960);
  for (const [format, type, level] of [
    ["g711_ulaw", "mulaw", 0.5],
    [{ type: "audio/pcma" }, "alaw", 0.5],
  ] as const) {
    expect(session(format)).toBeUndefined();
    const bytes = await speak();
    expect(bytes).toHaveLength(160);
    expect(toFloat(bytes, type)[80]).toBeCloseTo(level, 1);
  }
  expect(session({ type: "audio/pcm", rate: 22_050.5 })).toMatch(/no whole number of hertz/);
  expect(await speak()).toHaveLength(160);
  agent.close();
  const { length } = appended();
  await speak();
  expect(appended()).toHaveLength(length);
  await caller.close();
});

test("what an agent has said before it left is interrupted like its successor's, without an answer", async () => {
  const { agent, playback, socket, stage, speeches, audio } = openDoor();
  audio("r1", 2000);
  await stage.runTo(300);
  agent.close();
  const sent: unknown[] = [];
  const next = new DoorAgent({ ...socket, send: (text) => sent.push(JSON.parse(String(text))) }, playback);
  next.callerSpoke();
  await stage.runTo(3000);
  const [result] = await Promise.all(speeches.map((speech) => speech.done));
  expect(result).toMatchObject({ outcome: "interrupted" });
  expect(result!.heardMs).toBeLessThan(500);
  expect(sent).toEqual([{ type: "input_audio_buffer.speech_started" }]);
});

test("a response whose agent only says that it is complete is heard to its last sample, and stops", async () => {
  const { stage, sent, speeches, audio, began, done } = openDoor();
  began("a");
  audio("a", 305);
  done("a");
  await stage.runTo(2000);
  expect(sent.map(({ type }) => type)).toEqual(["output_audio_buffer.started", "output_audio_buffer.stopped"]);
  expect(await speeches[0]!.done).toMatchObject({ outcome: "finished", heardMs: 305 });
});

test("an agent that leaves 8 MiB of its answers unread is closed, and gets no more", async () => {
  const { stage, socket, sent, speeches, receive, audio, began } = openDoor();
  began("r");
  audio("r", 1000);
  socket.bufferedAmount = 8 * 1024 * 1024;
  receive({ type: "output_audio_buffer.clear" });
  expect([sent.length, socket.terminate.mock.calls.length]).toEqual([1, 0]);
  socket.bufferedAmount++;
  began("r2");
  receive({ type: "output_audio_buffer.clear" });
  expect([sent.length, socket.terminate.mock.calls.length]).toEqual([1, 1]);
  began("r3");
  audio("r3", 1000);
  await stage.runTo(1000);
  expect(speeches).toHaveLength(1);
});

type DoorStep =
  | { readonly do: "begin" | "end" | "done" | "clear" | "aside" }
  | { readonly do: "audio" | "wait"; readonly ms: number };

const doorSteps: fc.Arbitrary<DoorStep[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("begin" as const, "end" as const, "done" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("clear" as const, "aside" as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("audio" as const, "wait" as const), ms: fc.nat(500) }) },
  ),
  { minLength: 4, maxLength: 30 },
);

test("under every order of an agent's events each response starts and stops once, in order, and is silent once cleared", async () => {
  await fc.assert(
    fc.asyncProperty(doorSteps, async (steps) => {
      const { stage, sent, receive, audio, began, end, done } = openDoor();
      const aside = () => {
        began("aside");
        done("aside");
      };
      const acts = { begin: began, end, done, aside, clear: () => receive({ type: "output_audio_buffer.clear" }) };
      let current = -1;
      const [said, over, cut] = [new Set<number>(), new Set<number>(), new Set<number>()];
      for (const step of [{ do: "begin" } as const, ...steps, { do: "done" } as const]) {
        if (step.do === "wait") await stage.runTo(stage.now + step.ms);
        else if (step.do === "audio") {
          // More audio of a response that is over would begin another one.
          if (step.ms < 20 || over.has(current)) continue;
          audio(`${current}`, step.ms);
          said.add(current);
        } else {
          if (step.do === "begin") current++;
          else if (step.do === "clear") for (let id = 0; id <= current; id++) cut.add(id);
          else if (step.do !== "aside") over.add(current);
          acts[step.do](`${current}`);
        }
      }
      for (let id = 0; id < current; id++) done(`${id}`);
      await stage.runTo(stage.now + 20_000);
      const [started, stopped, cleared] = ["started", "stopped", "cleared"].map(
        (name) => `output_audio_buffer.${name}`,
      );
      const whole = [[started, stopped]];
      const cutShort = [[], [started, stopped], [started, cleared], [cleared]];
      for (let id = 0; id <= current; id++) {
        const events = sent.filter(({ response_id: name }) => name === `${id}`).map(({ type }) => type);
        expect(said.has(id) && !cut.has(id) ? whole : cutShort).toContainEqual(events);
      }
      // One at a time, in the order in which they were said.
      const sounds = sent.filter(({ type }) => type !== "conversation.item.truncate");
      const strangers = sounds.filter(
        ({ type, response_id: id }, index) =>
          type === stopped && (sounds[index - 1]?.type !== started || sounds[index - 1]?.response_id !== id),
      );
      expect(strangers).toEqual([]);
    }),
    { numRuns: 60, seed: 14 },
  );
});

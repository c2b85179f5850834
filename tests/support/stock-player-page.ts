import type MoqWatch from "@moq/watch/element";
import "@moq/watch/element";

/** Functions of the page for a test. */
export interface StockPlayer {
  readonly element: MoqWatch;
  /** Resets the player at each fresh track from now on, as its documentation asks. */
  resetAtUtterances(): void;
  /** Hands over what went to the speakers since the last call, mono, as plain numbers. */
  take(): number[];
}

const query = new URLSearchParams(location.search);
// The player falls back to its WebSocket where the browser has no WebTransport.
if (query.get("carrier") === "websocket") Reflect.deleteProperty(globalThis, "WebTransport");

const element = document.createElement("moq-watch") as MoqWatch;
element.connection.websocket = { enabled: query.get("carrier") === "websocket" };
element.setAttribute("url", `${location.origin}/`);
element.setAttribute("name", query.get("name") ?? "");
element.setAttribute("volume", "1");
const latency = query.get("latency-max");
if (latency !== null) element.setAttribute("latency-max", latency);

let recorded: Float32Array[] = [];
element.signals.run((effect) => {
  const root = effect.get(element.audio.out.root);
  if (root === undefined) return;
  const recorder = (root.context as AudioContext).createScriptProcessor(1024, 1, 1);
  recorder.onaudioprocess = ({ inputBuffer }) => recorded.push(inputBuffer.getChannelData(0).slice());
  root.connect(recorder);
  recorder.connect(root.context.destination);
  effect.cleanup(() => recorder.disconnect());
});
document.body.append(element);

const player: StockPlayer = {
  element,
  resetAtUtterances() {
    const { track } = element.audio.source.out;
    let last = track.peek();
    element.signals.run((effect) => {
      const now = effect.get(track);
      if (now !== last) element.reset();
      last = now;
    });
  },
  take() {
    const blocks = recorded;
    recorded = [];
    return blocks.flatMap((block) => Array.from(block));
  },
};
Object.assign(globalThis, { player });

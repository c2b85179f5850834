import { parentPort, workerData } from "node:worker_threads";
import type { HopDenoiser, HopDenoiserOptions } from "./hop/hop-denoiser.js";
import { HopGate } from "./hop/hop-gate.js";
import { Flag, type HopMemory, hopMemory } from "./hop/hop-memory.js";
import { openHopDenoiser } from "./hop/open-hop-denoiser.js";
import { type Model, openModel } from "./model.js";
import type { ModelContract } from "./model-contract.js";
import type { NoiseProfile } from "./noise-profile.js";

/** Data that starts a worker. */
export interface WorkerSetup {
  readonly contract: ModelContract;
  /** The ONNX file. */
  readonly bytes: SharedArrayBuffer;
  /** Buffer of a {@link HopGate}. */
  readonly gate: SharedArrayBuffer;
}

/** Messages to the worker: the number of a stream whose next hop is in its memory, a change, or the request to end. */
export type ToWorker =
  | number
  | "end"
  | { readonly stream: number; readonly open: SharedArrayBuffer; readonly options: HopDenoiserOptions }
  | { readonly stream: number; readonly profile: NoiseProfile | undefined }
  | { readonly stream: number; readonly close: true };

/** Messages from the worker: that it is ready, the number of a stream whose hop is done, or that the hop failed. */
export type FromWorker = "ready" | number | { readonly stream: number; readonly failed: string };

interface Stream {
  readonly memory: HopMemory;
  readonly engine: HopDenoiser;
}

const port = parentPort!;
const { contract, bytes, ...setup } = workerData as WorkerSetup;
const gate = new HopGate(setup.gate);
const model = await load();
/** Promises, so that a hop that follows at once waits until its stream is open. */
const streams = new Map<number, Promise<Stream>>();
const post = (message: FromWorker) => port.postMessage(message);

port.on("message", (message: ToWorker) => {
  if (message === "end") endWhenIdle();
  else if (typeof message === "number") void hop(message);
  else if ("open" in message) streams.set(message.stream, open(message.open, message.options));
  else if ("close" in message) streams.delete(message.stream);
  else void streams.get(message.stream)?.then(({ engine }) => engine.setNoiseProfile(message.profile));
});
post("ready");

async function open(buffer: SharedArrayBuffer, options: HopDenoiserOptions): Promise<Stream> {
  return { memory: hopMemory(contract, buffer), engine: await openHopDenoiser(model, options) };
}

async function load(): Promise<Model> {
  if (!gate.enter()) process.exit();
  try {
    return await openModel(Uint8Array.from(new Uint8Array(bytes)), contract, contract.name);
  } finally {
    gate.leave();
  }
}

/** Ends the thread from inside, outside any call of the runtime. */
function endWhenIdle(): void {
  if (gate.stopped && gate.idle) process.exit();
}

async function hop(number: number): Promise<void> {
  if (!gate.enter()) return;
  try {
    const { memory, engine } = (await streams.get(number))!;
    const { flags, voiceActivity, input, wet, state } = memory;
    if (flags[Flag.restore] === 1) engine.restore(state);
    voiceActivity[0] = await engine.process(input, wet, flags[Flag.infer] === 1);
    engine.checkpoint(state);
    post(number);
  } catch (error) {
    post({ stream: number, failed: (error as Error).message });
  } finally {
    gate.leave();
    endWhenIdle();
  }
}

/** Notes that the page's script keeps for the bench. */
export interface Heard {
  /** When the page was clicked and when its first audible sample reached the speaker, in the page's milliseconds. */
  readonly clickedAt: number;
  readonly soundAt: number | undefined;
  /** Events between the two, in milliseconds after the click; before it, below zero. */
  readonly steps: readonly (readonly [string, number])[];
}

/**
 * A script for before the page's own: it listens at the destination of every audio context, whatever plays there, and
 * notes the browser's own steps on the way to the first sample.
 */
export const EAR = `{
  const WINDOW = 2048;
  const AUDIBLE = 1e-4;
  let clickedAt;
  let soundAt;
  const steps = [];
  const note = (name) => steps.push([name, performance.now()]);
  globalThis.ear = () => ({ clickedAt, soundAt, steps: steps.map(([name, at]) => [name, at - clickedAt]) });
  addEventListener("click", ({ timeStamp }) => { clickedAt ??= timeStamp; }, { capture: true });

  const { connect } = AudioNode.prototype;
  const samples = new Float32Array(WINDOW);
  const listen = (node) => {
    const { context } = node;
    const analyser = new AnalyserNode(context, { fftSize: WINDOW });
    connect.call(node, analyser);
    const look = () => {
      analyser.getFloatTimeDomainData(samples);
      const first = samples.findIndex((sample) => Math.abs(sample) > AUDIBLE);
      if (first < 0) return setTimeout(look, 8);
      const { contextTime, performanceTime } = context.getOutputTimestamp();
      const at = context.currentTime - (WINDOW - first) / context.sampleRate;
      soundAt ??= performanceTime + (at - contextTime) * 1000;
      steps.push(["output latency " + Math.round(context.outputLatency * 1000) + " ms", soundAt]);
      analyser.disconnect();
    };
    look();
  };
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode && soundAt === undefined) listen(this);
    return connect.call(this, to, ...rest);
  };

  const replace = (name, make) => { globalThis[name] = make(globalThis[name]); };
  replace("AudioContext", (Native) => class extends Native {
    constructor(...args) {
      note("context");
      super(...args);
      note("context made");
      this.addEventListener("statechange", () => note("context " + this.state));
    }
  });
  const { addModule } = AudioWorklet.prototype;
  AudioWorklet.prototype.addModule = async function (...args) {
    await addModule.apply(this, args);
    note("worklet loaded");
  };
  replace("WebTransport", (Native) => class extends Native {
    constructor(...args) {
      note("connect");
      super(...args);
      this.ready.then(() => note("connected"), () => note("refused"));
    }
    createBidirectionalStream(...args) {
      note("stream");
      return super.createBidirectionalStream(...args);
    }
  });
  replace("AudioDecoder", (Native) => class extends Native {
    #packets = 0;
    constructor({ output, error }) {
      let outputs = 0;
      note("decoder");
      super({ error, output: (data) => { if (outputs++ === 0) note("first samples"); output(data); } });
    }
    decode(chunk) {
      if (this.#packets++ === 0) note("first packet");
      super.decode(chunk);
    }
  });
  const { fetch } = globalThis;
  globalThis.fetch = async (...args) => {
    const answer = await fetch(...args);
    note("fetched " + new URL(args[0].url ?? args[0], location.href).pathname);
    return answer;
  };
}`;

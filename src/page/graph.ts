/** One moment of the graph. */
export interface GraphSample {
  /** Level of the audio in dBFS; -Infinity for silence. */
  readonly levelDb: number;
  /** Milliseconds ready to play. */
  readonly bufferMs: number;
  /** True where something was taken back. */
  readonly cut: boolean;
}

/** Samples on screen: twelve seconds at twenty a second. */
const SAMPLES = 240;
/** Quietest level that still shows, in dBFS. */
const FLOOR_DB = -60;

/** Draws the last twelve seconds: level as bars about the middle, buffer as a line, take-backs as marks. */
export class Graph {
  readonly #canvas: HTMLCanvasElement;
  readonly #samples: GraphSample[] = [];

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Adds the newest moment and draws. */
  push(sample: GraphSample): void {
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    this.draw();
  }

  /** Draws everything anew at the canvas's present size and colours. */
  draw(): void {
    const canvas = this.#canvas;
    const { clientWidth: width, clientHeight: height } = canvas;
    const context = canvas.getContext("2d");
    if (!context || width === 0) return;
    const scale = devicePixelRatio;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    context.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const colour = (name: string): string => {
      // A custom property is not resolved until it is used, so light-dark() goes through a real colour.
      canvas.style.color = `var(${name})`;
      return style.color;
    };

    const step = width / SAMPLES;
    const x = (index: number): number => (SAMPLES - this.#samples.length + index) * step;
    const middle = height * 0.5;

    context.fillStyle = colour("--line");
    context.fillRect(0, middle - 0.5, width, 1);

    context.fillStyle = colour("--sea");
    this.#samples.forEach(({ levelDb }, index) => {
      const part = Math.max(0, 1 - Math.max(levelDb, FLOOR_DB) / FLOOR_DB);
      const half = part * part * (height * 0.46);
      if (half > 0.5) context.fillRect(x(index), middle - half, Math.max(step - 1, 1), half * 2);
    });

    const highest = Math.max(200, ...this.#samples.map(({ bufferMs }) => bufferMs)) * 1.1;
    context.strokeStyle = colour("--amber");
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    this.#samples.forEach(({ bufferMs }, index) => {
      context.lineTo(x(index) + step / 2, height - 2 - (bufferMs / highest) * (height - 4));
    });
    context.stroke();

    context.fillStyle = colour("--red");
    this.#samples.forEach(({ cut }, index) => {
      if (!cut) return;
      context.fillRect(x(index), 0, 2, height);
      context.beginPath();
      context.arc(x(index) + 1, 5, 5, 0, Math.PI * 2);
      context.fill();
    });
  }
}

/** Draws the picture that is due on a canvas, once per frame of the display; each picture stays until the next. */
export class Screen {
  readonly #canvas: HTMLCanvasElement;
  readonly #present: () => VideoFrame | undefined;
  #shown: VideoFrame | undefined;
  #request = 0;

  /** `present` returns the picture to show now, which still belongs to its owner. */
  constructor(canvas: HTMLCanvasElement, present: () => VideoFrame | undefined) {
    this.#canvas = canvas;
    this.#present = present;
  }

  /** Draws from now on; idempotent. */
  open(): void {
    if (this.#request === 0) this.#request = requestAnimationFrame(this.#draw);
  }

  /** Stops drawing and leaves the last picture; idempotent. */
  close(): void {
    cancelAnimationFrame(this.#request);
    this.#request = 0;
  }

  readonly #draw = (): void => {
    if (this.#request === 0) return;
    this.#request = requestAnimationFrame(this.#draw);
    const picture = this.#present();
    if (!picture || picture === this.#shown) return;
    this.#shown = picture;
    const { displayWidth: width, displayHeight: height } = picture;
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
    this.#canvas.getContext("2d")?.drawImage(picture, 0, 0, width, height);
  };
}

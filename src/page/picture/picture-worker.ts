import type { PictureMessage } from "./messages.js";
import { Picture } from "./picture.js";
import { type Moment, Timeline } from "./timeline.js";

/** Draws one picture in a thread of its own, so that sixty frames a second cost the page's thread nothing. */
class PictureWorker {
  readonly #timeline = new Timeline();
  #picture: Picture | undefined;
  #moment: Moment | undefined;
  /** The page's clock minus this thread's, in milliseconds. */
  #offset = 0;

  receive(message: PictureMessage): void {
    switch (message.type) {
      case "canvas":
        this.#offset = performance.timeOrigin - message.timeOrigin;
        this.#picture = new Picture(message.canvas, this.#timeline);
        requestAnimationFrame(this.#frame);
        break;
      case "look":
        this.#picture?.become(message.look);
        break;
      case "recording":
        this.#timeline.setRecording(message.recording);
        this.#picture?.refresh();
        break;
      case "pieces":
        this.#timeline.setPieces(message.pieces);
        break;
      case "moment":
        this.#moment = message.moment;
        this.#timeline.advance(message.moment);
        break;
      case "takeBack":
        this.#timeline.takeBack(message.fromUs, message.now);
        break;
      case "drop":
        this.#picture?.drop(message.takenBack);
        break;
    }
  }

  readonly #frame = (): void => {
    const now = performance.now() + this.#offset;
    if (this.#moment) this.#timeline.advance(between(this.#moment, now));
    this.#picture?.draw(now);
    requestAnimationFrame(this.#frame);
  };
}

/** The moment between two of the page's: the playhead moves on, and the level is known with the next. */
function between(last: Moment, now: number): Moment {
  const { playing, playheadUs } = last;
  const movedUs = playing ? Math.max(0, now - last.now) * 1e3 : 0;
  return { ...last, now: Math.max(now, last.now), level: 0, playheadUs: playheadUs && playheadUs + movedUs };
}

const worker = new PictureWorker();
addEventListener("message", ({ data }: MessageEvent<PictureMessage>) => worker.receive(data));

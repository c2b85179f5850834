/** Wakes a loop that waits for work. A ring before the wait counts once. */
export class Wake {
  #isRung = false;
  #resume: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#resume?.();
  }

  /** Resolves when rung, or after `ms`. */
  async wait(ms: number): Promise<void> {
    if (!this.#isRung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#resume = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#resume = undefined;
    }
    this.#isRung = false;
  }
}

/** Wakes a loop that waits for work. Ringing before the loop waits is remembered once. */
export class Wake {
  #isRung = false;
  #resume: (() => void) | undefined;

  /** There is work. */
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

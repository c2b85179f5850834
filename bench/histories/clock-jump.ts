/** Stands in for an operator, a virtual machine or a time service that sets the system clock of this process. */
export class ClockJump {
  #offsetMs = 0;

  constructor() {
    const RealDate = Date;
    const offset = () => this.#offsetMs;
    globalThis.Date = class extends RealDate {
      constructor(...parameters: [] | [number | string | Date]) {
        if (parameters.length === 0) super(RealDate.now() + offset());
        else super(...(parameters as [number]));
      }

      static override now(): number {
        return RealDate.now() + offset();
      }
    } as DateConstructor;
  }

  /** Sets the clock forwards, or back with a negative number. */
  by(milliseconds: number): void {
    this.#offsetMs += milliseconds;
  }
}

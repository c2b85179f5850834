/** Output of a {@link StatusLine}; `process.stderr` is one. */
export interface Screen {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const CLEAR = "\r\u001b[K";
/** Default width without a terminal, for log viewers and mail. */
const DEFAULT_COLUMNS = 80;

/**
 * One line at the bottom of a terminal that is replaced in place, with other text to the same terminal above it.
 * Without a terminal, each line is written as it is.
 */
export class StatusLine {
  readonly #screen: Screen;
  readonly #interactive: boolean;
  #shown = "";
  /** Whether other text ended without a line break, so that the status line must wait. */
  #midLine = false;

  constructor(screen: Screen, environment: Readonly<Record<string, string | undefined>> = {}) {
    this.#screen = screen;
    // A dumb terminal supports no control sequences.
    this.#interactive = screen.isTTY === true && environment.TERM !== "dumb";
  }

  /** Whether {@link show} replaces the line in place. */
  get interactive(): boolean {
    return this.#interactive;
  }

  /** Columns that a line may fill: a terminal's own less one, because many wrap at the last. */
  get columns(): number {
    return this.#interactive ? Math.max(1, (this.#screen.columns || DEFAULT_COLUMNS) - 1) : DEFAULT_COLUMNS;
  }

  /** Replaces the line; cuts it at {@link columns}. */
  show(text: string): void {
    const line = [...text].slice(0, this.columns).join("");
    if (!this.#interactive) this.#screen.write(`${line}\n`);
    else if (!this.#midLine) {
      this.#shown = line;
      this.#screen.write(`${CLEAR}${line}`);
    }
  }

  /** Writes other text above the line. */
  write(text: string): void {
    if (text === "") return;
    const goesOn = this.#midLine;
    this.#midLine = !text.endsWith("\n");
    const line = this.#shown;
    if (line === "") return void this.#screen.write(text);
    this.#screen.write(`${goesOn ? "" : CLEAR}${text}${this.#midLine ? "" : line}`);
  }

  /** Makes room for text that another stream writes to the same terminal; the line comes back with the next `show`. */
  yield(): void {
    if (this.#shown !== "") this.#screen.write(CLEAR);
    this.#shown = "";
  }

  /** Leaves the line as it stands and goes to a fresh one. */
  end(): void {
    if (this.#shown !== "") this.#screen.write("\n");
    this.#shown = "";
  }
}

/**
 * Calls `act` with what it is given, at most once in `interval` ms: at once when it was idle, else with the newest when
 * the time has come.
 */
export class Pacer<T> {
  readonly #act: (value: T) => void;
  readonly #interval: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #next: { value: T } | undefined;

  constructor(act: (value: T) => void, interval: number) {
    this.#act = act;
    this.#interval = interval;
  }

  put(value: T): void {
    this.#next = { value };
    if (this.#timer === undefined) this.#turn();
  }

  /** Drop what is waiting. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#next = undefined;
  }

  #turn(): void {
    this.#timer = undefined;
    const next = this.#next;
    if (!next) return;
    this.#next = undefined;
    this.#timer = setTimeout(() => this.#turn(), this.#interval);
    this.#act(next.value);
  }
}

import { CLOSE_CODES } from "./protocol.ts";

const FIRST_MS = 200;
const LATER_MS = 2_000;
const MOST_MS = 10_000;

/** Full jitter: each wait is a random part of a span, which doubles from failure to failure. */
export class Backoff {
  private failures = 0;
  private readonly random: () => number;

  constructor(random: () => number = Math.random) {
    this.random = random;
  }

  /** All is well: the next failure is the first again. */
  succeeded(): void {
    this.failures = 0;
  }

  /**
   * Ms to wait after a connection was closed, or undefined: don't come back. The first attempt is made at once where
   * the code says so. A code that no table has (1006: the line broke) wants what a restart wants.
   */
  after(code: number): number | undefined {
    const wanted = CLOSE_CODES[code]?.comeBack ?? "now";
    if (wanted === "never") return undefined;
    return wanted === "later" ? this.wait(LATER_MS, 0) : this.wait(FIRST_MS, 1);
  }

  /** Ms to wait before something is tried again that is not there now. */
  again(): number {
    return this.wait(FIRST_MS, 0);
  }

  private wait(first: number, free: number): number {
    const doublings = this.failures++ - free;
    return doublings < 0 ? 0 : Math.min(MOST_MS, first * 2 ** doublings) * this.random();
  }
}

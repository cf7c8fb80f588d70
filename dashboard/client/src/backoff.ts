import { CLOSE_CODES } from "./protocol.ts";

const FIRST_MS = 200;
const LATER_MS = 2_000;
const MOST_MS = 10_000;

/** When to come back after a connection was closed: in so many ms, with a new token, or never. */
export type Return = { when: "in"; ms: number } | { when: "renewed"; ms: number } | { when: "never" };

/** Full jitter: attempts are spread over a span that doubles until a connection is good again. */
export class Backoff {
  private failures = 0;
  private readonly random: () => number;

  constructor(random: () => number = Math.random) {
    this.random = random;
  }

  /** A connection is good: the next loss begins anew. */
  succeeded(): void {
    this.failures = 0;
  }

  /** What a close code wants. A code of no table (1006: the line broke) wants what a restart wants. */
  after(code: number): Return {
    const wanted = CLOSE_CODES[code]?.comeBack ?? "now";
    if (wanted === "never") return { when: "never" };
    const ms = this.span(wanted) * this.random();
    this.failures += 1;
    return wanted === "renewed" ? { when: "renewed", ms } : { when: "in", ms };
  }

  private span(wanted: "now" | "later" | "renewed"): number {
    if (wanted === "later") return Math.min(MOST_MS, LATER_MS * 2 ** this.failures);
    return this.failures === 0 ? 0 : Math.min(MOST_MS, FIRST_MS * 2 ** (this.failures - 1));
  }
}

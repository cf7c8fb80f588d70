/** How fast a counter that only grows is growing, over the last `span` ms. */
export class Rate {
  readonly #span: number;
  #seen: { at: number; count: number }[] = [];

  constructor(span: number) {
    this.#span = span;
  }

  /** The counter stands at `count` at the time `at`, ms. */
  see(count: number, at: number): void {
    if (count < (this.#seen.at(-1)?.count ?? 0)) this.#seen = []; // another counter: it began anew
    this.#seen.push({ at, count });
    while (this.#seen.length > 2 && (this.#seen[1]?.at ?? at) <= at - this.#span) this.#seen.shift();
  }

  /** A second; 0 until it was seen twice. */
  get perSecond(): number {
    const first = this.#seen[0];
    const last = this.#seen.at(-1);
    if (!first || !last || last.at <= first.at) return 0;
    return ((last.count - first.count) * 1_000) / (last.at - first.at);
  }
}

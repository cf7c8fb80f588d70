/**
 * Calls `draw` in the next frame after it was asked to, once however often it was asked, and only while the element can
 * be seen: what was asked for meanwhile is drawn when it is seen again.
 */
export class Frames {
  readonly #draw: () => void;
  readonly #seen: IntersectionObserver;
  #visible = false;
  #wanted = false;
  #frame: number | undefined;

  constructor(element: Element, draw: () => void) {
    this.#draw = draw;
    this.#seen = new IntersectionObserver(entries => {
      this.#visible = entries.at(-1)?.isIntersecting ?? false;
      this.#schedule();
    });
    this.#seen.observe(element);
  }

  ask(): void {
    this.#wanted = true;
    this.#schedule();
  }

  stop(): void {
    this.#seen.disconnect();
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
  }

  #schedule(): void {
    if (!this.#visible || !this.#wanted || this.#frame !== undefined) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#wanted = false;
      this.#draw();
    });
  }
}

/** Changes, told once a frame and a few times a second at most, however many there are. */

import { type ReadonlySignal, signal } from "@preact/signals";

const BEAT_MS = 250;

export class Pulse {
  readonly frame: ReadonlySignal<number>;
  readonly beat: ReadonlySignal<number>;
  readonly #frame = signal(0);
  readonly #beat = signal(0);
  #frameAsked = false;
  #beatAsked = false;

  constructor() {
    this.frame = this.#frame;
    this.beat = this.#beat;
  }

  /** Something changed. */
  changed(): void {
    if (!this.#frameAsked) {
      this.#frameAsked = true;
      requestAnimationFrame(() => {
        this.#frameAsked = false;
        this.#frame.value++;
      });
    }
    if (!this.#beatAsked) {
      this.#beatAsked = true;
      setTimeout(() => {
        this.#beatAsked = false;
        this.#beat.value++;
      }, BEAT_MS);
    }
  }
}

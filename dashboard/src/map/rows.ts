/** The columns of a `Motion` as rows of 32-bit floats, as the graphics card takes them. */

import type { Motion } from "../fleet/motion.ts";

/** fromX, fromY, toX, toY, start, duration (s), fromHeading, toHeading (degrees), tint, weight. */
export const ROW = 10;
/** No number, in a float that every card compares as it should. */
export const NONE = -1e30;

const FAR_PX = 8_192;
const LONG_MS = 3_600_000;

/**
 * 32-bit floats are too coarse for a street in the world or a ms in a day: rows are relative to an origin near the
 * camera, and to a moment not long ago. When either is too far away all of them are written anew.
 */
export class Rows {
  data = new Float32Array(64 * ROW);
  /** In mercator, 0 to 1; and ms of `performance.now()`. */
  origin: [x: number, y: number] = [Number.NaN, Number.NaN];
  epoch = 0;
  readonly #motion: Motion;

  constructor(motion: Motion) {
    this.#motion = motion;
  }

  /** Write what has changed, or all; says which rows, half open. `scale`: px of the world's width. */
  write(camera: [x: number, y: number], scale: number, now: number): [from: number, to: number] | undefined {
    const changed = this.#motion.changed();
    const [x, y] = this.origin;
    const near = Math.max(Math.abs(camera[0] - x), Math.abs(camera[1] - y)) * scale < FAR_PX;
    const room = this.#motion.count * ROW <= this.data.length;
    if (near && room && now - this.epoch < LONG_MS) {
      if (changed) this.#rows(...changed);
      return changed;
    }
    if (!room) this.data = new Float32Array(this.#motion.weight.length * ROW);
    this.origin = camera;
    this.epoch = now;
    this.#rows(0, this.#motion.count);
    return [0, this.#motion.count];
  }

  #rows(from: number, to: number): void {
    const motion = this.#motion;
    const [originX, originY] = this.origin;
    const { data, epoch } = this;
    for (let slot = from; slot < to; slot++) {
      const x = motion.fromX[slot] as number;
      const world = Math.round(x - originX); // the copy of the world that is nearest
      let at = slot * ROW;
      data[at++] = x - originX - world;
      data[at++] = (motion.fromY[slot] as number) - originY;
      data[at++] = (motion.toX[slot] as number) - originX - world;
      data[at++] = (motion.toY[slot] as number) - originY;
      data[at++] = ((motion.start[slot] as number) - epoch) / 1_000;
      data[at++] = (motion.duration[slot] as number) / 1_000;
      data[at++] = known(motion.fromHeading[slot]);
      data[at++] = known(motion.toHeading[slot]);
      data[at++] = known(motion.tint[slot]);
      data[at++] = motion.weight[slot] as number;
    }
  }
}

function known(value: number | undefined): number {
  return value === undefined || Number.isNaN(value) ? NONE : value;
}

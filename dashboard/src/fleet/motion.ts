/**
 * Where the vehicles are and where they are going, in columns that the map's layer uploads as they are.
 *
 * Positions are web mercator, 0 to 1 from the north-west; times are ms of `performance.now()`; headings degrees from north.
 */

const JUMP = 5e-5; // of the world, 2 km at the equator: nobody drives that far between two readings
const LONGEST_MS = 4_000;
const FORGOTTEN_MS = 15_000;

/** How strongly a vehicle is drawn. */
export const HIDDEN = 0;
export const FAINT = 0.28;
export const FULL = 1;

const COLUMNS = ["fromX", "fromY", "toX", "toY", "start", "duration", "fromHeading", "toHeading"] as const;

export class Motion {
  /** Slots in use are below this. */
  count = 0;
  /** From here on nothing moves. */
  stillAt = 0;
  fromX = new Float64Array(64);
  fromY = new Float64Array(64);
  toX = new Float64Array(64);
  toY = new Float64Array(64);
  start = new Float64Array(64);
  duration = new Float64Array(64);
  fromHeading = new Float64Array(64);
  toHeading = new Float64Array(64);
  /** What the colour says: a value of the scale, NaN for none. */
  tint = new Float64Array(64);
  weight = new Float64Array(64);
  #pace = new Float64Array(64); // ms between readings, smoothed
  #changedFrom = Number.POSITIVE_INFINITY;
  #changedTo = 0;

  /** A slot for one vehicle, hidden as yet. */
  take(): number {
    const slot = this.count++;
    if (slot >= this.weight.length) this.#grow();
    this.weight[slot] = HIDDEN;
    this.tint[slot] = Number.NaN;
    this.start[slot] = Number.NEGATIVE_INFINITY;
    this.#touch(slot);
    return slot;
  }

  /** Go from where it is to another place, in about the time between two readings. `heading`: NaN when unknown. */
  move(slot: number, x: number, y: number, heading: number, now: number): void {
    const since = now - (this.start[slot] as number);
    const [atX, atY] = this.at(slot, now);
    const jumps = since > FORGOTTEN_MS || Math.abs(x - atX) + Math.abs(y - atY) > JUMP;
    const pace = jumps || !this.#pace[slot] ? since : (this.#pace[slot] as number) * 0.7 + since * 0.3;
    this.#pace[slot] = jumps ? 0 : pace;
    const duration = jumps ? 0 : Math.min(pace * 1.1, LONGEST_MS);
    const headed = this.headingAt(slot, now);
    this.fromHeading[slot] = jumps || Number.isNaN(headed) ? heading : headed;
    this.fromX[slot] = jumps ? x : atX;
    this.fromY[slot] = jumps ? y : atY;
    this.toX[slot] = x;
    this.toY[slot] = y;
    this.toHeading[slot] = heading;
    this.start[slot] = now;
    this.duration[slot] = duration;
    if (x !== atX || y !== atY) this.stillAt = Math.max(this.stillAt, now + duration);
    this.#touch(slot);
  }

  /** What is drawn of it. */
  paint(slot: number, tint: number, weight: number): void {
    if (Object.is(this.tint[slot], tint) && this.weight[slot] === weight) return;
    this.tint[slot] = tint;
    this.weight[slot] = weight;
    this.#touch(slot);
  }

  /** Where it is drawn. */
  at(slot: number, now: number): [x: number, y: number] {
    const t = this.#progress(slot, now);
    const fromX = this.fromX[slot] as number;
    const fromY = this.fromY[slot] as number;
    return [fromX + ((this.toX[slot] as number) - fromX) * t, fromY + ((this.toY[slot] as number) - fromY) * t];
  }

  headingAt(slot: number, now: number): number {
    const from = this.fromHeading[slot] as number;
    const turn = ((((this.toHeading[slot] as number) - from) % 360) + 540) % 360; // the shorter way, + 180
    return from + (turn - 180) * this.#progress(slot, now);
  }

  /** The slots that changed since this was asked last, as a half-open range; undefined when none did. */
  changed(): [from: number, to: number] | undefined {
    if (this.#changedTo === 0) return undefined;
    const range: [number, number] = [this.#changedFrom, this.#changedTo];
    this.#changedFrom = Number.POSITIVE_INFINITY;
    this.#changedTo = 0;
    return range;
  }

  #progress(slot: number, now: number): number {
    const duration = this.duration[slot] as number;
    return duration > 0 ? Math.min(1, (now - (this.start[slot] as number)) / duration) : 1;
  }

  #touch(slot: number): void {
    this.#changedFrom = Math.min(this.#changedFrom, slot);
    this.#changedTo = Math.max(this.#changedTo, slot + 1);
  }

  #grow(): void {
    const longer = (column: Float64Array) => {
      const next = new Float64Array(column.length * 2);
      next.set(column);
      return next;
    };
    for (const column of COLUMNS) this[column] = longer(this[column]);
    this.tint = longer(this.tint);
    this.weight = longer(this.weight);
    this.#pace = longer(this.#pace);
  }
}

/** Web mercator of a place in degrees. */
export function mercator(longitude: number, latitude: number): [x: number, y: number] {
  const bounded = Math.max(-85.051129, Math.min(85.051129, latitude));
  const y = 0.5 - Math.log(Math.tan(Math.PI / 4 + (bounded * Math.PI) / 360)) / (2 * Math.PI);
  return [longitude / 360 + 0.5, y];
}

import { compareIds, type Id, idOf } from "./ids.ts";

export type Value = number | string | boolean | null;

/** What one reading says. `ts`: the device's clock, epoch ms. */
export interface Reading {
  readonly id: string;
  readonly ts: number;
  readonly values: Readonly<Record<string, Value>>;
}

/** The newest value of a signal. `ts` is not there when it is only known from a state, merged of several readings. */
export interface Latest {
  readonly value: Value;
  readonly ts?: number;
  readonly id?: Id;
}

/** One signal over time: `x` in epoch ms, growing; where `y` is null the line is broken. */
export interface Columns {
  readonly x: number[];
  readonly y: (number | null)[];
}

/** A stretch of time, epoch ms, whose readings are missing for good: the log was too short for them, or they got lost. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  readonly why: "trimmed" | "lost";
}

interface Entry {
  readonly id: Id;
  readonly ts: number;
  readonly values: Readonly<Record<string, Value>>;
}

const LONGEST_STEP_MS = 10_000; // a line goes over pauses up to this, or up to five times the usual step
const USUAL_STEPS = 5;

/**
 * The readings of one topic over the last `span` ms, in whatever order and however often they come: a page of history
 * and live readings that overlap it make one trail.
 */
export class Trail {
  readonly span: number;
  /** Grows with every change: who draws it knows by this whether there is something new. */
  version = 0;
  /** Newest value by signal, whenever it came. */
  readonly latest = new Map<string, Latest>();
  #entries: Entry[] = []; // by id
  #losses: { after: Id; from: number }[] = [];
  #trimmed = false;
  #columns = new Map<string, { version: number; columns: Columns }>();

  constructor(span: number) {
    this.span = span;
  }

  /** How many readings it holds. */
  get size(): number {
    return this.#entries.length;
  }

  /** Put readings where they belong. Those that it has, or that are older than the span, are passed over. */
  add(readings: Iterable<Reading>, now: number): void {
    for (const { id, ts, values } of readings) {
      const entry = { id: idOf(id), ts, values };
      this.#learn(entry);
      if (ts >= now - this.span) this.#insert(entry);
    }
    this.version++;
  }

  /** The merged state: of signals that no reading of the trail has, the value that it shows. */
  state(values: Readonly<Record<string, Value>>): void {
    for (const [signal, value] of Object.entries(values)) {
      if (this.latest.get(signal)?.ts === undefined) this.latest.set(signal, { value });
    }
    this.version++;
  }

  /** Something that came after the newest reading here can no longer be had. */
  lose(now: number): void {
    const newest = this.#entries.at(-1);
    this.#losses.push({ after: newest?.id ?? [0, 0], from: newest?.ts ?? now - this.span });
    this.version++;
  }

  /** The log no longer has all of what came before the oldest reading here. */
  trim(): void {
    this.#trimmed = true;
    this.version++;
  }

  /** Let go of what is older than the span. */
  forget(now: number): void {
    const since = now - this.span;
    this.#losses = this.#losses.filter(loss => this.#until(loss.after, now) > since);
    const kept = this.#entries.filter(entry => entry.ts >= since);
    if (kept.length < this.#entries.length) this.version++;
    this.#entries = kept;
  }

  /** The signals that were numbers within the span, in the order of their names. */
  numeric(): string[] {
    return this.#signals(value => typeof value === "number");
  }

  /** The signals that were texts or true and false within the span, and no numbers, in the order of their names. */
  textual(): string[] {
    const numeric = new Set(this.numeric());
    return this.#signals(value => typeof value === "string" || typeof value === "boolean").filter(
      signal => !numeric.has(signal),
    );
  }

  /** What the values of a signal were, by time. */
  points(signal: string): { ts: number; value: Value }[] {
    const points = [];
    let sorted = true;
    for (const { ts, values } of this.#entries) {
      const value = values[signal];
      if (value === undefined) continue;
      sorted &&= ts >= (points.at(-1)?.ts ?? ts);
      points.push({ ts, value });
    }
    return sorted ? points : points.sort((a, b) => a.ts - b.ts);
  }

  /** A signal as columns, with a break wherever readings are missing. The same arrays until something changes. */
  columns(signal: string, now: number): Columns {
    const known = this.#columns.get(signal);
    if (known?.version === this.version) return known.columns;
    const columns = broken(this.points(signal), this.holes(now));
    this.#columns.set(signal, { version: this.version, columns });
    return columns;
  }

  /** The stretches of which readings are known to be missing. */
  holes(now: number): Hole[] {
    const holes = this.#losses.map(({ after, from }): Hole => ({ from, to: this.#until(after, now), why: "lost" }));
    const first = this.#entries[0];
    if (this.#trimmed && first) holes.unshift({ from: now - this.span, to: first.ts, why: "trimmed" });
    return holes.filter(hole => hole.to > hole.from);
  }

  #until(after: Id, now: number): number {
    return this.#entries.find(entry => compareIds(entry.id, after) > 0)?.ts ?? now;
  }

  #learn({ id, ts, values }: Entry): void {
    for (const [signal, value] of Object.entries(values)) {
      const known = this.latest.get(signal);
      const later = !known?.id || known.ts === undefined ? 1 : ts - known.ts || compareIds(id, known.id);
      if (later > 0) this.latest.set(signal, { value, ts, id });
    }
  }

  #insert(entry: Entry): void {
    let low = 0;
    let high = this.#entries.length;
    if (high && compareIds((this.#entries[high - 1] as Entry).id, entry.id) < 0) low = high; // nearly always
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareIds((this.#entries[middle] as Entry).id, entry.id) < 0) low = middle + 1;
      else high = middle;
    }
    const there = this.#entries[low];
    if (!there || compareIds(there.id, entry.id) !== 0) this.#entries.splice(low, 0, entry);
  }

  #signals(wanted: (value: Value) => boolean): string[] {
    const names = new Set<string>();
    for (const { values } of this.#entries) {
      for (const signal in values) if (!names.has(signal) && wanted(values[signal] as Value)) names.add(signal);
    }
    return [...names].sort();
  }
}

function broken(points: readonly { ts: number; value: Value }[], holes: readonly Hole[]): Columns {
  const x: number[] = [];
  const y: (number | null)[] = [];
  const longest = Math.max(LONGEST_STEP_MS, USUAL_STEPS * usualStep(points));
  let before: number | undefined;
  for (const { ts, value } of points) {
    if (before !== undefined && breaks(before, ts, longest, holes)) {
      x.push((before + ts) / 2);
      y.push(null);
    }
    x.push(ts);
    y.push(typeof value === "number" ? value : null);
    before = ts;
  }
  return { x, y };
}

function breaks(before: number, ts: number, longest: number, holes: readonly Hole[]): boolean {
  return ts - before > longest || holes.some(hole => hole.from < ts && hole.to > before);
}

function usualStep(points: readonly { ts: number }[]): number {
  const steps = points.slice(1).map((point, i) => point.ts - (points[i] as { ts: number }).ts);
  return steps.sort((a, b) => a - b)[steps.length >> 1] ?? 0;
}

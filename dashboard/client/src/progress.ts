import { applied, continues, isResumable } from "./ask.ts";
import { isNewer } from "./ids.ts";
import type * as protocol from "./protocol.ts";
import { type Counts, noCounts } from "./stats.ts";
import type { Ask, Change, DataEvent, Event, Item } from "./types.ts";

/** What one subscription asks for, how far it has come, and what the frames of a node mean to it. */
export class Progress {
  readonly counts = noCounts();
  private wanted: Ask;
  private reached: string | undefined;
  private readonly totals: Counts;
  private readonly newest = new Map<string, string>(); // id by topic
  private partial = false; // a snapshot says only what has changed
  private unfinished = false; // a snapshot of everything has begun
  private told = false; // the cursor is one that a node has given
  private lostFrom: string | undefined;

  /** `totals`: where everything is counted once more. */
  constructor({ since, ...wanted }: Ask, totals: Counts) {
    this.wanted = wanted;
    this.reached = since;
    this.totals = totals;
  }

  /** What it asks for now. */
  get ask(): Ask {
    return this.wanted;
  }

  /** Everything up to here has been told. */
  get cursor(): string | undefined {
    return this.reached;
  }

  /** Whether the next event belongs to the snapshot that has begun. */
  get midway(): boolean {
    return this.unfinished;
  }

  /** The ask that goes on from here, on a new connection. */
  begin(): Ask {
    if (this.unfinished && isResumable(this.wanted)) this.reached = undefined;
    this.unfinished = false;
    this.partial = this.reached !== undefined && isResumable(this.wanted) && this.wanted.from === undefined;
    return this.reached === undefined ? this.wanted : { ...this.wanted, since: this.reached };
  }

  /** Whether a node that does not know the cursor may be asked without: then what was missed is told as a gap. */
  forget(): boolean {
    if (!this.told) return false;
    this.lostFrom = this.reached;
    this.reached = undefined;
    this.told = false;
    this.newest.clear();
    return true;
  }

  /** A node shows other signals than before: states begin with a snapshot, readings go on. */
  shownOtherwise(): void {
    if (this.wanted.strategy !== "batch" && this.wanted.from === undefined) this.reached = undefined;
  }

  /** A node has answered to an `update`: what comes from now on is of this. */
  changed(change: Change): void {
    const before = this.change(change);
    this.partial = continues(this.wanted, before) && isResumable(this.wanted);
  }

  /** Ask for something else from the next connection on. */
  postpone(change: Change): void {
    const before = this.change(change);
    if (!continues(this.wanted, before)) this.reached = undefined;
  }

  /** Another subscription has come to what this one hears, and both are told what either has missed. */
  joined(by: Progress): void {
    this.partial = by.partial;
  }

  /** What a frame tells. */
  take(frame: protocol.Event): Event[] {
    switch (frame.action) {
      case "subscription":
        return [...this.missed(frame.cursor), this.data(frame)];
      case "gap":
        this.count("gaps", 1);
        return [{ kind: "gap", from: frame.from, to: frame.to }];
      case "replay": {
        const { action, subscriptionId, ts, ...where } = frame;
        if (where.state === "live") this.wanted = applied(this.wanted, { from: null });
        return [{ kind: "replay", ...where }];
      }
    }
  }

  /** A consumer did not keep up. */
  overflowed(): void {
    this.count("overflows", 1);
  }

  private change(change: Change): Ask {
    const before = this.wanted;
    this.wanted = applied(before, change);
    if (change.from !== undefined) this.newest.clear(); // ids begin anew where the replay does
    return before;
  }

  private missed(to: string): Event[] {
    const from = this.lostFrom;
    if (from === undefined) return [];
    this.lostFrom = undefined;
    this.count("gaps", 1);
    return [{ kind: "gap", from, to }];
  }

  private data(frame: protocol.SubscriptionEvent): DataEvent {
    const { cursor, snapshot = false, more = false, conflated = 0 } = frame;
    const whole = snapshot && !this.partial;
    const items = (frame.data as Item[]).filter(item => this.isNew(item, snapshot));
    this.count("items", items.length);
    this.count("conflated", conflated);
    this.count("duplicates", frame.data.length - items.length);
    this.reached = cursor;
    this.told = true;
    this.unfinished = whole && more;
    return { kind: "data", items, snapshot, whole, more, conflated, cursor };
  }

  private isNew({ topic, id }: Item, snapshot: boolean): boolean {
    const last = this.newest.get(topic);
    if (last !== undefined && !isNewer(id, last)) return snapshot;
    this.newest.set(topic, id);
    return true;
  }

  private count(what: keyof Counts, more: number): void {
    this.counts[what] += more;
    this.totals[what] += more;
  }
}

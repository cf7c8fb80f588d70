import { applied, resumable } from "./ask.ts";
import { isNewer } from "./ids.ts";
import type { Ask, Change, DataEvent, Event, Item, Message } from "./types.ts";

/** How much came for a subscription. */
export interface Counts {
  items: number;
  conflated: number;
  gaps: number;
  duplicates: number;
}

/** What one subscription asks for, how far it has come, and what the frames of the node mean to it. */
export class Progress {
  ask: Ask;
  cursor: string | undefined;
  readonly counts: Counts = { items: 0, conflated: 0, gaps: 0, duplicates: 0 };
  private readonly newest = new Map<string, string>();
  private partial = false;
  private halfway = false;

  constructor(ask: Ask) {
    const { since, ...rest } = ask;
    this.ask = rest;
    this.cursor = since;
  }

  /** The fields of the `subscribe` that goes on from here. */
  begin(): Ask {
    if (this.halfway && resumable(this.ask)) this.cursor = undefined;
    this.halfway = false;
    this.partial = this.cursor !== undefined && resumable(this.ask);
    return this.cursor === undefined ? this.ask : { ...this.ask, since: this.cursor };
  }

  /** The node has answered an `update`. */
  changed(change: Change): void {
    const onlyInterval = Object.keys(change).every(key => key === "interval");
    this.partial = onlyInterval && resumable(this.ask) && this.cursor !== undefined;
    this.ask = applied(this.ask, change);
    if (change.from !== undefined) this.newest.clear();
  }

  /** What a frame tells, if it tells anything. */
  take(message: Message): Event | undefined {
    switch (message.action) {
      case "subscription":
        return this.data(message);
      case "gap":
        this.counts.gaps += 1;
        return { kind: "gap", from: message.from as string, to: message.to as string };
      case "replay":
        return this.replay(message);
    }
    return undefined;
  }

  private data(message: Message): DataEvent {
    const snapshot = message.snapshot === true;
    const more = message.more === true;
    const whole = snapshot && !this.partial;
    const items = (message.data as Item[]).filter(item => this.isNew(item, snapshot));
    const conflated = (message.conflated as number | undefined) ?? 0;
    this.cursor = message.cursor as string;
    this.halfway = whole && more;
    this.counts.items += items.length;
    this.counts.conflated += conflated;
    return { kind: "data", items, snapshot, whole, more, conflated, cursor: this.cursor };
  }

  private isNew(item: Item, snapshot: boolean): boolean {
    const last = this.newest.get(item.topic);
    if (!snapshot && last !== undefined && !isNewer(item.id, last)) {
      this.counts.duplicates += 1;
      return false;
    }
    this.newest.set(item.topic, item.id);
    return true;
  }

  private replay(message: Message): Event {
    const { state, position, speed } = message as unknown as { state: "playing"; position?: number; speed?: number };
    if ((state as string) === "live") this.ask = applied(this.ask, { from: null });
    return {
      kind: "replay",
      state,
      ...(position === undefined ? {} : { position }),
      ...(speed === undefined ? {} : { speed }),
    };
  }
}

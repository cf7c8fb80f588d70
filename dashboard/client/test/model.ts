import type { Connection } from "../src/connection.ts";
import { disconnected, FleetwireError } from "../src/errors.ts";
import { key } from "../src/key.ts";
import type { AnswerTo, Order } from "../src/messages.ts";
import type { Event, Item } from "../src/protocol.ts";
import type { Ask } from "../src/types.ts";

interface Member {
  id: string;
  ask: Ask;
  at: number; // how much of the log it has been given
}

interface Waiting {
  order: Order;
  replied: ((reply: never) => void) | undefined;
  resolve: (reply: never) => void;
  reject: (error: FleetwireError) => void;
}

/** A node as one client sees it, by the rules of docs/protocol.md for `batch`. It does one thing each time it is told. */
export class ModelNode {
  readonly log: Item[] = [];
  private readonly hear: (frame: Event) => void;
  private members = new Map<string, Member>(); // by key
  private waiting: Waiting[] = [];
  private ids = 0;
  private line = 0;

  constructor(hear: (frame: Event) => void) {
    this.hear = hear;
  }

  /** How many subscriptions it serves. */
  get size(): number {
    return this.members.size;
  }

  /** Whether nothing is left to be done. */
  get idle(): boolean {
    return this.waiting.length === 0 && [...this.members.values()].every(member => member.at === this.log.length);
  }

  /** A connection to it. */
  connection(): Connection {
    const { line } = this;
    const request = <O extends Order>(order: O, replied?: (reply: AnswerTo<O["action"]>) => void) =>
      new Promise<AnswerTo<O["action"]>>((resolve, reject) => {
        if (line !== this.line) reject(disconnected("cut"));
        else this.waiting.push({ order, replied, resolve, reject } as unknown as Waiting);
      });
    return { request } as unknown as Connection;
  }

  store(topic: string): void {
    this.log.push({ topic, id: `1-${this.log.length + 1}`, ts: 1, values: {} });
  }

  /** The line is cut: nobody is served any more, and who waits for a reply gets none. */
  cut(): void {
    this.line += 1;
    this.members.clear();
    for (const { reject } of this.waiting.splice(0)) reject(disconnected("cut"));
  }

  /** Carry out the next command. */
  answer(): void {
    const next = this.waiting.shift();
    if (!next) return;
    try {
      const reply = { ts: 1, requestId: "1", action: next.order.action, ...this.carryOut(next.order) } as never;
      next.replied?.(reply);
      next.resolve(reply);
    } catch (error) {
      next.reject(error as FleetwireError);
    }
  }

  /** Give one subscription the next of the log. */
  flush(which: number, most: number): void {
    const member = [...this.members.values()][which % this.members.size];
    if (!member || member.at === this.log.length) return;
    const data = this.log.slice(member.at, member.at + most);
    member.at += data.length;
    this.hear({ action: "subscription", subscriptionId: member.id, ts: 1, cursor: `1-${member.at}`, data });
  }

  private carryOut(order: Order): { subscriptionId?: string } {
    switch (order.action) {
      case "subscribe": {
        const { action, ...ask } = order as Ask & { action: string };
        const at = Number(ask.since?.split("-")[1] ?? this.log.length);
        return { subscriptionId: this.join(ask, at) }; // who asks again begins anew, under another id
      }
      case "update": {
        const before = this.find(order.subscriptionId);
        const { action, subscriptionId, ...change } = order;
        const ask = { ...before.ask, ...change } as Ask;
        const other = this.members.get(key(ask));
        if (other === before) return { subscriptionId };
        this.members.delete(key(before.ask));
        if (!other) return { subscriptionId: this.join(ask, before.at) };
        other.at = Math.min(other.at, before.at);
        return { subscriptionId: other.id };
      }
      case "unsubscribe": {
        this.members.delete(key(this.find(order.subscriptionId).ask));
        return {};
      }
    }
    throw new FleetwireError(400, "unknown_action", order.action);
  }

  private join(ask: Ask, at: number): string {
    const id = String(++this.ids);
    this.members.set(key(ask), { id, ask, at });
    return id;
  }

  private find(id: string): Member {
    const member = [...this.members.values()].find(one => one.id === id);
    if (!member) throw new FleetwireError(404, "unknown_subscription", id);
    return member;
  }
}

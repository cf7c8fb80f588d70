import { applied } from "./ask.ts";
import type { Connection } from "./connection.ts";
import { disguised, key } from "./key.ts";
import type * as protocol from "./protocol.ts";
import { Routes } from "./routes.ts";
import type { Subscription } from "./subscription.ts";
import type { Change } from "./types.ts";

/**
 * What is subscribed to on one connection.
 *
 * A node gives those that ask for the same one id, and who asks again begins anew. So whoever comes to what somebody
 * asks for already subscribes in disguise, at another interval, and then updates that to the true one: the node gives
 * both what either has missed. Updates and ends wait for each other, since each may make two ids one.
 */
export class Session {
  private readonly connection: Connection;
  private readonly routes = new Routes<Subscription>();
  private turn: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** A frame goes to all who hear its id. */
  hear(frame: protocol.Event): void {
    for (const subscription of this.routes.at(frame.subscriptionId)) subscription.hear(frame);
  }

  has(subscription: Subscription): boolean {
    return this.routes.id(subscription) !== undefined;
  }

  /** The node has ended what these have heard. */
  ended(id: string): Subscription[] {
    const hearers = this.routes.at(id);
    for (const hearer of hearers) this.routes.remove(hearer);
    return hearers;
  }

  /** Go on from where a subscription is. */
  async enter(subscription: Subscription): Promise<void> {
    const { ask } = subscription;
    try {
      if (ask.from !== undefined || !this.routes.taken.has(key(ask))) await this.subscribe(subscription);
      else {
        await this.subscribe(subscription, true);
        await this.update(subscription, {});
      }
    } catch (error) {
      this.routes.remove(subscription);
      throw error;
    }
  }

  /** Change what a subscription asks for. Rejects when the node refuses; then all stays. */
  update(subscription: Subscription, change: Change): Promise<void> {
    return this.inTurn(async () => {
      const shared = this.routes.isShared(subscription);
      if (shared) await this.subscribe(subscription, true);
      try {
        await this.move(subscription, change);
      } catch (error) {
        if (shared) await this.move(subscription, {});
        throw error;
      }
    });
  }

  /** Nobody hears what only this subscription has asked for. */
  exit(subscription: Subscription): Promise<void> {
    return this.inTurn(async () => {
      const subscriptionId = this.routes.id(subscription);
      const shared = this.routes.isShared(subscription);
      this.routes.remove(subscription);
      if (subscriptionId !== undefined && !shared)
        await this.connection.request({ action: "unsubscribe", subscriptionId }).catch(() => {}); // it is gone already
    });
  }

  private inTurn(task: () => Promise<void>): Promise<void> {
    const done = this.turn.then(task);
    this.turn = done.catch(() => {});
    return done;
  }

  private async subscribe(subscription: Subscription, inDisguise = false): Promise<void> {
    const ask = subscription.progress.begin();
    const sent = inDisguise ? disguised(ask, this.routes.taken) : ask;
    this.routes.claim(subscription, key(sent));
    await this.connection.request({ action: "subscribe", ...sent }, reply => {
      this.routes.set(subscription, reply.subscriptionId);
    });
  }

  private async move(subscription: Subscription, change: Change): Promise<void> {
    const { routes } = this;
    const subscriptionId = routes.id(subscription);
    if (subscriptionId === undefined) return;
    const { interval = 100 } = subscription.ask;
    const claimed = routes.claimed(subscription);
    routes.claim(subscription, ...claimed, key(applied(subscription.ask, change)));
    const replied = (reply: protocol.SubscribeReply) => {
      const others = routes.at(reply.subscriptionId);
      routes.set(subscription, reply.subscriptionId);
      subscription.progress.changed(change);
      routes.claim(subscription, key(subscription.ask));
      for (const other of others) other.progress.joined(subscription.progress);
    };
    try {
      await this.connection.request({ action: "update", subscriptionId, interval, ...change }, replied);
    } catch (error) {
      routes.claim(subscription, ...claimed);
      throw error;
    }
  }
}

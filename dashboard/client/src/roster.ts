import { applied } from "./ask.ts";
import { Backoff } from "./backoff.ts";
import type { Connection } from "./connection.ts";
import { type FleetwireError, toFleetwireError } from "./errors.ts";
import { disguised, key } from "./key.ts";
import type * as protocol from "./protocol.ts";
import { Routes } from "./routes.ts";
import type { Counts } from "./stats.ts";
import type { Host, Subscription } from "./subscription.ts";
import type { Change } from "./types.ts";

/**
 * All subscriptions, and what is said to a node for them, one thing after another for each.
 *
 * A node gives those that ask for the same one id, and who asks again begins anew. So whoever comes to an id that
 * somebody hears already first asks in disguise, at another interval, and then updates that to the true one: the node
 * then gives both what either has missed.
 */
export class Roster implements Host {
  readonly totals: Counts;
  private readonly denied: (error: FleetwireError) => void;
  private readonly work = new Map<Subscription, Promise<unknown>>();
  private readonly retries = new Set<ReturnType<typeof setTimeout>>();
  private routes = new Routes<Subscription>();
  private connection: Connection | undefined;

  /** `denied` is called when a node wants a token first. */
  constructor(totals: Counts, denied: (error: FleetwireError) => void) {
    this.totals = totals;
    this.denied = denied;
  }

  /** Take a subscription in, and begin. */
  add(subscription: Subscription): void {
    this.work.set(subscription, Promise.resolve());
    this.queue(subscription, () => this.enter(subscription));
  }

  /** Begin all again: on a new connection, or since the node has ended one of them and does not say which. */
  resume(connection = this.connection): void {
    this.connection = connection;
    this.routes = new Routes();
    for (const subscription of this.work.keys()) this.queue(subscription, () => this.enter(subscription));
  }

  /** There is no connection any more. */
  lost(): void {
    this.connection = undefined;
    this.routes = new Routes();
    for (const timer of this.retries) clearTimeout(timer);
    this.retries.clear();
  }

  /** Nothing more comes. */
  close(): void {
    for (const subscription of this.work.keys()) subscription.end();
    this.work.clear();
  }

  hear(frame: protocol.Event): void {
    for (const subscription of this.routes.at(frame.subscriptionId)) subscription.hear(frame);
  }

  change(subscription: Subscription, change: Change): Promise<void> {
    return this.queue(subscription, () => this.update(subscription, change));
  }

  leave(subscription: Subscription): Promise<void> {
    const left = this.queue(subscription, () => this.exit(subscription));
    this.work.delete(subscription);
    return left;
  }

  halt(subscription: Subscription): void {
    this.queue(subscription, () => this.exit(subscription));
  }

  goOn(subscription: Subscription): void {
    this.queue(subscription, () => this.enter(subscription));
  }

  private queue(subscription: Subscription, task: () => Promise<void>): Promise<void> {
    const done = (this.work.get(subscription) ?? Promise.resolve()).then(task, task);
    if (this.work.has(subscription)) this.work.set(subscription, done);
    done.catch(() => {}); // whoever asked is told
    return done;
  }

  /** Subscribe at the node, unless that has been done. */
  private async enter(subscription: Subscription, backoff = new Backoff()): Promise<void> {
    const { connection, routes } = this;
    if (!connection || !subscription.listen() || routes.id(subscription) !== undefined) return;
    try {
      if (routes.taken.has(key(subscription.ask))) await this.slip(subscription, connection, routes);
      else await this.subscribe(subscription, connection, routes, false);
    } catch (error) {
      const refusal = toFleetwireError(error);
      routes.remove(subscription);
      if (refusal.reason === "disconnected" || routes !== this.routes) return;
      if (refusal.number === 401) this.denied(refusal);
      else if (refusal.reason === "unavailable") this.retry(subscription, routes, backoff);
      else if (refusal.reason === "invalid_cursor" && subscription.progress.forget()) await this.enter(subscription);
      else this.refuse(subscription, refusal);
    }
  }

  private async subscribe(
    subscription: Subscription,
    connection: Connection,
    routes: Routes<Subscription>,
    inDisguise: boolean,
  ): Promise<void> {
    const ask = subscription.progress.begin();
    const sent = inDisguise ? disguised(ask, routes.taken) : ask;
    routes.claim(subscription, key(sent));
    await connection.request({ action: "subscribe", ...sent }, ({ subscriptionId }) => {
      routes.set(subscription, subscriptionId);
    });
  }

  /** Come to an id that somebody else hears, so that both miss nothing. */
  private async slip(
    subscription: Subscription,
    connection: Connection,
    routes: Routes<Subscription>,
  ): Promise<void> {
    await this.subscribe(subscription, connection, routes, true);
    await this.move(subscription, connection, routes, {});
  }

  private async update(subscription: Subscription, change: Change): Promise<void> {
    const { connection, routes } = this;
    if (!connection || routes.id(subscription) === undefined) {
      subscription.progress.postpone(change);
      return;
    }
    try {
      if (!routes.isShared(subscription)) await this.move(subscription, connection, routes, change);
      else {
        await this.subscribe(subscription, connection, routes, true);
        await this.move(subscription, connection, routes, change).catch(async error => {
          await this.move(subscription, connection, routes, {});
          throw error;
        });
      }
    } catch (error) {
      const refusal = toFleetwireError(error);
      if (refusal.reason === "disconnected") subscription.progress.postpone(change);
      else throw error;
    }
  }

  /** Update what is asked for at the node. */
  private async move(
    subscription: Subscription,
    connection: Connection,
    routes: Routes<Subscription>,
    change: Change,
  ): Promise<void> {
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
      await connection.request({ action: "update", subscriptionId, interval, ...change }, replied);
    } catch (error) {
      routes.claim(subscription, ...claimed);
      throw error;
    }
  }

  private async exit(subscription: Subscription): Promise<void> {
    const { connection, routes } = this;
    const subscriptionId = routes.id(subscription);
    const shared = routes.isShared(subscription);
    routes.remove(subscription);
    if (subscriptionId === undefined || shared) return;
    await connection?.request({ action: "unsubscribe", subscriptionId }).catch(() => {}); // then it is gone already
  }

  private retry(subscription: Subscription, routes: Routes<Subscription>, backoff: Backoff): void {
    const timer = setTimeout(() => {
      this.retries.delete(timer);
      if (routes === this.routes) this.queue(subscription, () => this.enter(subscription, backoff));
    }, backoff.again());
    this.retries.add(timer);
  }

  private refuse(subscription: Subscription, refusal: FleetwireError): void {
    this.work.delete(subscription);
    subscription.fail(refusal);
  }
}

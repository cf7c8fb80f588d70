import { Backoff } from "./backoff.ts";
import type { Connection } from "./connection.ts";
import { type FleetwireError, toFleetwireError } from "./errors.ts";
import type * as protocol from "./protocol.ts";
import { Session } from "./session.ts";
import type { Counts } from "./stats.ts";
import type { Host, Subscription } from "./subscription.ts";
import type { Change } from "./types.ts";

/** All subscriptions, over all connections. What is done for each is done one after another. */
export class Roster implements Host {
  readonly totals: Counts;
  private readonly denied: (error: FleetwireError) => void;
  private readonly work = new Map<Subscription, Promise<unknown>>();
  private readonly retries = new Set<ReturnType<typeof setTimeout>>();
  private session: Session | undefined;

  /** `denied` is called when a node wants a token first. */
  constructor(totals: Counts, denied: (error: FleetwireError) => void) {
    this.totals = totals;
    this.denied = denied;
  }

  /** Take a subscription in, and begin. */
  add(subscription: Subscription): void {
    this.work.set(subscription, Promise.resolve());
    this.goOn(subscription);
  }

  /** Begin all again, on a new connection. */
  resume(connection: Connection): void {
    this.session = new Session(connection);
    for (const subscription of this.work.keys()) this.goOn(subscription);
  }

  /**
   * The node has ended one of them, since a new token grants less, or otherwise. It is asked for anew, and what is
   * refused then is told. `otherwise`: what was told of states is not what they are now.
   */
  ended(id: string, otherwise: boolean): void {
    for (const subscription of this.session?.ended(id) ?? []) {
      if (otherwise) subscription.progress.shownOtherwise();
      this.goOn(subscription);
    }
  }

  /** There is no connection any more. */
  lost(): void {
    this.session = undefined;
    for (const timer of this.retries) clearTimeout(timer);
    this.retries.clear();
  }

  /** Nothing more comes. */
  close(): void {
    for (const subscription of this.work.keys()) subscription.end();
    this.work.clear();
  }

  hear(frame: protocol.Event): void {
    this.session?.hear(frame);
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

  goOn(subscription: Subscription, backoff = new Backoff()): void {
    this.queue(subscription, () => this.enter(subscription, backoff));
  }

  private queue(subscription: Subscription, task: () => Promise<void>): Promise<void> {
    const done = (this.work.get(subscription) ?? Promise.resolve()).then(task, task);
    if (this.work.has(subscription)) this.work.set(subscription, done);
    done.catch(() => {}); // whoever asked is told
    return done;
  }

  private async enter(subscription: Subscription, backoff: Backoff): Promise<void> {
    const { session } = this;
    if (!session || !subscription.listen() || session.has(subscription)) return;
    try {
      await session.enter(subscription);
    } catch (error) {
      const refusal = toFleetwireError(error);
      if (refusal.reason === "disconnected" || session !== this.session) return;
      if (refusal.number === 401) this.denied(refusal);
      else if (refusal.reason === "unavailable") this.retry(subscription, backoff);
      else if (refusal.reason === "invalid_cursor" && subscription.progress.forget()) this.goOn(subscription);
      else {
        this.work.delete(subscription);
        subscription.fail(refusal);
      }
    }
  }

  private async update(subscription: Subscription, change: Change): Promise<void> {
    const { session } = this;
    if (!session?.has(subscription)) {
      subscription.progress.postpone(change);
      return;
    }
    try {
      await session.update(subscription, change);
    } catch (error) {
      if (toFleetwireError(error).reason !== "disconnected") throw error;
      subscription.progress.postpone(change);
    }
  }

  private async exit(subscription: Subscription): Promise<void> {
    await this.session?.exit(subscription);
  }

  /** Redis is away: try again later, unless there is another connection by then. */
  private retry(subscription: Subscription, backoff: Backoff): void {
    const timer = setTimeout(() => {
      this.retries.delete(timer);
      this.goOn(subscription, backoff);
    }, backoff.again());
    this.retries.add(timer);
  }
}

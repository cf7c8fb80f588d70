/** Looks at one vehicle's readings on their way here, another's when that one falls silent. */

import type { Client, Item, Subscription } from "@fleetwire/client";
import { Sample } from "./hops.ts";

const SILENT_MS = 10_000;

export class Sampler {
  readonly sample = new Sample();
  readonly #client: Client;
  #topic: string | undefined;
  #subscription: Subscription | undefined;
  #heard = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Once a second or so. `candidates`: topics of vehicles that are seen, `fleets/berlin/v42`. */
  watch(candidates: Iterable<string>): void {
    this.sample.forget(this.#now());
    if (this.#topic !== undefined && performance.now() - this.#heard < SILENT_MS) return;
    const next = after(candidates, this.#topic);
    if (next === undefined) return;
    this.stop();
    this.#topic = next;
    this.#heard = performance.now();
    // As soon as they come: at the node, an interval is time that a reading waits, and nobody's latency.
    const ask = { topic: `${next}/telemetry`, strategy: "batch" as const, interval: 0, snapshot: false, meta: true };
    this.#subscription = this.#client.subscribe(ask, event => {
      if (event.kind === "data" && !event.snapshot) this.#take(event.items);
    });
  }

  stop(): void {
    this.#subscription?.unsubscribe().catch(() => {}); // a connection that is gone has no subscriptions
    this.#subscription = undefined;
  }

  #take(items: Item[]): void {
    this.#heard = performance.now();
    for (const item of items) this.sample.add(item, this.#now());
  }

  #now(): number {
    return Date.now() + this.#client.stats.clockOffsetMs;
  }
}

/** The candidate behind `topic`; the first one when it is the last, or none of them. */
function after(candidates: Iterable<string>, topic: string | undefined): string | undefined {
  let first: string | undefined;
  let found = false;
  for (const candidate of candidates) {
    if (found) return candidate;
    first ??= candidate;
    found = candidate === topic;
  }
  return first;
}

/** Fills a trail: what the log has, and what comes. */

import { type Client, type Event, FleetwireError } from "@fleetwire/client";
import type { Reading, Trail } from "./trail.ts";

const INTERVAL_MS = 250;
const PAGE = 2_000;
const AGAIN_MS = 2_000;

/** How far a trail is: the log is being read, all is there, or the node said no, in words. */
export type Progress = { name: "loading" } | { name: "complete" } | { name: "refused"; why: string };

/** The node's clock, epoch ms: what readings are stored by. */
export function nodeNow(client: Client): number {
  return Date.now() + client.stats.clockOffsetMs;
}

/**
 * Keep a trail filled with the readings of one topic, over reconnects, until the returned function is called.
 * `tell` hears of each change.
 *
 * What comes is listened to before the log is read. The two overlap, and the trail drops what comes twice: nothing is
 * missing in between.
 */
export function follow(client: Client, topic: string, trail: Trail, tell: (progress: Progress) => void): () => void {
  let progress: Progress = { name: "loading" };
  let reading = false;
  let over = false;
  const became = (next: Progress) => {
    progress = next;
    if (!over) tell(next);
  };
  const subscription = client.subscribe({ topic, strategy: "batch", interval: INTERVAL_MS }, hear);
  return () => {
    over = true;
    subscription.unsubscribe().catch(() => {}); // a connection that is gone has no subscriptions
  };

  function hear(event: Event): void {
    if (event.kind === "error") progress = { name: "refused", why: event.description };
    else if (event.kind === "gap") trail.lose(nodeNow(client));
    else if (event.kind === "data" && event.snapshot) {
      for (const item of event.items) trail.state(item.values as Reading["values"]); // no windows: no window was asked for
      if (!reading) recall();
    } else if (event.kind === "data") trail.add(event.items as Reading[], nodeNow(client));
    became(progress);
  }

  async function recall(): Promise<void> {
    reading = true;
    while (!over) {
      try {
        await read();
        return;
      } catch (error) {
        if (error instanceof FleetwireError && error.number < 429) {
          became({ name: "refused", why: error.message });
          return;
        }
        await new Promise(resolve => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  async function read(): Promise<void> {
    const from = Math.max(0, Math.floor(nodeNow(client) - trail.span));
    for await (const page of client.historyPages({ topic, from, limit: PAGE })) {
      if (over) return;
      if (page.trimmed !== undefined) trail.trim();
      trail.add(page.data as Reading[], nodeNow(client));
      became(progress);
    }
    became({ name: "complete" });
  }
}

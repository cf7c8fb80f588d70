import type { BoundingBox as Box, Filters, Geofence, Strategy, Summary, Value } from "./protocol.ts";

/** What a subscription asks for: the fields of `subscribe`. Times are epoch ms, intervals ms. */
export interface Ask {
  topic: string;
  strategy?: Strategy;
  interval?: number;
  signals?: string[];
  snapshot?: boolean;
  since?: string;
  meta?: boolean;
  filter?: Filters;
  bbox?: Box;
  geofence?: Geofence;
  window?: ("min" | "max" | "mean")[];
  delta?: boolean;
  from?: number;
  speed?: number;
}

/** What an `update` changes; null takes a field away. */
export type Change = { [K in Exclude<keyof Ask, "topic" | "snapshot" | "since">]?: Ask[K] | null };

/** What a device, a room or a vehicle said. A message has `data`, anything else `values`. */
export interface Item {
  topic: string;
  id: string;
  ts: number;
  values: Record<string, Value | Summary>;
  points?: Record<string, [ts: number, value: Value][]>;
  event?: "enter" | "leave" | "inside";
  data?: unknown;
  sender?: string;
  seq?: number;
  historical?: boolean;
  received?: number;
  clock?: string;
  stored?: number;
  read?: number;
  /** Of a window of the history: how many readings. */
  count?: number;
}

/** What comes for a subscription. */
export type Event = DataEvent | GapEvent | ReplayEvent | ErrorEvent;

/**
 * Items. `snapshot`: these are states; it goes on in the next event while there is `more`. `whole`: the snapshot (with
 * its other events) names everything there is: drop what it does not name. `conflated`: readings that newer ones overtook.
 */
export interface DataEvent {
  kind: "data";
  items: Item[];
  snapshot: boolean;
  whole: boolean;
  more: boolean;
  conflated: number;
  cursor: string;
}

/** Some of what was stored after one cursor, up to another, can no longer be had. */
export interface GapEvent {
  kind: "gap";
  from: string;
  to: string;
}

/** Where a replay is: epoch ms of storing, growing `speed` times as fast as time. */
export interface ReplayEvent {
  kind: "replay";
  state: "playing" | "paused" | "live";
  position?: number;
  speed?: number;
}

/** The node refused the subscription: it is over. */
export interface ErrorEvent {
  kind: "error";
  number: number;
  reason: string;
  description: string;
}

/** A page of stored items, oldest first. `cursor`: of the next page. `trimmed`: up to where the log is no longer whole. */
export interface Page {
  data: Item[];
  cursor?: string;
  trimmed?: string;
}

/** What of the stored items to ask for; `from` and `to` in epoch ms of storing, `window` in ms. */
export interface Past {
  topic: string;
  from?: number;
  to?: number;
  limit?: number;
  after?: string;
  signals?: string[];
  meta?: boolean;
  window?: number;
}

/** What the client is up to. `until`: epoch ms of the next attempt. */
export type State =
  | { name: "connecting" }
  | { name: "live" }
  | { name: "waiting"; reason: string; until: number }
  | { name: "denied"; number: number; reason: string; description: string }
  | { name: "closed"; reason: string };

/** Any frame of the node. */
export interface Message {
  action?: string;
  requestId?: string;
  subscriptionId?: string;
  ts: number;
  error?: { number: number; reason: string; description: string };
  [field: string]: unknown;
}

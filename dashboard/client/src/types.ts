import type * as protocol from "./protocol.ts";

type Given<T> = { [K in keyof T]: Exclude<T[K], null> };

/** What a subscription asks for: the fields of `subscribe`. Times are epoch ms, the interval is ms. */
export interface Ask extends Given<Omit<protocol.Subscribe, "action" | "requestId">> {}

/** What an `update` changes; null takes a field away. */
export interface Change extends Omit<protocol.Update, "action" | "requestId" | "subscriptionId"> {}

/** What of the stored items to ask for: the fields of `history`. Times are epoch ms of storing, the window is ms. */
export interface Past extends Given<Omit<protocol.History, "action" | "requestId">> {}

/**
 * What a device said: `values`; or somebody in a room, a command or its reply: `data` (and no `values`). Of a window of
 * the history, `count` is of its readings, and there is no `id`.
 */
export interface Item extends Omit<protocol.ReadingItem, "values"> {
  values: { [signal: string]: protocol.Value | protocol.Summary | protocol.Last };
  data?: unknown;
  sender?: string;
  count?: number;
}

/** What comes for a subscription. */
export type Event = DataEvent | GapEvent | ReplayEvent | ErrorEvent;

/**
 * Items. `snapshot`: they are states; it goes on in the next event while there is `more`. `whole`: with its other
 * events, the snapshot names everything there is: drop what it does not name. `conflated`: readings that newer ones
 * overtook. `cursor`: everything up to here has been told.
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

/** Where a replay is: epoch ms of storing, which grows `speed` times as fast as time. Neither when it is live. */
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

/** Stored items, oldest first. `cursor`: `after` of the next page. `trimmed`: up to where the log is no longer whole. */
export interface Page {
  data: Item[];
  cursor?: string;
  trimmed?: string;
}

/** What the client is up to. `until`: epoch ms of the next attempt. */
export type State =
  | { name: "connecting" }
  | { name: "live" }
  | { name: "waiting"; reason: string; until: number }
  | { name: "denied"; number: number; reason: string; description: string }
  | { name: "closed"; reason: string };

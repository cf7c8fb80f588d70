import { Client, type Options } from "./client.ts";

export { Client, type Options } from "./client.ts";
export type { WebSocketLike } from "./connection.ts";
export { FleetwireError } from "./errors.ts";
export type { Patience } from "./patience.ts";
export type * from "./protocol.ts";
export type { Counts, Stats } from "./stats.ts";
export { type Iteration, Subscription } from "./subscription.ts";
export type { Token } from "./token.ts";
export type {
  Ask,
  Change,
  DataEvent,
  ErrorEvent,
  Event,
  GapEvent,
  Item,
  Page,
  Past,
  ReplayEvent,
  State,
} from "./types.ts";

/** A client that connects at once, in the background, and comes back until it is closed. */
export const connect = (options?: Options): Client => new Client(options);

import { Client, type Options } from "./client.ts";

export { Client, type Options, type Stats } from "./client.ts";
export type { WebSocketLike } from "./connection.ts";
export { FleetwireError } from "./errors.ts";
export type { Counts } from "./progress.ts";
export { Subscription } from "./subscription.ts";
export type * from "./types.ts";

/** A client that connects at once, in the background, and comes back until it is closed. */
export const connect = (options?: Options): Client => new Client(options);

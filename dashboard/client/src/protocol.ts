// Fleetwire client protocol, version 1.0.0. Made by `npm run types` from wire/protocol.py: don't edit it.

/** By format, the name that is asked for. */
export const SUBPROTOCOLS = {
  json: "fleetwire.v1.json",
  msgpack: "fleetwire.v1.msgpack",
} as const;

export type Format = keyof typeof SUBPROTOCOLS;

/** By reason, the number of an error. */
export const ERRORS = {
  bad_request: 400,
  unknown_action: 400,
  invalid_topic: 400,
  invalid_cursor: 400,
  invalid_token: 401,
  unauthorized: 401,
  forbidden_topic: 403,
  forbidden_origin: 403,
  forbidden_signal: 403,
  grants_changed: 409,
  unknown_subscription: 404,
  unknown_vehicle: 404,
  not_found: 404,
  method_not_allowed: 405,
  too_big: 413,
  unsupported_media_type: 415,
  too_many_subscriptions: 429,
  too_many_commands: 429,
  too_many_connections: 429,
  storage_full: 507,
  node_full: 503,
  unavailable: 503,
} as const;

export type Reason = keyof typeof ERRORS;

/** What a close code means, and whether the client should come back. */
export interface Close {
  reason: string;
  comeBack: "now" | "never" | "later" | "renewed";
}

/** By close code. */
export const CLOSE_CODES = {
  1001: { reason: "node going away", comeBack: "now" },
  1009: { reason: "message too big", comeBack: "never" },
  1012: { reason: "node restarting", comeBack: "now" },
  1013: { reason: "node full", comeBack: "later" },
  4001: { reason: "token expired", comeBack: "renewed" },
  4003: { reason: "forbidden", comeBack: "never" },
  4008: { reason: "took nothing for the whole timeout", comeBack: "now" },
  4029: { reason: "too many commands", comeBack: "later" },
} as Record<number, Close>;

export type Strategy = "batch" | "latest";
/**
 * `[west, south, east, north]` in degrees, as in GeoJSON (RFC 7946, section 5). With west > east it crosses the
 * antimeridian.
 */
export type BoundingBox = [number, number, number, number];
export type Window = ("max" | "mean" | "min")[];
export type Value = boolean | number | string | null;
export type Item = ReadingItem | MessageItem;
export type Command = Subscribe | Update | Unsubscribe | Publish | Get | History | Authorize | Ping;
export type Answer = SubscribeReply | Reply | PublishReply | ItemsReply | PingReply;
export type Event = SubscriptionEvent | Replay | Gap;

/**
 * Ask for what a filter matches. `interval`: milliseconds between frames. `since`: a cursor, for only what came
 * after it. `signals`: patterns of signal names, `*` for one segment. What is told of the readings: `filter`, by
 * pattern of signal names, `bbox`, `geofence`, `window`, `delta` (`wire.shaping`).
 *
 * `from`: epoch ms of storing, from where the log is played until it has come to the present; with `since`, from
 * there. `speed`: how many times as fast as it was stored, 1 to 100 (without it, 1); 0 pauses.
 */
export interface Subscribe {
  action: "subscribe";
  topic: string;
  strategy?: Strategy;
  interval?: number;
  signals?: string[] | null;
  snapshot?: boolean;
  since?: string | null;
  meta?: boolean;
  filter?: Filters | null;
  bbox?: BoundingBox | null;
  geofence?: Geofence | null;
  window?: Window | null;
  delta?: boolean;
  from?: number | null;
  speed?: number | null;
  requestId: string;
}

export interface Filters {
  [k: string]: Change | Range | Timebased | Curvelog;
}

/**
 * Values that differ from the one last told as `logic-op` and `diff` say.
 *
 * The difference has a sign: it is the value less the one last told (VISS Core, "Change Filter Operation": `gt`
 * with 0 is a rise from false to true, `lt` with 0 a fall). So `gt` 10 tells a rise of more than 10 and no fall,
 * however deep; `lt` -10 tells a fall of more than 10; `lt` 10 tells whatever did not rise by 10. Two
 * differences are combined as those of a range: `gt` 10 OR `lt` -10 is a dead band. Between values that are not
 * both numbers there is no difference to measure: any change passes, or with `eq`, none.
 */
export interface Change {
  variant: "change";
  parameter: Difference[] | Difference;
}

/**
 * What a change has to be. `combination-op`, AND by default, stands in the first of two.
 */
export interface Difference {
  "logic-op": "eq" | "gt" | "gte" | "lt" | "lte" | "ne";
  diff: number | string;
  "combination-op"?: ("AND" | "OR") | null;
}

/**
 * Numbers within one boundary, or two (VISS Core, "Range Filter Operation").
 */
export interface Range {
  variant: "range";
  parameter: Boundary[] | Boundary;
}

/**
 * One side of a range. `combination-op`, AND by default, stands in the first of two.
 */
export interface Boundary {
  "logic-op": "eq" | "gt" | "gte" | "lt" | "lte" | "ne";
  boundary: number | string;
  "combination-op"?: ("AND" | "OR") | null;
}

/**
 * At most one value in a period (VISS Core, "Time-Based Filter Operation").
 */
export interface Timebased {
  variant: "timebased";
  parameter: Period;
}

/**
 * `period`: ms from one value to the next, at least; up to a day.
 */
export interface Period {
  period: number | string;
}

/**
 * The points that draw the curve of a signal (VISS Core, "Curve logging Filter Operation").
 */
export interface Curvelog {
  variant: "curvelog";
  parameter: Curve;
}

/**
 * `maxerr`: how far a reading may be from the curve, in the signal's unit. `bufsize`: readings looked at
 * together, 2 to 1000.
 */
export interface Curve {
  maxerr: number | string;
  bufsize: number | string;
}

/**
 * A polygon, `[[longitude, latitude], …]` in degrees, 3 to 1000 points, and what is told of it. The first point
 * may be repeated as the last, as in GeoJSON.
 */
export interface Geofence {
  polygon: [number, number][];
  events?: ("enter" | "leave")[];
}

/**
 * Change what a subscription asks for; what is left out stays, null takes it away. `subscriptionId` and what
 * follows are as for a new subscription; nothing is missed or doubled in between. `from`: play the log from
 * there, or anew; null goes live.
 */
export interface Update {
  action: "update";
  subscriptionId: string;
  strategy?: Strategy;
  interval?: number;
  signals?: string[] | null;
  meta?: boolean;
  filter?: Filters | null;
  bbox?: BoundingBox | null;
  geofence?: Geofence | null;
  window?: Window | null;
  delta?: boolean;
  from?: number | null;
  speed?: number;
  requestId: string;
}

/**
 * End a subscription.
 */
export interface Unsubscribe {
  action: "unsubscribe";
  subscriptionId: string;
  requestId: string;
}

/**
 * Say something in a room, or command a vehicle; the reply comes when Redis has it. `ttl`: of a command, ms.
 */
export interface Publish {
  action: "publish";
  topic: string;
  data: unknown;
  ttl?: number | null;
  requestId: string;
}

/**
 * The current state of what a filter matches.
 */
export interface Get {
  action: "get";
  topic: string;
  meta?: boolean;
  requestId: string;
}

/**
 * Stored readings of what a filter matches, oldest first; `from`, `to`: epoch ms of storing, both included.
 * `after`: a reply's cursor, for the next page. `signals`: as of a subscription. `window`: ms; instead of the
 * readings what they come to in each such stretch of their own `ts`, topic by topic (`WindowItem`).
 */
export interface History {
  action: "history";
  topic: string;
  from?: number;
  to?: number | null;
  limit?: number;
  after?: string | null;
  signals?: string[] | null;
  meta?: boolean;
  window?: number | null;
  requestId: string;
}

/**
 * Show a token (JWT), first or anew.
 */
export interface Authorize {
  action: "authorize";
  authorization: string;
  requestId: string;
}

/**
 * Ask for a sign of life, and for the node's name.
 */
export interface Ping {
  action: "ping";
  requestId: string;
}

/**
 * The subscription that a subscribe or update got; the same for all who ask for the same. `signals`: patterns of
 * those that it is limited to, where no signals were asked for and the token does not grant all.
 */
export interface SubscribeReply {
  action: "subscribe" | "update";
  requestId: string;
  ts: number;
  subscriptionId: string;
  signals?: string[];
}

/**
 * That a command was carried out.
 */
export interface Reply {
  action: "unsubscribe" | "authorize";
  requestId: string;
  ts: number;
}

/**
 * The id that a message was stored with; of a command, the correlation that replies to it have.
 */
export interface PublishReply {
  action: "publish";
  requestId: string;
  ts: number;
  id: string;
}

/**
 * Items. Of history: `cursor`, to be given as `after`, when there is a next page; `trimmed`, when the log no
 * longer has everything that was asked for, up to this id.
 */
export interface ItemsReply {
  action: "get" | "history";
  requestId: string;
  ts: number;
  cursor?: string;
  trimmed?: string;
  data: (ReadingItem | MessageItem | WindowItem)[];
}

/**
 * A reading as clients see it. `points`: by signal, what a curve is drawn through, (ts, value). `event`: what it
 * tells of a place: `enter`, `leave`, or `inside`. The fields after these come with `meta`; `received` by the
 * bridge, `stored` in Redis and `read` by the node are epoch ms, as `ts` is.
 */
export interface ReadingItem {
  topic: string;
  id: string;
  ts: number;
  values: {
    [k: string]: Value | Summary;
  };
  points?: {
    [k: string]: [number, Value][];
  };
  event?: "enter" | "inside" | "leave";
  seq?: number;
  historical?: boolean;
  received?: number;
  clock?: "arrival" | "clamped" | "device";
  stored?: number;
  read?: number;
}

/**
 * What the numbers of a signal come to in the window of a subscription: of these, what it asked for.
 */
export interface Summary {
  min?: number;
  max?: number;
  mean?: number;
}

/**
 * A message of a room, a command or a reply as clients see it. `ts`: epoch ms.
 */
export interface MessageItem {
  topic: string;
  id: string;
  ts: number;
  data: unknown;
  sender?: string;
}

/**
 * What `count` readings of a topic come to. `ts`: epoch ms, where the window begins.
 */
export interface WindowItem {
  topic: string;
  ts: number;
  count: number;
  values: {
    [k: string]: Numbers | Last;
  };
}

/**
 * What the numbers of a signal come to in a window.
 */
export interface Numbers {
  min: number;
  max: number;
  mean: number;
}

/**
 * The newest value of a signal that was never a number in a window.
 */
export interface Last {
  last: Value;
}

/**
 * `node`: what the node calls itself.
 */
export interface PingReply {
  action: "ping";
  requestId: string;
  ts: number;
  node: string;
}

/**
 * Why a command was not carried out, with action and request id as far as they could be read; or, with the
 * action `subscription` and its id, why a subscription has ended.
 */
export interface ErrorReply {
  ts: number;
  error: ErrorDetail;
  action?: string;
  requestId?: string;
  subscriptionId?: string;
}

/**
 * `reason`: one of a table, which has its number. `description`: for people.
 */
export interface ErrorDetail {
  number: number;
  reason: string;
  description: string;
}

/**
 * Items of a subscription. `conflated`: readings that newer ones overtook. `more`: the snapshot goes on in the
 * next frame.
 */
export interface SubscriptionEvent {
  action: "subscription";
  subscriptionId: string;
  ts: number;
  cursor: string;
  data: Item[];
  snapshot?: boolean;
  more?: boolean;
  conflated?: number;
}

/**
 * Where a replay is: at each change, and each second while it plays. `position`: epoch ms of storing, which
 * grows `speed` times as fast as time; both are left out when it has gone live.
 */
export interface Replay {
  action: "replay";
  subscriptionId: string;
  ts: number;
  state: "live" | "paused" | "playing";
  position?: number;
  speed?: number;
}

/**
 * What a `batch` subscription or a replay misses for good: some of what was stored after `from`, up to `to`
 * (cursors).
 */
export interface Gap {
  action: "gap";
  subscriptionId: string;
  ts: number;
  from: string;
  to: string;
}

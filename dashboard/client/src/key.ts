import type { Ask } from "./types.ts";

const MESSAGES = /^rooms\/|^[^/]+\/[^/]+\/[^/]+\/(commands|replies)$/;
const MOST_INTERVAL_MS = 60_000;
const NUMBERS = new Set(["diff", "boundary", "period", "maxerr", "bufsize"]); // which may be written as texts

/** Whether every item comes, in order: so it is with messages, whatever the strategy. */
export const isBatch = (ask: Ask): boolean => ask.strategy === "batch" || MESSAGES.test(ask.topic);

/** The same for all asks that a node serves under one id, however they are written. */
export function key(ask: Ask): string {
  const {
    topic,
    interval = 100,
    signals = [],
    meta = false,
    bbox,
    window,
    delta = false,
    filter,
    geofence,
    from,
  } = ask;
  const functions = window && [...new Set(window)].sort();
  const shown = [...new Set(signals)].sort();
  const filters = canonical(filter && Object.keys(filter).length > 0 ? filter : undefined);
  const what = [topic, isBatch(ask), interval, shown, meta, bbox, functions, delta, filters, fence(geofence), from];
  return JSON.stringify(what);
}

/** The same ask at an interval that none of those taken has, by their keys. */
export function disguised(ask: Ask, taken: ReadonlySet<string>): Ask {
  const interval = ask.interval ?? 100;
  for (let step = 1; ; step++) {
    const other = { ...ask, interval: interval + step <= MOST_INTERVAL_MS ? interval + step : interval - step };
    if (!taken.has(key(other))) return other;
  }
}

function fence(geofence: Ask["geofence"]): unknown {
  if (!geofence) return undefined;
  const { polygon, events = ["enter", "leave"] } = geofence;
  const closed = polygon.length > 1 && String(polygon[0]) === String(polygon.at(-1));
  return [closed ? polygon.slice(0, -1) : polygon, [...new Set(events)].sort()];
}

/** Names in order, numbers as numbers, and of two terms what combines them first. */
function canonical(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) return value.length === 1 ? canonical(value[0]) : terms(value as Term[]);
  if (value === null || typeof value !== "object") return NUMBERS.has(name) ? Number(value) : value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== null);
  return entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([inner, found]) => [inner, canonical(found, inner)]);
}

type Term = Record<string, unknown>;

function terms(given: Term[]): unknown {
  const operation = given[0]?.["combination-op"] ?? "AND";
  const bare = given.map(({ "combination-op": _, ...term }) => JSON.stringify(canonical(term)));
  return [operation, ...bare.sort()];
}

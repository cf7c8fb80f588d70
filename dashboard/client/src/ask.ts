import type { Ask, Change } from "./types.ts";

const MESSAGES = /^(rooms\/|fleets\/[^/]+\/[^/]+\/(commands|replies)$)/;
const DEFAULTS: Partial<Ask> = { strategy: "latest", interval: 100, meta: false, delta: false };
const MOST_INTERVAL_MS = 60_000;

/** What is asked for after a change: null takes a field away, and the speed goes with the replay. */
export function applied(ask: Ask, change: Change): Ask {
  const changed = { ...ask, ...change, ...(change.from === null && { speed: null }) };
  return Object.fromEntries(Object.entries(changed).filter(([, value]) => value != null)) as unknown as Ask;
}

/** Whether every item comes, in order: so it is with messages, whatever the strategy. */
export const isBatch = (ask: Ask): boolean => ask.strategy === "batch" || MESSAGES.test(ask.topic);

/** Whether a cursor says what a client knows. What filters and places let through depends on what was told before. */
export const isResumable = (ask: Ask): boolean => !(ask.filter || ask.bbox || ask.geofence);

/** Whether one goes on where the other was, so that no snapshot of everything is needed. */
export function continues(after: Ask, before: Ask): boolean {
  if (after.from !== before.from) return false;
  if (isBatch(after) && isBatch(before)) return true;
  return isResumable(after) && key({ ...after, interval: 0 }) === key({ ...before, interval: 0 });
}

/** The same for asks that a node serves under one id, as far as can be seen from here. */
export function key(ask: Ask): string {
  const { snapshot, since, ...shaping } = ask;
  return JSON.stringify(sorted({ ...DEFAULTS, ...shaping }));
}

/** The same ask at an interval that none of those taken has, by their keys. */
export function disguised(ask: Ask, taken: Iterable<string>): Ask {
  const keys = new Set(taken);
  const interval = ask.interval ?? 100;
  for (let step = 1; ; step++) {
    const other = { ...ask, interval: interval + step <= MOST_INTERVAL_MS ? interval + step : interval - step };
    if (!keys.has(key(other))) return other;
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}

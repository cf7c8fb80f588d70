import { isBatch, key } from "./key.ts";
import type { Ask, Change } from "./types.ts";

/** What is asked for after a change: null takes a field away, and the speed goes with the replay. */
export function applied(ask: Ask, change: Change): Ask {
  const changed = { ...ask, ...change, ...(change.from === null && { speed: null }) };
  return Object.fromEntries(Object.entries(changed).filter(([, value]) => value != null)) as unknown as Ask;
}

/** Whether a cursor says what a client knows. What filters and places let through depends on what was told before. */
export const isResumable = (ask: Ask): boolean => !(ask.filter || ask.bbox || ask.geofence);

/** Whether one goes on where the other was, so that no snapshot of everything is needed. */
export function continues(after: Ask, before: Ask): boolean {
  if (after.from !== before.from) return false;
  if (isBatch(after) && isBatch(before)) return true;
  return isResumable(after) && key({ ...after, interval: 0 }) === key({ ...before, interval: 0 });
}

import type { Ask, Change } from "./types.ts";

/** What is asked for after a change; null takes a field away, and going live takes the speed with it. */
export function applied(ask: Ask, change: Change): Ask {
  const changed: Record<string, unknown> = { ...ask, ...change };
  if (change.from === null) changed.speed = null;
  return Object.fromEntries(Object.entries(changed).filter(([, value]) => value != null)) as unknown as Ask;
}

/** Whether a cursor says what a client knows. What filters and places let through depends on what was told before. */
export const resumable = (ask: Ask): boolean => !(ask.filter || ask.bbox || ask.geofence);

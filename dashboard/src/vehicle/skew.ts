import type { Latest } from "./trail.ts";

/**
 * How far the time of the newest stored reading is from when it was stored, ms: below 0 when it is older. Undefined
 * when there is none.
 */
export function skewOf(latest: Iterable<Latest>): number | undefined {
  let newest: { stored: number; ts: number } | undefined;
  for (const { id, ts } of latest) {
    if (id && ts !== undefined && id[0] > (newest?.stored ?? 0)) newest = { stored: id[0], ts };
  }
  return newest && newest.ts - newest.stored;
}

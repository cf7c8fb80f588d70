/** What `…/status` says. */

import type { Status } from "../fleet/vehicles.ts";
import type { Trail } from "./trail.ts";

const SIGNAL = "connectionState";
const KINDS: Record<string, Status> = {
  ONLINE: "online",
  CONNECTED: "online",
  OFFLINE: "offline",
  DISCONNECTED: "offline",
  CONNECTIONBROKEN: "broken",
};

/** In full: there is room for it here. */
export const CONNECTION_NAMES: Record<Status, string> = {
  online: "Online",
  offline: "Offline",
  broken: "Connection broken",
  unknown: "Not known",
};

export function kindOf(state: unknown): Status {
  return KINDS[String(state)] ?? "unknown";
}

/** What the connection was when, by time. What is older than the log holds since ever. */
export function connectionOf(status: Trail): { ts: number; value: string }[] {
  const points = status.points(SIGNAL).map(({ ts, value }) => ({ ts, value: String(value) }));
  const known = status.latest.get(SIGNAL);
  return points.length || !known ? points : [{ ts: known.ts ?? 0, value: String(known.value) }];
}

/** The connection now, and since when as far as that is known, epoch ms. */
export function connectionNow(status: Trail): { kind: Status; since?: number } {
  const points = connectionOf(status);
  const kind = kindOf(points.at(-1)?.value);
  const since = points[points.findLastIndex(({ value }) => kindOf(value) !== kind) + 1]?.ts;
  return since ? { kind, since } : { kind };
}

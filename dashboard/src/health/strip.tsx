import type { Feed } from "../fleet/feed.ts";
import type { Session } from "../session.ts";

export function HealthStrip(_: { session: Session; feed: Feed }) {
  return null;
}

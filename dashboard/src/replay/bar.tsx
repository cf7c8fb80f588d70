import type { Feed } from "../fleet/feed.ts";

export function ReplayBar(_: { feed: Feed }) {
  return null;
}

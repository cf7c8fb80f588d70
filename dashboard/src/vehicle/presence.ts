/** A stretch of time, epoch ms, and what held in it; undefined where nobody knows. */
export interface Span<T> {
  readonly state: T | undefined;
  readonly from: number;
  readonly to: number;
}

/**
 * What held when, between `from` and `to`: each point (in the order of time) holds until the next one, the last one
 * until now. Neighbours that say the same are one span.
 */
export function spans<T>(points: readonly { ts: number; value: T }[], from: number, to: number): Span<T>[] {
  const found: Span<T>[] = [];
  let state: T | undefined;
  let since = from;
  const close = (until: number) => {
    if (until > since) found.push({ state, from: since, to: until });
    since = Math.max(since, until);
  };
  for (const { ts, value } of points) {
    if (ts >= to) break;
    if (value === state) continue;
    close(ts);
    state = value;
  }
  close(to);
  return found;
}

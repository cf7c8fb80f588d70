/** How much came for a subscription, or for all of them. `overflows`: how often a consumer did not keep up. */
export interface Counts {
  items: number;
  conflated: number;
  gaps: number;
  duplicates: number;
  overflows: number;
}

/**
 * What the client has measured. `latencyMs`: of a ping and its reply, smoothed, and the last. `clockOffsetMs`: the
 * node's clock less ours. `node`: what the node calls itself. `connects`: how often a connection became live.
 */
export interface Stats extends Counts {
  latencyMs: number;
  lastLatencyMs: number;
  clockOffsetMs: number;
  node: string | undefined;
  connects: number;
  bytes: number;
  frames: number;
}

export const noCounts = (): Counts => ({ items: 0, conflated: 0, gaps: 0, duplicates: 0, overflows: 0 });

export const noStats = (): Stats => ({
  ...noCounts(),
  latencyMs: 0,
  lastLatencyMs: 0,
  clockOffsetMs: 0,
  node: undefined,
  connects: 0,
  bytes: 0,
  frames: 0,
});

const SMOOTHING = 0.2; // how much the last ping counts

/** Take a ping into account, sent at an epoch ms and answered `tookMs` later at the node's `ts`. */
export function measured(stats: Stats, sent: number, tookMs: number, ts: number): void {
  stats.lastLatencyMs = tookMs;
  stats.latencyMs = stats.latencyMs === 0 ? tookMs : stats.latencyMs + SMOOTHING * (tookMs - stats.latencyMs);
  stats.clockOffsetMs = ts - (sent + tookMs / 2);
}

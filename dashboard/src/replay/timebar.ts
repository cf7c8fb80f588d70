/** What a time bar spans, epoch ms: from the oldest that can be played to now. */
export interface Reach {
  readonly from: number;
  readonly to: number;
}

/** Where a replay is known to be: `position` (epoch ms of storing) at the time `at`, going `speed` times as fast. */
export interface Playhead {
  readonly position: number;
  readonly speed: number;
  readonly at: number;
}

export const SPEEDS = [1, 2, 5, 10, 30, 60] as const;

const STEP_MS = 5_000;
const LONG_STEP_MS = 60_000;

/** Where a moment is on the bar, 0 to 1. */
export function fractionOf(moment: number, { from, to }: Reach): number {
  return to > from ? Math.min(1, Math.max(0, (moment - from) / (to - from))) : 1;
}

/** The moment at a place of the bar, 0 to 1; outside of it, its nearer end. */
export function momentAt(fraction: number, { from, to }: Reach): number {
  return Math.round(from + Math.min(1, Math.max(0, fraction)) * (to - from));
}

/** Where the replay is by now: between two reports it goes on at its speed, and never beyond the present. */
export function positionNow({ position, speed, at }: Playhead, now: number): number {
  return Math.min(now, position + Math.max(0, now - at) * speed);
}

/** Where a key of a slider leads from `moment`; undefined when it is no key of a slider. End is the present. */
export function keyed(key: string, moment: number, reach: Reach): number | undefined {
  const to = {
    ArrowLeft: moment - STEP_MS,
    ArrowDown: moment - STEP_MS,
    ArrowRight: moment + STEP_MS,
    ArrowUp: moment + STEP_MS,
    PageDown: moment - LONG_STEP_MS,
    PageUp: moment + LONG_STEP_MS,
    Home: reach.from,
    End: reach.to,
  }[key];
  return to === undefined ? undefined : Math.min(reach.to, Math.max(reach.from, to));
}

const TICKS_MS = [1, 2, 5, 10, 15, 30, 60].map(minutes => minutes * 60_000);

/** Round moments (full minutes) within the reach, at most `most` of them. */
export function ticks({ from, to }: Reach, most: number): number[] {
  const step = TICKS_MS.find(ms => (to - from) / ms <= most);
  if (!step) return [];
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, i) => first + i * step);
}

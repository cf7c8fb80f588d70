/** Numbers on charts and in tables. */

const MOST_DECIMALS = 6;

/** Some room above and below; a signal that stands still is in the middle; what is never below 0 has no room there. */
export function roomy(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !Number.isFinite(low + high)) return [0, 1];
  const room = (high - low) * 0.08 || Math.max(Math.abs(high) * 0.02, 0.5);
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

/** A number as it was sent, without the noise of floats: at most `decimals` of them. */
export function exact(value: number, decimals: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: decimals });
}

/** A number of a scale that goes by `step`: with the decimals that tell its steps apart, all with the same. */
export function stepped(value: number, step: number): string {
  let decimals = 0;
  for (let rest = step; decimals < MOST_DECIMALS && Math.abs(rest - Math.round(rest)) > 1e-6; rest *= 10) decimals++;
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

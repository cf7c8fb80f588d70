/** How often the map is worth drawing while vehicles move. */

const FASTEST_MPS = 15; // what a vehicle in a city drives
const STEP_PX = 0.5; // a smaller step is not seen
const MOST = 30;
const LEAST = 2;
const EQUATOR_M = 40_075_017;

/** Frames a second at which no vehicle steps visibly. `scale`: px of the world's width; `speed`: of a replay. */
export function framesPerSecond(scale: number, latitude: number, speed = 1): number {
  const metresPerPx = (EQUATOR_M * Math.cos((latitude * Math.PI) / 180)) / scale;
  return Math.max(LEAST, Math.min(MOST, (FASTEST_MPS * speed) / metresPerPx / STEP_PX));
}

/** Which vehicle is under the pointer. */

import { HIDDEN, type Motion } from "../fleet/motion.ts";

/** The slot nearest to a point of the map (mercator), within `radius` (of the same); undefined when none is. */
export function pick(motion: Motion, x: number, y: number, radius: number, now: number): number | undefined {
  let best: number | undefined;
  let nearest = radius * radius;
  for (let slot = 0; slot < motion.count; slot++) {
    if (motion.weight[slot] === HIDDEN) continue;
    const [atX, atY] = motion.at(slot, now);
    const dx = atX - x - Math.round(atX - x);
    const dy = atY - y;
    const distance = dx * dx + dy * dy;
    if (distance > nearest) continue;
    nearest = distance;
    best = slot;
  }
  return best;
}

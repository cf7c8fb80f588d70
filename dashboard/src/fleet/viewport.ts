/** What to ask for, by what is seen of the map. */

import type { Box } from "./vehicles.ts";

/** What the map shows. `zoom`: of the map, world = 512 px at 0. */
export interface Viewport {
  box: Box;
  zoom: number;
}

const MARGIN = 0.25; // of each side, so that a small move shows nothing stale

/** ms between frames: who sees a city from afar sees no metre. */
export function intervalOf(zoom: number): number {
  if (zoom < 9) return 2_000;
  if (zoom < 13) return 1_000;
  return zoom < 15 ? 500 : 200;
}

/** The box with a margin around it, within the world. */
export function padded([west, south, east, north]: Box): Box {
  const width = east - west;
  const height = north - south;
  const bottom = Math.max(-90, south - height * MARGIN);
  const top = Math.min(90, north + height * MARGIN);
  if (width * (1 + 2 * MARGIN) >= 360) return [-180, bottom, 180, top];
  return [wrapped(west - width * MARGIN), bottom, wrapped(east + width * MARGIN), top];
}

/** Whether what was asked for serves what is seen now: all of it is in, and not much else. */
export function serves(asked: Box, seen: Box): boolean {
  const x = span(asked);
  const y = asked[3] - asked[1];
  const west = offset(asked, seen[0]);
  const width = seen[2] - seen[0];
  const inside = x >= 360 || (west >= 0 && west + width <= x);
  const tight = x <= Math.min(360, width * (1 + 4 * MARGIN)) && y <= (seen[3] - seen[1]) * (1 + 4 * MARGIN);
  return inside && tight && asked[1] <= Math.max(-90, seen[1]) && Math.min(90, seen[3]) <= asked[3];
}

function wrapped(longitude: number): number {
  return ((((longitude + 180) % 360) + 360) % 360) - 180;
}

function span([west, , east]: Box): number {
  return east >= west ? east - west : east - west + 360;
}

function offset([west]: Box, longitude: number): number {
  return (((longitude - west) % 360) + 360) % 360;
}

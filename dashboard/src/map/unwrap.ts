/**
 * Rings that go on over the antimeridian.
 *
 * The atlas is drawn on a sphere: a ring may step from 180° to −180°, or go around a pole. On a plane it goes on at
 * 181°, and one that has gone around a pole is closed along the edge of the map.
 */

import type { MultiPolygon, Polygon, Position } from "geojson";

const POLE = 89.9;

export function unwrapped<Shape extends Polygon | MultiPolygon>(shape: Shape): Shape {
  if (shape.type === "Polygon") return { ...shape, coordinates: shape.coordinates.map(ring) };
  return { ...shape, coordinates: shape.coordinates.map(polygon => polygon.map(ring)) };
}

function ring(points: Position[]): Position[] {
  let turn = 0;
  let before = points[0]?.[0] ?? 0;
  const out = points.map(([x = 0, y = 0]) => {
    if (x - before > 180) turn -= 360;
    else if (before - x > 180) turn += 360;
    before = x;
    return [x + turn, y];
  });
  if (turn === 0) return out;
  const [first, last] = [out[0], out.at(-1)] as [Position, Position];
  const pole = Math.sign(first[1] as number) * POLE;
  return [...out, [last[0] as number, pole], [first[0] as number, pole], first];
}

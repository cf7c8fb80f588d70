import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import type { MultiPolygon, Position } from "geojson";
import { feature } from "topojson-client";
import { unwrapped } from "../../src/map/unwrap.ts";

test("what does not cross is as it was", () => {
  const ring = [[0, 0], [10, 0], [10, 10], [0, 0]] as Position[]; // biome-ignore format: a shape
  const shape = { type: "Polygon" as const, coordinates: [ring] };
  assert.deepEqual(unwrapped(shape), shape);
});

test("a ring goes on over 180°, and back", () => {
  const ring = [[170, 60], [-170, 60], [-170, 70], [170, 70], [170, 60]]; // biome-ignore format: a shape
  const { coordinates } = unwrapped({ type: "Polygon", coordinates: [ring] });
  assert.deepEqual(coordinates[0], [[170, 60], [190, 60], [190, 70], [170, 70], [170, 60]]); // biome-ignore format: a shape
});

test("a ring around a pole is closed along the edge", () => {
  const ring = [[0, -70], [120, -70], [-120, -70], [0, -70]]; // biome-ignore format: a shape
  const { coordinates } = unwrapped({ type: "Polygon", coordinates: [ring] });
  assert.deepEqual(coordinates[0]?.slice(3), [[360, -70], [360, -89.9], [0, -89.9], [0, -70]]); // biome-ignore format: a shape
});

test("no edge of the atlas' land goes across the map", async () => {
  const atlas = JSON.parse(
    await readFile(createRequire(import.meta.url).resolve("world-atlas/countries-50m.json"), "utf8"),
  );
  const land = feature(atlas, atlas.objects.land) as unknown as { features: { geometry: MultiPolygon }[] };
  for (const { geometry } of land.features)
    for (const ring of unwrapped(geometry).coordinates.flat())
      ring.forEach(([x = 0, y = 0], i) => {
        const [before = x] = ring[i - 1] ?? [];
        assert.ok(Math.abs(x - before) <= 180 || y < -89, `${before} to ${x} at ${y}`);
      });
});

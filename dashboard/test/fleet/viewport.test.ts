import assert from "node:assert/strict";
import { test } from "node:test";
import type { Box } from "../../src/fleet/vehicles.ts";
import { intervalOf, padded, serves } from "../../src/fleet/viewport.ts";

test("the nearer, the more often", () => {
  const intervals = [0, 8, 10, 14, 18].map(intervalOf);
  assert.deepEqual(
    intervals,
    intervals.toSorted((a, b) => b - a),
  );
  assert.ok((intervals[0] as number) > (intervals.at(-1) as number));
});

test("a margin on each side, within the world", () => {
  assert.deepEqual(padded([0, 0, 4, 4]), [-1, -1, 5, 5]);
  assert.deepEqual(padded([-170, -80, 170, 88]), [-180, -90, 180, 90]);
  assert.deepEqual(padded([176, 0, 180, 4]), [175, -1, -179, 5]);
  assert.deepEqual(padded([-190, 0, -186, 4]), [169, -1, 175, 5]);
});

test("a small move is served, a large one and a much closer look are not", () => {
  const asked = padded([0, 0, 4, 4]);
  assert.ok(serves(asked, [0, 0, 4, 4]));
  assert.ok(serves(asked, [0.5, -0.5, 4.5, 3.5]));
  assert.ok(!serves(asked, [2, 0, 6, 4]));
  assert.ok(!serves(asked, [1, 1, 2, 2]));
  assert.ok(!serves(asked, [-4, -4, 8, 8]));
});

test("what is padded serves what it was made of, wherever that is", () => {
  const views: Box[] = [
    [177, -20, 182, -16],
    [-183, -20, -178, -16],
    [-250, -85, 250, 85],
    [-170, 10, 60, 80],
    [13.3, 52.4, 13.5, 52.6],
  ];
  for (const view of views) assert.ok(serves(padded(view), view), String(view));
});

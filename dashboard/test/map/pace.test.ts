import assert from "node:assert/strict";
import { test } from "node:test";
import { framesPerSecond } from "../../src/map/pace.ts";

const at = (zoom: number, speed?: number) => framesPerSecond(512 * 2 ** zoom, 52.5, speed);

test("as smooth as it gets at a street, seldom where nothing is seen to move", () => {
  assert.equal(at(17), 30);
  assert.equal(at(5), 2);
  assert.ok(at(13) > 2 && at(13) < 30);
});

test("a fast replay is drawn more often", () => {
  assert.ok(Math.abs(at(12, 4) / at(12) - 4) < 1e-9);
  assert.equal(at(14, 60), 30);
});

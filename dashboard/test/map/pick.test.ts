import assert from "node:assert/strict";
import { test } from "node:test";
import { Motion } from "../../src/fleet/motion.ts";
import { pick } from "../../src/map/pick.ts";

function fleet(...places: [number, number][]): Motion {
  const motion = new Motion();
  for (const [x, y] of places) {
    const slot = motion.take();
    motion.move(slot, x, y, 0, 0);
    motion.paint(slot, 0, 1);
  }
  return motion;
}

test("the nearest within reach", () => {
  const motion = fleet([0.5, 0.5], [0.52, 0.5]);
  assert.equal(pick(motion, 0.512, 0.5, 0.05, 0), 1);
  assert.equal(pick(motion, 0.508, 0.5, 0.05, 0), 0);
  assert.equal(pick(motion, 0.7, 0.5, 0.05, 0), undefined);
});

test("where it is drawn now, not where it goes", () => {
  const motion = fleet([0.5, 0.5]);
  motion.move(0, 0.50002, 0.5, 0, 1_000);
  assert.equal(pick(motion, 0.5, 0.5, 1e-6, 1_000), 0);
  assert.equal(pick(motion, 0.50002, 0.5, 1e-6, 1_000), undefined);
  assert.equal(pick(motion, 0.50002, 0.5, 1e-6, 3_000), 0);
});

test("nobody who is hidden, and over the antimeridian", () => {
  const motion = fleet([0.999, 0.5], [0.001, 0.5]);
  motion.paint(0, 0, 0);
  assert.equal(pick(motion, 0.9995, 0.5, 0.01, 0), 1);
});

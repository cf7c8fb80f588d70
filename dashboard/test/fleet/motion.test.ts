import assert from "node:assert/strict";
import { test } from "node:test";
import { Motion, mercator } from "../../src/fleet/motion.ts";

test("the centre and the corners of the map", () => {
  assert.deepEqual(mercator(0, 0), [0.5, 0.5]);
  const [x, y] = mercator(-180, 85.051129);
  assert.equal(x, 0);
  assert.ok(Math.abs(y) < 1e-6);
  assert.ok(Number.isFinite(mercator(0, -90)[1]));
});

test("the first position is where it is; the next one is reached in about the time between two readings", () => {
  const motion = new Motion();
  const slot = motion.take();
  motion.move(slot, 0.5, 0.5, 90, 1_000);
  assert.deepEqual(motion.at(slot, 1_000), [0.5, 0.5]);
  motion.move(slot, 0.50001, 0.5, 90, 2_000);
  assert.deepEqual(motion.at(slot, 2_000), [0.5, 0.5]);
  const [halfway] = motion.at(slot, 2_550);
  assert.ok(Math.abs(halfway - 0.500005) < 1e-9, String(halfway));
  assert.deepEqual(motion.at(slot, 3_100), [0.50001, 0.5]);
  assert.equal(motion.stillAt, 3_100);
});

test("a reading on the way turns it off from where it is drawn, without a jump", () => {
  const motion = new Motion();
  const slot = motion.take();
  motion.move(slot, 0.5, 0.5, 0, 0);
  motion.move(slot, 0.50001, 0.5, 0, 1_000);
  const before = motion.at(slot, 1_400);
  motion.move(slot, 0.50002, 0.50001, 0, 1_400);
  assert.deepEqual(motion.at(slot, 1_400), before);
});

test("who is far away, or was not heard of for long, jumps", () => {
  const motion = new Motion();
  const slot = motion.take();
  motion.move(slot, 0.5, 0.5, 0, 0);
  motion.move(slot, 0.6, 0.5, 0, 1_000);
  assert.deepEqual(motion.at(slot, 1_000), [0.6, 0.5]);
  motion.move(slot, 0.60001, 0.5, 0, 60_000);
  assert.deepEqual(motion.at(slot, 60_000), [0.60001, 0.5]);
});

test("it turns the shorter way", () => {
  const motion = new Motion();
  const slot = motion.take();
  motion.move(slot, 0.5, 0.5, 350, 0);
  motion.move(slot, 0.50001, 0.5, 10, 1_000);
  assert.ok(Math.abs(motion.headingAt(slot, 1_550) - 360) < 1e-9);
});

test("a heading that comes later is taken at once", () => {
  const motion = new Motion();
  const slot = motion.take();
  motion.move(slot, 0.5, 0.5, Number.NaN, 0);
  assert.ok(Number.isNaN(motion.headingAt(slot, 0)));
  motion.move(slot, 0.50001, 0.5, 45, 1_000);
  assert.equal(motion.headingAt(slot, 1_000), 45);
});

test("nothing moves while positions stay", () => {
  const motion = new Motion();
  const slot = motion.take();
  motion.move(slot, 0.5, 0.5, 0, 0);
  motion.move(slot, 0.5, 0.5, 0, 1_000);
  assert.equal(motion.stillAt, 0);
});

test("what changed is told once, as a range", () => {
  const motion = new Motion();
  const slots = [motion.take(), motion.take(), motion.take(), motion.take()] as const;
  assert.deepEqual(motion.changed(), [0, 4]);
  assert.equal(motion.changed(), undefined);
  motion.move(slots[2], 0.5, 0.5, 0, 0);
  motion.paint(slots[1], 1, 1);
  assert.deepEqual(motion.changed(), [1, 3]);
  motion.paint(slots[1], 1, 1);
  assert.equal(motion.changed(), undefined);
});

test("columns grow, and keep what they had", () => {
  const motion = new Motion();
  for (let i = 0; i < 1_000; i++) motion.move(motion.take(), i / 1_000, 0.5, 0, 0);
  assert.equal(motion.count, 1_000);
  assert.deepEqual(motion.at(3, 0), [0.003, 0.5]);
  assert.deepEqual(motion.at(999, 0), [0.999, 0.5]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Motion } from "../../src/fleet/motion.ts";
import { NONE, ROW, Rows } from "../../src/map/rows.ts";

const STREET = 512 * 2 ** 20; // px of the world's width, near enough to see a kerb
const HERE: [number, number] = [0.537234567891, 0.328123456789];

function one(x: number, y: number): { motion: Motion; rows: Rows } {
  const motion = new Motion();
  motion.move(motion.take(), x, y, 90, 5_000);
  return { motion, rows: new Rows(motion) };
}

test("a pixel of a street is kept in 32 bits", () => {
  const px = 1 / STREET;
  const { rows } = one(HERE[0] + 300 * px, HERE[1] - 200.25 * px);
  assert.deepEqual(rows.write(HERE, STREET, 5_500), [0, 1]);
  assert.ok(Math.abs((rows.data[0] as number) * STREET - 300) < 0.01);
  assert.ok(Math.abs((rows.data[1] as number) * STREET + 200.25) < 0.01);
  assert.equal(rows.data[4], -0.5);
  assert.equal(rows.data[7], 90);
  assert.equal(rows.data[8], Math.fround(NONE));
});

test("only what changed is written, until the camera is far away", () => {
  const { motion, rows } = one(...HERE);
  for (let i = 0; i < 9; i++) motion.take();
  rows.write(HERE, STREET, 0);
  assert.equal(rows.write(HERE, STREET, 0), undefined);
  motion.paint(4, 1, 1);
  assert.deepEqual(rows.write([HERE[0] + 100 / STREET, HERE[1]], STREET, 0), [4, 5]);
  assert.equal(rows.data[4 * ROW + 9], 1);
  assert.deepEqual(rows.origin, HERE);
  const far: [number, number] = [HERE[0] + 10_000 / STREET, HERE[1]];
  assert.deepEqual(rows.write(far, STREET, 0), [0, 10]);
  assert.deepEqual(rows.origin, far);
});

test("time begins anew before it gets coarse", () => {
  const { rows } = one(...HERE);
  rows.write(HERE, STREET, 1_000);
  assert.deepEqual(rows.write(HERE, STREET, 10_000_000), [0, 1]);
  assert.equal(rows.epoch, 10_000_000);
});

test("there is room for more vehicles than before", () => {
  const { motion, rows } = one(...HERE);
  rows.write(HERE, STREET, 0);
  for (let i = 0; i < 500; i++) motion.take();
  assert.deepEqual(rows.write(HERE, STREET, 0), [0, 501]);
  assert.ok(rows.data.length >= 501 * ROW);
});

test("over the antimeridian, the copy of the world that is nearer", () => {
  const { rows } = one(0.001, 0.5);
  rows.write([0.999, 0.5], 512, 0);
  assert.ok(Math.abs((rows.data[0] as number) - 0.002) < 1e-6);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { fractionOf, keyed, momentAt, positionNow, ticks } from "../../src/replay/timebar.ts";

const HOUR = 3_600_000;
const reach = { from: 10 * HOUR, to: 11 * HOUR };

test("moments and places of the bar are each other's inverse, and stay on it", () => {
  for (let moment = reach.from; moment <= reach.to; moment += 7_777) {
    assert.equal(momentAt(fractionOf(moment, reach), reach), moment);
  }
  assert.equal(momentAt(-0.2, reach), reach.from);
  assert.equal(momentAt(1.7, reach), reach.to);
  assert.equal(fractionOf(0, reach), 0);
  assert.equal(fractionOf(12 * HOUR, reach), 1);
  assert.equal(fractionOf(5, { from: 5, to: 5 }), 1, "nothing to play: it is at the present");
});

test("between reports it goes on at its speed, and never beyond the present", () => {
  const head = { position: 1_000, speed: 10, at: 50_000 };
  assert.equal(positionNow(head, 50_500), 6_000);
  assert.equal(positionNow(head, 49_000), 1_000, "a clock that was put back does not play backwards");
  assert.equal(positionNow({ ...head, speed: 0 }, 90_000), 1_000);
  assert.equal(positionNow({ ...head, position: 49_000 }, 52_000), 52_000);
});

test("keys of a slider lead where one expects, and not off the bar", () => {
  const middle = 10.5 * HOUR;
  assert.equal(keyed("ArrowLeft", middle, reach), middle - 5_000);
  assert.equal(keyed("ArrowUp", middle, reach), middle + 5_000);
  assert.equal(keyed("PageDown", middle, reach), middle - 60_000);
  assert.equal(keyed("Home", middle, reach), reach.from);
  assert.equal(keyed("End", middle, reach), reach.to);
  assert.equal(keyed("PageUp", reach.to - 10, reach), reach.to);
  assert.equal(keyed("x", middle, reach), undefined);
});

test("ticks are round and few", () => {
  const hour = ticks({ from: 10 * HOUR + 61_234, to: 11 * HOUR + 61_234 }, 6);
  assert.deepEqual(
    hour,
    [10, 20, 30, 40, 50, 60].map(m => 10 * HOUR + m * 60_000),
  );
  assert.deepEqual(ticks({ from: 0, to: 90_000 }, 4), [0, 60_000]);
  assert.deepEqual(ticks({ from: 1, to: 1 }, 4), []);
});

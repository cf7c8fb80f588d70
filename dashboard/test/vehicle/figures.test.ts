import assert from "node:assert/strict";
import { test } from "node:test";
import { exact, roomy, stepped } from "../../src/vehicle/figures.ts";

test("there is room around a line, and none below what is never below 0", () => {
  assert.deepEqual(roomy(0, 50), [0, 54]);
  assert.deepEqual(roomy(-50, 50), [-58, 58]);
  assert.deepEqual(roomy(null, null), [0, 1]);
  const [low, high] = roomy(80, 80);
  assert.equal(low + high, 160, "what stands still is in the middle");
  assert.ok(high > low);
  assert.deepEqual(roomy(0, 0), [0, 0.5]);
});

test("numbers of a scale have the decimals that tell its steps apart", () => {
  assert.deepEqual(
    [36_902.5, 36_903].map(value => stepped(value, 0.5)),
    ["36,902.5", "36,903.0"],
  );
  assert.equal(stepped(22.55, 0.05), "22.55");
  assert.equal(stepped(40, 20), "40");
  assert.equal(stepped(7.5, 2.5), "7.5");
  assert.equal(stepped(0.025, 0.025), "0.025");
  assert.equal(stepped(0.1 + 0.2, 0.1), "0.3");
  assert.equal(stepped(1, 1), "1");
});

test("a value is told without the noise of floats", () => {
  assert.equal(exact(0.1 + 0.2, 6), "0.3");
  assert.equal(exact(13.4050149, 6), "13.405015");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { spans } from "../../src/vehicle/presence.ts";

test("each point holds until the next, the last until now, and before the first nobody knows", () => {
  const points = [
    { ts: 30, value: "ONLINE" },
    { ts: 50, value: "ONLINE" },
    { ts: 60, value: "OFFLINE" },
  ];
  assert.deepEqual(spans(points, 0, 100), [
    { state: undefined, from: 0, to: 30 },
    { state: "ONLINE", from: 30, to: 60 },
    { state: "OFFLINE", from: 60, to: 100 },
  ]);
});

test("what was before the window holds at its beginning, and what is after it is not told", () => {
  const points = [
    { ts: 1, value: "OFFLINE" },
    { ts: 5, value: "ONLINE" },
    { ts: 200, value: "OFFLINE" },
  ];
  assert.deepEqual(spans(points, 10, 100), [{ state: "ONLINE", from: 10, to: 100 }]);
});

test("of two points at the same time the later one counts", () => {
  const points = [
    { ts: 20, value: "ONLINE" },
    { ts: 20, value: "CONNECTIONBROKEN" },
  ];
  assert.deepEqual(spans(points, 20, 30), [{ state: "CONNECTIONBROKEN", from: 20, to: 30 }]);
});

test("nothing known is one span of nothing", () => {
  assert.deepEqual(spans([], 0, 10), [{ state: undefined, from: 0, to: 10 }]);
  assert.deepEqual(spans([], 10, 10), []);
});

test("spans cover the window without a hole, as a model that asks at each moment does", () => {
  for (let seed = 1; seed < 300; seed++) {
    const points = Array.from({ length: seed % 9 }, (_, i) => ({
      ts: (seed * 7 + i * 13) % 40,
      value: (seed + i) % 3,
    }));
    points.sort((a, b) => a.ts - b.ts);
    const found = spans(points, 5, 35);
    for (let moment = 5; moment < 35; moment++) {
      const inside = found.filter(({ from, to }) => from <= moment && moment < to);
      assert.equal(inside.length, 1, `seed ${seed}, moment ${moment}`);
      assert.equal(
        inside[0]?.state,
        points.findLast(({ ts }) => ts <= moment)?.value,
        `seed ${seed}, moment ${moment}`,
      );
    }
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { hopText, Sample } from "../../src/health/hops.ts";

test("hops are medians over the last minute", () => {
  const sample = new Sample();
  sample.add({ ts: 0, received: 900, stored: 901, read: 903 }, 910);
  for (const device of [10, 30, 20]) {
    const ts = 70_000 + device;
    sample.add({ ts, received: ts + device, stored: ts + device + 2, read: ts + device + 3 }, ts + device + 7);
  }
  assert.deepEqual(sample.medians(), { bridge: 20, redis: 2, node: 1, here: 4 });
  assert.equal(sample.size, 3, "the first is more than a minute old");
});

test("of an even number it is the middle of the two in the middle", () => {
  const sample = new Sample();
  sample.add({ ts: 0, received: 1 }, 10);
  sample.add({ ts: 0, received: 4 }, 10);
  assert.equal(sample.medians().bridge, 2.5);
});

test("what was not told, or does not tell of the way, is left out", () => {
  const sample = new Sample();
  assert.deepEqual(sample.medians(), { bridge: undefined, redis: undefined, node: undefined, here: undefined });
  sample.add({ ts: 5, received: 5, stored: 6, clock: "arrival" }, 9);
  assert.deepEqual(sample.medians(), { bridge: undefined, redis: 1, node: undefined, here: undefined });
  sample.add({ ts: 5, received: 90_000, stored: 90_001, historical: true }, 9);
  assert.equal(sample.size, 1);
});

test("after a minute of silence nothing is known", () => {
  const sample = new Sample();
  sample.add({ ts: 0, received: 1 }, 10);
  sample.forget(60_011);
  assert.equal(sample.medians().bridge, undefined);
});

test("clocks that disagree are about no time, and long hops are told in larger units", () => {
  assert.deepEqual([undefined, -40, 0.4, 0.6, 12.3, 9_999, 12_000, 3_600_000].map(hopText), [
    "–",
    "~0 ms",
    "~0 ms",
    "1 ms",
    "12 ms",
    "9999 ms",
    "12 s",
    "60 min",
  ]);
});

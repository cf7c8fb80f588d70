import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Pacer } from "../../src/replay/pacer.ts";

test("the first is done at once, then the newest of each interval", t => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const act = mock.fn();
  const pacer = new Pacer<number>(act, 250);
  for (const value of [1, 2, 3]) pacer.put(value);
  t.mock.timers.tick(249);
  assert.deepEqual(done(act), [1]);
  t.mock.timers.tick(1);
  assert.deepEqual(done(act), [1, 3]);
  pacer.put(4);
  t.mock.timers.tick(250);
  t.mock.timers.tick(1_000);
  pacer.put(5);
  assert.deepEqual(done(act), [1, 3, 4, 5]);
});

test("what was stopped is not done", t => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const act = mock.fn();
  const pacer = new Pacer<number>(act, 250);
  pacer.put(1);
  pacer.put(2);
  pacer.stop();
  t.mock.timers.tick(1_000);
  pacer.put(3);
  assert.deepEqual(done(act), [1, 3]);
});

function done(act: { mock: { calls: { arguments: unknown[] }[] } }): unknown[] {
  return act.mock.calls.map(call => call.arguments[0]);
}

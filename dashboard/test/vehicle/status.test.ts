import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionNow, connectionOf } from "../../src/vehicle/status.ts";
import { Trail } from "../../src/vehicle/trail.ts";

const NOW = 1_764_000_000_000;

function trail(...states: [ts: number, state: string][]): Trail {
  const status = new Trail(Number.POSITIVE_INFINITY);
  status.add(
    states.map(([ts, connectionState], n) => ({ id: `${NOW}-${n}`, ts, values: { connectionState } })),
    NOW,
  );
  return status;
}

test("the connection holds since it was last another one", () => {
  assert.deepEqual(connectionNow(trail([5, "OFFLINE"], [7, "ONLINE"], [9, "ONLINE"])), { kind: "online", since: 7 });
  assert.deepEqual(connectionNow(trail([5, "CONNECTIONBROKEN"])), { kind: "broken", since: 5 });
  assert.deepEqual(connectionNow(trail([5, "ONLINE"], [6, "ASLEEP"])), { kind: "unknown", since: 6 });
});

test("a state that the log no longer tells of holds since ever", () => {
  const status = trail();
  assert.deepEqual(connectionNow(status), { kind: "unknown" });
  status.state({ connectionState: "ONLINE" });
  assert.deepEqual(connectionOf(status), [{ ts: 0, value: "ONLINE" }]);
  assert.deepEqual(connectionNow(status), { kind: "online" });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Item } from "@fleetwire/client";
import { withAlerts, wording } from "../../src/fleet/alert.ts";

const item = (id: number, vehicle = "v1", values: Item["values"] = { code: id }): Item => ({
  topic: `fleets/berlin/${vehicle}/alerts`,
  id: `${id}-0`,
  ts: id,
  values,
});

test("newest first, each once, from history and live in any order", () => {
  const live = withAlerts([], [item(5)]);
  const both = withAlerts(live, [item(3), item(4), item(5)]);
  assert.deepEqual(
    both.map(alert => alert.ts),
    [5, 4, 3],
  );
  assert.equal(withAlerts(both, [item(4)]), both);
});

test("ids are unique within a topic only", () => {
  assert.equal(withAlerts([], [item(1, "v1"), item(1, "v2")]).length, 2);
});

test("the oldest make room", () => {
  const many = withAlerts(
    [],
    Array.from({ length: 500 }, (_, i) => item(i)),
  );
  assert.equal(many.length, 200);
  assert.equal(many[0]?.ts, 499);
});

test("what it says", () => {
  const [alert] = withAlerts([], [item(1, "v1", { BatteryLow: true, level: 4.5, text: "stop" })]);
  assert.ok(alert);
  assert.equal(alert.vehicle, "fleets/berlin/v1");
  assert.equal(wording(alert), "BatteryLow · level 4.5 · stop");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { ofKind, vehicleOf } from "../../src/fleet/topics.ts";

test("the vehicle of a topic", () => {
  assert.equal(vehicleOf("fleets/berlin/v42/telemetry"), "fleets/berlin/v42");
});

test("the other topics of the vehicles of a filter", () => {
  assert.equal(ofKind("fleets/+/+/telemetry", "status"), "fleets/+/+/status");
  assert.equal(ofKind("fleets/berlin/+/telemetry", "alerts"), "fleets/berlin/+/alerts");
  assert.equal(ofKind("fleets/berlin/#", "status"), "fleets/berlin/+/status");
  assert.equal(ofKind("fleets/#", "status"), "fleets/+/+/status");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { byName, type Column, ordered } from "../../src/fleet/order.ts";
import type { Vehicle } from "../../src/fleet/vehicles.ts";

function vehicle(name: string, more: Partial<Vehicle> = {}): Vehicle {
  const topic = `fleets/berlin/${name}`;
  return {
    ...{ topic, fleet: "berlin", name, slot: 0, status: "online", values: {}, ts: 0, placed: false, inView: true },
    ...more,
  };
}

const FLEET = byName([
  vehicle("v10", { status: "offline", values: { Speed: 5 }, ts: 300 }),
  vehicle("v9", { status: "broken", ts: 0 }),
  vehicle("v1", { values: { Speed: 50 }, ts: 100 }),
  vehicle("v2", { values: { Speed: 5 }, ts: 200 }),
]);

function names(column: Column, descending = false): string {
  return ordered(FLEET, { column, descending }, "Speed", () => true)
    .map(({ name }) => name)
    .join(" ");
}

test("numbers in names count as numbers", () => {
  assert.equal(names("name"), "v1 v2 v9 v10");
  assert.equal(names("name", true), "v10 v9 v2 v1");
});

test("by value, the name decides among equals, and who has none is last both ways", () => {
  assert.equal(names("value"), "v2 v10 v1 v9");
  assert.equal(names("value", true), "v1 v2 v10 v9");
});

test("the youngest first, the oldest first, and who never said anything last", () => {
  assert.equal(names("age"), "v10 v2 v1 v9");
  assert.equal(names("age", true), "v1 v2 v10 v9");
});

test("by status", () => assert.equal(names("status"), "v1 v2 v10 v9"));

test("only some, and the order of names stays as it was", () => {
  const some = ordered(FLEET, { column: "name", descending: true }, "Speed", ({ name }) => name !== "v9");
  assert.equal(some.map(({ name }) => name).join(" "), "v10 v2 v1");
  assert.equal(FLEET[0]?.name, "v1");
});

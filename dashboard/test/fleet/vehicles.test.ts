import assert from "node:assert/strict";
import { test } from "node:test";
import type { Item } from "@fleetwire/client";
import { FAINT, FULL, HIDDEN } from "../../src/fleet/motion.ts";
import { type Box, type Vehicle, Vehicles } from "../../src/fleet/vehicles.ts";

const BERLIN: Box = [13, 52, 14, 53];

function reading(name: string, values: Item["values"], more: Partial<Item> = {}): Item {
  return { topic: `fleets/berlin/${name}/telemetry`, id: "1-0", ts: 1_000, values, ...more };
}

function at(name: string, longitude: number, latitude: number, more: Partial<Item> = {}): Item {
  return reading(name, { "CurrentLocation.Longitude": longitude, "CurrentLocation.Latitude": latitude }, more);
}

function status(name: string, connectionState: string): Item {
  return { topic: `fleets/berlin/${name}/status`, id: "1-0", ts: 1, values: { connectionState } };
}

function the(vehicles: Vehicles, name: string): Vehicle {
  const vehicle = vehicles.byTopic.get(`fleets/berlin/${name}`);
  assert.ok(vehicle, name);
  return vehicle;
}

const weight = (vehicles: Vehicles, name: string) => vehicles.motion.weight[the(vehicles, name).slot];

test("readings and states come together under the vehicle's name", () => {
  const vehicles = new Vehicles();
  vehicles.statuses([status("v1", "ONLINE"), status("v2", "OFFLINE"), status("v3", "CONNECTIONBROKEN")]);
  vehicles.readings([at("v1", 13.4, 52.5), reading("v4", { Speed: 3 })], 0);
  assert.deepEqual(vehicles.counts(), { online: 1, offline: 1, broken: 1, unknown: 1 });
  assert.equal(vehicles.members, 4);
  assert.equal(vehicles.located, 1);
  assert.equal(the(vehicles, "v1").fleet, "berlin");
});

test("a delta leaves what it does not name; half a position is completed by the other half", () => {
  const vehicles = new Vehicles();
  vehicles.readings([at("v1", 13.4, 52.5), at("v2", 13.4, 52.5)], 0);
  vehicles.readings([reading("v1", { "CurrentLocation.Latitude": 52.5001 }, { ts: 2_000 })], 1_000);
  const { slot, values, ts } = the(vehicles, "v1");
  assert.equal(values["CurrentLocation.Longitude"], 13.4);
  assert.equal(ts, 2_000);
  const other = the(vehicles, "v2").slot;
  assert.equal(vehicles.motion.toX[slot], vehicles.motion.toX[other]);
  assert.ok((vehicles.motion.toY[slot] as number) < (vehicles.motion.toY[other] as number));
});

test("who leaves stays known, faintly, where it left", () => {
  const vehicles = new Vehicles();
  vehicles.readings([at("v1", 13.4, 52.5)], 0);
  assert.equal(weight(vehicles, "v1"), FULL);
  vehicles.readings([at("v1", 14.1, 52.5, { event: "leave" })], 1_000);
  assert.equal(the(vehicles, "v1").inView, false);
  assert.equal(weight(vehicles, "v1"), FAINT);
});

test("whom a whole snapshot does not name is not where it was", () => {
  const vehicles = new Vehicles();
  vehicles.readings([at("v1", 13.4, 52.5), at("v2", 13.5, 52.5), at("v3", 20, 50)], 0);
  vehicles.begin();
  vehicles.readings([at("v1", 13.4, 52.5)], 1_000);
  vehicles.end(BERLIN);
  assert.equal(weight(vehicles, "v1"), FULL);
  assert.equal(weight(vehicles, "v2"), HIDDEN, "it would be in the box if it were still there");
  assert.equal(weight(vehicles, "v3"), FAINT);
  assert.deepEqual(
    [...vehicles.byTopic.values()].map(vehicle => vehicle.inView),
    [true, false, false],
  );
});

test("a snapshot in several parts ends once", () => {
  const vehicles = new Vehicles();
  vehicles.readings([at("v1", 13.4, 52.5), at("v2", 13.5, 52.5)], 0);
  vehicles.begin();
  vehicles.readings([at("v1", 13.4, 52.5)], 1_000);
  vehicles.begin();
  vehicles.readings([at("v2", 13.5, 52.5)], 1_000);
  vehicles.end(BERLIN);
  assert.equal(weight(vehicles, "v1"), FULL);
  assert.equal(weight(vehicles, "v2"), FULL);
});

test("the roster, which is older, does not move who is in view", () => {
  const vehicles = new Vehicles();
  vehicles.readings([at("v1", 13.4, 52.5)], 0);
  vehicles.readings([at("v1", 13.0, 52.0), at("v2", 13.0, 52.0)], 10, false);
  assert.equal(the(vehicles, "v1").values["CurrentLocation.Longitude"], 13.4);
  assert.equal(the(vehicles, "v1").inView, true);
  assert.equal(the(vehicles, "v2").inView, false);
});

test("a box over the antimeridian", () => {
  const vehicles = new Vehicles();
  vehicles.readings([at("v1", 179, -18), at("v2", -179, -18), at("v3", 0, -18)], 0);
  vehicles.begin();
  vehicles.end([177, -20, -178, -16]);
  assert.deepEqual([weight(vehicles, "v1"), weight(vehicles, "v2"), weight(vehicles, "v3")], [HIDDEN, HIDDEN, FAINT]);
});

test("colours by status, then by a signal with the range that was seen", () => {
  const vehicles = new Vehicles();
  vehicles.statuses([status("v1", "ONLINE"), status("v2", "CONNECTIONBROKEN")]);
  vehicles.readings([reading("v1", { Speed: 10 }), reading("v2", { Speed: 30 }), reading("v3", { Gear: "D" })], 0);
  const tints = () => ["v1", "v2", "v3"].map(name => vehicles.motion.tint[the(vehicles, name).slot]);
  assert.deepEqual(tints(), [0, 2, 3]);
  vehicles.colourBy("Speed");
  assert.deepEqual(tints(), [10, 30, Number.NaN]);
  assert.deepEqual(vehicles.range, [10, 30]);
  vehicles.readings([reading("v1", { Speed: 52 })], 1);
  assert.deepEqual(vehicles.range, [10, 52]);
});

test("others are drawn faintly", () => {
  const vehicles = new Vehicles();
  vehicles.readings([at("v1", 13.4, 52.5), at("v2", 13.4, 52.5)], 0);
  vehicles.stress(vehicle => vehicle.name === "v2");
  assert.equal(weight(vehicles, "v1"), FAINT);
  assert.equal(weight(vehicles, "v2"), FULL);
});

test("the bounds of all positions", () => {
  const vehicles = new Vehicles();
  assert.equal(vehicles.bounds(), undefined);
  vehicles.readings([at("v1", 13.4, 52.5), at("v2", 2.3, 48.9), reading("v3", { Speed: 1 })], 0);
  assert.deepEqual(vehicles.bounds(), [2.3, 48.9, 13.4, 52.5]);
});

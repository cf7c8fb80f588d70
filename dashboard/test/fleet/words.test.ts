import assert from "node:assert/strict";
import { test } from "node:test";
import { age, moment, number, say, shortName, unitOf } from "../../src/fleet/words.ts";

test("ages, as short as they go", () => {
  assert.deepEqual([-50, 999, 59_999, 60_000, 3_600_000, 90_000_000].map(age), [
    "0 s",
    "0 s",
    "59 s",
    "1 min",
    "1 h",
    "1 d",
  ]);
});

test("numbers and other values", () => {
  assert.equal(number(12.345), "12.3");
  assert.equal(number(12_345.6), "12,346");
  assert.equal(say(undefined), "–");
  assert.equal(say(false), "false");
  assert.equal(say({ min: 1 }), '{"min":1}');
});

test("names of signals", () => {
  assert.equal(shortName("Speed"), "Speed");
  assert.equal(shortName("Powertrain.TractionBattery.StateOfCharge.Current"), "State of charge");
  assert.equal(shortName("Powertrain.TractionBattery.Temperature.Average"), "Temperature");
  assert.equal(unitOf("Powertrain.TractionBattery.Temperature.Average"), "°C");
  assert.equal(unitOf("CurrentLocation.Latitude"), "");
});

test("the day is told when it is another", () => {
  const now = new Date(2026, 4, 3, 12, 0, 0).getTime();
  assert.equal(moment(new Date(2026, 4, 3, 9, 5, 7).getTime(), now), "09:05:07");
  assert.equal(moment(new Date(2026, 4, 2, 9, 5, 7).getTime(), now), "2 May 09:05:07");
});

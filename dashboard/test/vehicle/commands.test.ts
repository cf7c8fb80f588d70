import assert from "node:assert/strict";
import { test } from "node:test";
import { Commands, dataOf, reasonOf, refusalOf } from "../../src/vehicle/commands.ts";

test("a command is on its way, stored, being carried out, done", () => {
  const commands = new Commands();
  const outcome = () => commands.list[0]?.outcome;
  const key = commands.send("stop", 100);
  assert.equal(outcome(), "SENDING");
  commands.accepted(key, "5-0");
  assert.equal(outcome(), "PENDING");
  commands.replied({ correlation: "5-0", status: "IN_PROGRESS", reason: "braking" }, 120);
  assert.equal(outcome(), "IN_PROGRESS");
  commands.replied({ correlation: "5-0", status: "SUCCEEDED", data: { speed: 0 } }, 190);
  assert.deepEqual(commands.list, [
    { key, name: "stop", sent: 100, outcome: "SUCCEEDED", took: 90, data: { speed: 0 } },
  ]);
});

test("a reply that overtakes the answer of the node is not lost", () => {
  const commands = new Commands();
  const key = commands.send("ping", 0);
  commands.replied({ correlation: "7-1", status: "SUCCEEDED" }, 8);
  commands.replied({ correlation: "6-0", status: "FAILED" }, 9);
  commands.accepted(key, "7-1");
  assert.equal(commands.list[0]?.outcome, "SUCCEEDED");
  assert.equal(commands.list[0]?.took, 8);
});

test("replies find their own command, whoever else commands the vehicle", () => {
  const commands = new Commands();
  const first = commands.send("stop", 0);
  const second = commands.send("go", 1);
  commands.accepted(second, "2-0");
  commands.accepted(first, "1-0");
  commands.replied({ correlation: "9-9", status: "FAILED" }, 5);
  commands.replied({ correlation: "1-0", status: "TIMED_OUT", reason: "offline" }, 6);
  assert.deepEqual(
    commands.list.map(({ name, outcome }) => [name, outcome]),
    [
      ["go", "PENDING"],
      ["stop", "TIMED_OUT"],
    ],
  );
  commands.replied({ correlation: "1-0", status: "SUCCEEDED" }, 90);
  assert.equal(commands.list[1]?.outcome, "SUCCEEDED", "what comes after the time is told too");
  assert.equal(commands.list[1]?.reason, undefined);
});

test("one that is refused says why, and old ones make room", () => {
  const commands = new Commands();
  commands.refused(commands.send("stop", 0), "no");
  assert.equal(commands.list[0]?.outcome, "REFUSED");
  for (let i = 0; i < 30; i++) commands.send("ping", i);
  assert.equal(commands.list.length, 20);
  assert.equal(commands.list[0]?.sent, 29);
});

test("data is an object or nothing", () => {
  assert.deepEqual(dataOf("  "), {});
  assert.deepEqual(dataOf('{"limit": 30}'), { limit: 30 });
  for (const text of ["{limit", "[1]", "null", "3", '"x"']) assert.throws(() => dataOf(text), /object/);
});

test("errors and reasons are words", () => {
  assert.match(refusalOf({ number: 404, message: "unknown" }), /Nobody has ever heard/);
  assert.match(refusalOf({ number: 507, message: "full" }), /full/);
  assert.equal(refusalOf({ number: 400, message: "ttl is too long" }), "ttl is too long.");
  assert.match(reasonOf("offline"), /not connected/);
  assert.equal(reasonOf("door_open"), "door_open");
});

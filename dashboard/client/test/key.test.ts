import assert from "node:assert/strict";
import { test } from "node:test";
import { disguised, isBatch, key } from "../src/key.ts";
import type { Ask } from "../src/types.ts";

const topic = "fleets/berlin/+/telemetry";
const range = (...parameter: object[]): Ask =>
  ({
    topic,
    filter: { Speed: { variant: "range", parameter: parameter.length === 1 ? parameter[0] : parameter } },
  }) as Ask;
const triangle: [number, number][] = [
  [0, 0],
  [1, 0],
  [0, 1],
];

const SAME: [string, Ask, Ask][] = [
  ["defaults", { topic }, { topic, strategy: "latest", interval: 100, meta: false, delta: false, snapshot: false }],
  ["where one begins", { topic }, { topic, since: "1-0" }],
  ["signals in any order", { topic, signals: ["b", "a", "b"] }, { topic, signals: ["a", "b"] }],
  ["no signals are all", { topic, signals: [] }, { topic }],
  ["functions in any order", { topic, window: ["min", "max"] }, { topic, window: ["max", "min", "max"] }],
  ["no filter", { topic, filter: {} }, { topic }],
  ["numbers as texts", range({ "logic-op": "gt", boundary: "10" }), range({ boundary: 10.0, "logic-op": "gt" })],
  [
    "two terms in any order",
    range({ "logic-op": "gt", boundary: 5 }, { "logic-op": "lt", boundary: 10 }),
    range({ "logic-op": "lt", boundary: "10", "combination-op": "AND" }, { "logic-op": "gt", boundary: 5 }),
  ],
  [
    "a closed polygon and an open one",
    { topic, geofence: { polygon: [...triangle, [0, 0]] } },
    { topic, geofence: { polygon: triangle, events: ["leave", "enter"] } },
  ],
  ["messages", { topic: "rooms/ops" }, { topic: "rooms/ops", strategy: "batch" }],
];

const OTHER: [string, Ask, Ask][] = [
  ["topics", { topic }, { topic: "fleets/#" }],
  ["intervals", { topic }, { topic, interval: 0 }],
  ["strategies", { topic }, { topic, strategy: "batch" }],
  ["boxes", { topic, bbox: [0, 0, 1, 1] }, { topic, bbox: [0, 0, 1, 2] }],
  ["deltas", { topic }, { topic, delta: true }],
  [
    "what combines terms",
    range({ "logic-op": "gt", boundary: 5 }, { "logic-op": "lt", boundary: 10 }),
    range({ "logic-op": "gt", boundary: 5, "combination-op": "OR" }, { "logic-op": "lt", boundary: 10 }),
  ],
  ["texts that are no numbers", { topic, signals: ["10"] }, { topic, signals: ["10.0"] }],
  ["replays", { topic }, { topic, from: 0 }],
];

for (const [name, one, other] of SAME) test(`the same: ${name}`, () => assert.equal(key(one), key(other)));
for (const [name, one, other] of OTHER) test(`not the same: ${name}`, () => assert.notEqual(key(one), key(other)));

test("a disguise is an interval that nobody has", () => {
  const ask: Ask = { topic, interval: 59_999 };
  const taken = new Set<string>();
  for (let count = 0; count < 10; count++) {
    const other = disguised(ask, taken);
    assert.ok((other.interval ?? 0) <= 60_000 && (other.interval ?? 0) > 0);
    assert.ok(!taken.has(key(other)));
    assert.notEqual(key(other), key(ask));
    taken.add(key(other));
  }
});

test("messages always come one by one", () => {
  for (const messages of [
    "rooms/ops",
    "rooms/#",
    "fleets/berlin/v1/replies",
    "fleets/+/+/commands",
    "+/+/+/commands",
  ])
    assert.ok(isBatch({ topic: messages }), messages);
  for (const others of ["fleets/#", "fleets/berlin/commands/telemetry", "#", "fleets/berlin/+/+"])
    assert.ok(!isBatch({ topic: others }), others);
});

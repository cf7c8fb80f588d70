import assert from "node:assert/strict";
import { test } from "node:test";
import { Progress } from "../src/progress.ts";
import type { Item, SubscriptionEvent } from "../src/protocol.ts";
import { noCounts } from "../src/stats.ts";
import type { Ask, DataEvent, Event } from "../src/types.ts";
import { seeded } from "./seeded.ts";

const topic = "fleets/berlin/+/telemetry";
const reading = (id: string, at = "fleets/berlin/v1/telemetry"): Item => ({ topic: at, id, ts: 1, values: {} });
const frame = (cursor: string, data: Item[], rest: Partial<SubscriptionEvent> = {}): SubscriptionEvent => ({
  action: "subscription",
  subscriptionId: "s",
  ts: 1,
  cursor,
  data,
  ...rest,
});
const begun = (ask: Partial<Ask> = {}) => {
  const progress = new Progress({ topic, ...ask }, noCounts());
  progress.begin();
  return progress;
};
const data = (events: Event[]) => events.filter((event): event is DataEvent => event.kind === "data");
const isWhole = (progress: Progress) => data(progress.take(frame("9-0", [], { snapshot: true })))[0]?.whole;

test("a subscription goes on from its cursor", () => {
  const progress = begun({ since: "1-0", snapshot: false });
  assert.deepEqual(progress.begin(), { topic, snapshot: false, since: "1-0" });
  progress.take(frame("2-0", [reading("2-0")]));
  assert.equal(progress.cursor, "2-0");
  assert.deepEqual(progress.begin(), { topic, snapshot: false, since: "2-0" });
});

test("an id that is not newer than the topic's last is a duplicate", () => {
  const totals = noCounts();
  const progress = new Progress({ topic, strategy: "batch" }, totals);
  const told = ["2-0", "2-1", "10-0", "2-1", "10-0", "9-9999999999"].flatMap(id =>
    data(progress.take(frame(id, [reading(id), reading(id, "fleets/berlin/v2/telemetry")]))),
  );
  assert.deepEqual(
    told.map(event => event.items.length),
    [2, 2, 2, 0, 0, 0],
  );
  assert.deepEqual([progress.counts.duplicates, progress.counts.items], [6, 6]);
  assert.deepEqual(totals, progress.counts);
});

test("a snapshot may repeat what was told, and changes nothing about what is new", () => {
  const progress = begun();
  progress.take(frame("5-0", [reading("5-0")]));
  assert.equal(data(progress.take(frame("6-0", [reading("4-0")], { snapshot: true })))[0]?.items.length, 1);
  assert.equal(data(progress.take(frame("6-0", [reading("5-0")])))[0]?.items.length, 0);
});

test("which snapshot names everything", () => {
  assert.equal(isWhole(begun()), true, "the first");
  const back = begun({ since: "1-0" });
  assert.equal(isWhole(back), false, "with since: what has changed");
  back.changed({ signals: ["Speed"] });
  assert.equal(isWhole(back), true, "of something else");
  back.changed({ interval: 5 });
  assert.equal(isWhole(back), false, "when only the interval changes");
  for (const ask of [{ bbox: [0, 0, 1, 1] }, { filter: {} }, { geofence: { polygon: [] } }] as Partial<Ask>[])
    assert.equal(isWhole(begun({ since: "1-0", ...ask })), true, JSON.stringify(ask));
  const shared = begun();
  shared.joined(back);
  assert.equal(isWhole(shared), false, "when another comes to the same, both are told what either has missed");
});

test("a snapshot of everything that was cut off begins anew", () => {
  const progress = begun();
  progress.take(frame("3-0", [reading("3-0")], { snapshot: true, more: true }));
  assert.equal(progress.midway, true);
  assert.deepEqual(progress.begin(), { topic });
  progress.take(frame("4-0", [reading("3-0")], { snapshot: true }));
  assert.deepEqual(progress.begin(), { topic, since: "4-0" });
});

test("a change while there is no connection is asked for on the next", () => {
  const changed = (ask: Partial<Ask>, change: object): Ask => {
    const progress = begun({ since: "1-0", ...ask });
    progress.postpone(change);
    return progress.begin();
  };
  assert.deepEqual(changed({}, { interval: 5 }), { topic, interval: 5, since: "1-0" });
  assert.deepEqual(changed({}, { signals: ["a"] }), { topic, signals: ["a"] }, "what is shown for the first time");
  const batch = { strategy: "batch" as const };
  assert.deepEqual(changed(batch, { signals: ["a"] }), { topic, ...batch, signals: ["a"], since: "1-0" });
  assert.deepEqual(changed({ signals: ["a"] }, { signals: null }), { topic });
  assert.deepEqual(changed({ from: 5, speed: 2 }, { from: 7 }), { topic, from: 7, speed: 2 });
  assert.deepEqual(changed({ from: 5, speed: 2 }, { speed: 0 }), { topic, from: 5, speed: 0, since: "1-0" });
  assert.deepEqual(changed({ from: 5, speed: 2 }, { from: null }), { topic });
});

test("a replay goes back, and becomes an ordinary subscription when it is live", () => {
  const progress = begun({ strategy: "batch", from: 1, speed: 2 });
  progress.take(frame("9-0", [reading("9-0")]));
  assert.deepEqual(progress.begin(), { topic, strategy: "batch", from: 1, speed: 2, since: "9-0" });
  progress.changed({ from: 3 });
  assert.equal(data(progress.take(frame("3-0", [reading("3-0")])))[0]?.items.length, 1, "an id of before");
  const where = { action: "replay" as const, subscriptionId: "s", ts: 1 };
  assert.deepEqual(progress.take({ ...where, state: "playing", position: 3, speed: 2 }), [
    { kind: "replay", state: "playing", position: 3, speed: 2 },
  ]);
  assert.deepEqual(progress.take({ ...where, state: "live" }), [{ kind: "replay", state: "live" }]);
  assert.deepEqual(progress.begin(), { topic, strategy: "batch", since: "3-0" });
});

test("a cursor that a node does not know any more is a gap, one that it never gave an error", () => {
  assert.equal(begun({ since: "nonsense" }).forget(), false);
  const progress = begun();
  progress.take(frame("5-0", []));
  assert.equal(progress.forget(), true);
  assert.deepEqual(progress.begin(), { topic });
  const events = progress.take(frame("c8", [], { snapshot: true }));
  assert.deepEqual(events[0], { kind: "gap", from: "5-0", to: "c8" });
  assert.equal(progress.counts.gaps, 1);
});

/** A log of a node, and a connection that brings it, with all that may go wrong on the way. */
function journey(seed: number): void {
  const { chance, below } = seeded(seed);
  const stored: Item[] = [];
  let kept = 0; // the log begins here
  let sent = 0;
  const order = (id: string) => Number(id.split("-")[0]) * 10 + Number(id.split("-")[1]);
  const idAt = (index: number) => `${Math.floor(index / 10)}-${index % 10}`;
  const progress = new Progress({ topic, strategy: "batch", since: idAt(0) }, noCounts());
  const seen: string[] = [];
  const gone = new Set<string>();
  const told = (events: Event[]) => {
    for (const event of events) {
      if (event.kind === "data") seen.push(...event.items.map(item => `${item.topic} ${item.id}`));
      if (event.kind === "gap")
        for (const item of stored)
          if (order(item.id) > order(event.from) && order(item.id) <= order(event.to))
            gone.add(`${item.topic} ${item.id}`);
    }
  };
  const store = () => stored.push(reading(idAt(stored.length + 1), `fleets/berlin/v${below(3)}/telemetry`));
  const deliver = () => {
    const until = Math.min(stored.length, sent + 1 + below(5));
    if (until > sent) told(progress.take(frame(idAt(until), stored.slice(sent, until))));
    sent = Math.max(sent, until);
  };
  const comeBack = () => {
    sent = order(progress.begin().since as string);
    if (sent < kept) {
      told(progress.take({ action: "gap", subscriptionId: "s", ts: 1, from: idAt(sent), to: idAt(kept) }));
      sent = kept;
    }
  };
  const repeat = () => {
    sent = Math.max(kept, sent - below(4)); // another subscription, merged into this, was behind
  };
  const trim = () => {
    kept = Math.max(kept, stored.length - below(4));
  };
  for (let step = 0; step < 300; step++) {
    const dice = chance();
    if (dice < 0.5) store();
    else if (dice < 0.85) deliver();
    else if (dice < 0.92) repeat();
    else if (dice < 0.97) comeBack();
    else {
      trim();
      comeBack();
    }
  }
  while (sent < stored.length) deliver();
  assert.equal(new Set(seen).size, seen.length, `seed ${seed}: something was told twice`);
  const missed = stored.map(item => `${item.topic} ${item.id}`).filter(one => !seen.includes(one) && !gone.has(one));
  assert.deepEqual(missed, [], `seed ${seed}: something was missed`);
}

test("whatever goes wrong, each reading is told once, or is in a gap", () => {
  for (let seed = 1; seed <= 200; seed++) journey(seed);
});

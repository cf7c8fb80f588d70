import assert from "node:assert/strict";
import { test } from "node:test";
import { key } from "../src/key.ts";
import { Roster } from "../src/roster.ts";
import { noCounts } from "../src/stats.ts";
import { Subscription } from "../src/subscription.ts";
import { ModelNode } from "./model.ts";
import { seeded } from "./seeded.ts";

const topic = "fleets/berlin/+/telemetry";

/** Let promises go on. */
const settled = () => new Promise(resolve => setImmediate(resolve));

/** Subscriptions that come, change and go, while the line is cut now and then: what is left of them, and the node. */
async function life(seed: number): Promise<void> {
  const { chance, below } = seeded(seed);
  const roster = new Roster(noCounts(), error => assert.fail(error));
  const node = new ModelNode(frame => roster.hear(frame));
  const seen = new Map<Subscription, string[]>();
  const interval = () => 10 + below(3);
  let connected = false;

  const add = () => {
    const told: string[] = [];
    const subscription = new Subscription(
      { topic, strategy: "batch", since: "1-0", interval: interval() },
      roster,
      event => {
        assert.equal(event.kind, "data");
        if (event.kind === "data") told.push(...event.items.map(item => item.id));
      },
    );
    seen.set(subscription, told);
    roster.add(subscription);
  };
  const any = () => [...seen.keys()][below(seen.size)];
  const cut = () => {
    connected = false;
    roster.lost();
    node.cut();
  };
  const connect = () => {
    if (connected) return;
    connected = true;
    roster.resume(node.connection());
  };
  const end = () => {
    const subscription = any();
    if (subscription) subscription.unsubscribe();
    if (subscription) seen.delete(subscription);
  };

  for (let step = 0; step < 120; step++) {
    const dice = chance();
    if (dice < 0.2) node.store(`fleets/berlin/v${below(2)}/telemetry`);
    else if (dice < 0.3) add();
    else if (dice < 0.4) void any()?.update({ interval: interval() });
    else if (dice < 0.45) end();
    else if (dice < 0.5) cut();
    else if (dice < 0.6) connect();
    else if (dice < 0.8) node.answer();
    else node.flush(below(5), 1 + below(4));
    if (chance() < 0.5) await settled();
  }
  connect();
  for (let quiet = 0; quiet < 3; ) {
    node.answer();
    for (let member = 0; member < node.size; member++) node.flush(member, 100);
    await settled();
    quiet = node.idle ? quiet + 1 : 0;
  }
  const everything = node.log.map(item => item.id);
  for (const [subscription, told] of seen) {
    const sorted = [...told].sort((a, b) => Number(a.slice(2)) - Number(b.slice(2)));
    assert.deepEqual(sorted, everything, `seed ${seed}: ${JSON.stringify(subscription.ask)}`);
  }
  const asks = new Set([...seen.keys()].map(subscription => key(subscription.ask)));
  assert.equal(node.size, asks.size, `seed ${seed}: those that ask for the same are one at the node, and no others`);
}

test("whoever comes, changes and goes, all are told everything once", async () => {
  for (let seed = 1; seed <= 150; seed++) await life(seed);
});

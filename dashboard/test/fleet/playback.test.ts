import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Playback } from "../../src/fleet/playback.ts";

function clock(t: { after(end: () => void): void }): { pass(ms: number): void } {
  let now = 0;
  const real = mock.method(performance, "now", () => now);
  t.after(() => real.mock.restore());
  return {
    pass(ms) {
      now += ms;
    },
  };
}

test("what the node says of a replay, and the moment that is shown between two words of it", t => {
  const time = clock(t);
  const playback = new Playback(() => []);
  playback.told({ kind: "replay", state: "playing", position: 1_000, speed: 10 });
  time.pass(500);
  assert.equal(playback.now(), 6_000);
  playback.told({ kind: "replay", state: "paused", position: 6_100 });
  time.pass(500);
  assert.equal(playback.now(), 6_100);
  const mode = playback.mode.peek();
  assert.ok(mode.kind === "replaying" && mode.state === "paused" && mode.speed === 10);
  playback.told({ kind: "replay", state: "live" });
  assert.deepEqual(playback.mode.peek(), { kind: "live" });
});

test("seeking keeps the pace and the pause", async t => {
  const time = clock(t);
  const playback = new Playback(() => []);
  await playback.seek(50_000);
  await playback.play(30);
  time.pass(100);
  assert.equal(playback.now(), 53_000);
  await playback.pause();
  await playback.seek(20_000);
  time.pass(1_000);
  assert.equal(playback.now(), 20_000);
  const mode = playback.mode.peek();
  assert.ok(mode.kind === "replaying" && mode.state === "paused" && mode.speed === 30);
});

test("there is nothing to play while it is live", async () => {
  const playback = new Playback(() => []);
  await playback.play(5);
  await playback.pause();
  assert.deepEqual(playback.mode.peek(), { kind: "live" });
});

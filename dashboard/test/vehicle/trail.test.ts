import assert from "node:assert/strict";
import { test } from "node:test";
import { compareIds, idOf } from "../../src/vehicle/ids.ts";
import { type Reading, Trail } from "../../src/vehicle/trail.ts";

const NOW = 1_764_000_000_000;
const MINUTE = 60_000;

function reading(ms: number, values: Reading["values"], n = 0): Reading {
  return { id: `${ms}-${n}`, ts: ms, values };
}

/** The same numbers for the same seed, 0 to 1. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

test("ids compare as numbers, not as text", () => {
  const texts = ["1764000000000-10", "999-3", "1764000000000-9", "1764000000001-0"];
  const sorted = texts.map(idOf).sort(compareIds);
  assert.deepEqual(sorted, [
    [999, 3],
    [1764000000000, 9],
    [1764000000000, 10],
    [1764000000001, 0],
  ]);
});

test("history and live, in any order and with doubles, make the trail that the readings are", () => {
  for (let seed = 0; seed < 200; seed++) {
    const next = random(seed);
    const stored = Array.from({ length: 40 }, (_, i) =>
      reading(NOW - 20 * MINUTE + Math.floor(i / 2) * MINUTE, { Speed: i, ...(next() < 0.5 && { Gear: "D" }) }, i),
    );
    const trail = new Trail(15 * MINUTE);
    const coming = [...stored, ...stored.filter(() => next() < 0.4)].sort(() => next() - 0.5);
    while (coming.length) trail.add(coming.splice(0, 1 + Math.floor(next() * 5)), NOW);

    const model = stored.filter(({ ts }) => ts >= NOW - 15 * MINUTE);
    assert.equal(trail.size, model.length, `seed ${seed}`);
    assert.deepEqual(
      trail.points("Speed").map(({ value }) => value),
      model.map(({ values }) => values.Speed),
      `seed ${seed}`,
    );
    assert.equal(trail.latest.get("Speed")?.value, 39, `seed ${seed}`);
  }
});

test("what is older than the span falls out", () => {
  const trail = new Trail(15 * MINUTE);
  trail.add([reading(NOW - 14 * MINUTE, { Speed: 1 }), reading(NOW, { Speed: 2 })], NOW);
  const before = trail.version;
  trail.forget(NOW + 2 * MINUTE);
  assert.deepEqual(trail.points("Speed"), [{ ts: NOW, value: 2 }]);
  assert.ok(trail.version > before);
  trail.forget(NOW + 20 * MINUTE);
  assert.equal(trail.size, 0);
  assert.equal(trail.latest.get("Speed")?.value, 2, "its last value stays known");
});

test("a late reading is drawn where it belongs, and is not the newest value", () => {
  const trail = new Trail(15 * MINUTE);
  trail.add([reading(NOW - 2_000, { Speed: 1 }), reading(NOW, { Speed: 3 })], NOW);
  trail.add([{ id: `${NOW + 5}-0`, ts: NOW - 1_000, values: { Speed: 2 } }], NOW);
  assert.deepEqual(trail.columns("Speed", NOW), { x: [NOW - 2_000, NOW - 1_000, NOW], y: [1, 2, 3] });
  assert.equal(trail.latest.get("Speed")?.value, 3);
});

test("a state tells of signals that no reading has, and of no others", () => {
  const trail = new Trail(15 * MINUTE);
  trail.state({ Speed: 1, Odometer: 7 });
  trail.add([reading(NOW, { Speed: 2 })], NOW);
  trail.state({ Speed: 1, Odometer: 8 });
  assert.deepEqual(Object.fromEntries(trail.latest), {
    Speed: { value: 2, ts: NOW, id: [NOW, 0] },
    Odometer: { value: 8 },
  });
});

test("a signal that is silent for longer than usual breaks its line, and null does", () => {
  const trail = new Trail(15 * MINUTE);
  const at = [0, 1, 2, 3, 4, 30, 31].map(s => reading(NOW + s * 1_000, { Speed: s, Slow: s % 2 ? null : s }));
  trail.add(at, NOW + 31_000);
  const { x, y } = trail.columns("Speed", NOW);
  assert.deepEqual(y, [0, 1, 2, 3, 4, null, 30, 31]);
  assert.equal(x[5], NOW + 17_000);
  assert.deepEqual(trail.columns("Slow", NOW).y, [0, null, 2, null, 4, null, 30, null]);
});

test("a signal that comes once a minute has no breaks", () => {
  const trail = new Trail(15 * MINUTE);
  trail.add(
    [0, 1, 2, 3].map(m => reading(NOW + m * MINUTE, { Fuel: m })),
    NOW + 3 * MINUTE,
  );
  assert.deepEqual(trail.columns("Fuel", NOW).y, [0, 1, 2, 3]);
});

test("a gap breaks the line where it is, also when history comes later, and until something comes", () => {
  const trail = new Trail(15 * MINUTE);
  trail.add([reading(NOW, { Speed: 1 }), reading(NOW + 1_000, { Speed: 2 })], NOW);
  trail.lose(NOW + 2_000);
  assert.deepEqual(trail.holes(NOW + 5_000), [{ from: NOW + 1_000, to: NOW + 5_000, why: "lost" }]);
  trail.add([reading(NOW + 3_000, { Speed: 3 })], NOW + 3_000);
  trail.add([reading(NOW - 1_000, { Speed: 0 })], NOW + 3_000);
  assert.deepEqual(trail.holes(NOW + 9_000), [{ from: NOW + 1_000, to: NOW + 3_000, why: "lost" }]);
  assert.deepEqual(trail.columns("Speed", NOW).y, [0, 1, 2, null, 3]);
  trail.forget(NOW + 20 * MINUTE);
  assert.deepEqual(trail.holes(NOW + 20 * MINUTE), []);
});

test("a log that was trimmed is a hole before the oldest reading", () => {
  const trail = new Trail(15 * MINUTE);
  trail.trim();
  trail.add([reading(NOW - MINUTE, { Speed: 1 })], NOW);
  assert.deepEqual(trail.holes(NOW), [{ from: NOW - 15 * MINUTE, to: NOW - MINUTE, why: "trimmed" }]);
  assert.deepEqual(trail.holes(NOW + 15 * MINUTE), []);
});

test("signals are charts when they were numbers, strips when they were anything else", () => {
  const trail = new Trail(15 * MINUTE);
  trail.add([reading(NOW, { Speed: 1, Gear: "D", Mixed: "off", Nothing: null, Open: true })], NOW);
  trail.add([reading(NOW + 1, { Mixed: 3 })], NOW);
  assert.deepEqual(trail.numeric(), ["Mixed", "Speed"]);
  assert.deepEqual(trail.textual(), ["Gear", "Open"]);
});

test("columns are the same arrays until something changes", () => {
  const trail = new Trail(15 * MINUTE);
  trail.add([reading(NOW, { Speed: 1 })], NOW);
  const columns = trail.columns("Speed", NOW);
  assert.equal(trail.columns("Speed", NOW + 1), columns);
  trail.add([reading(NOW + 1, { Speed: 1 })], NOW);
  assert.notEqual(trail.columns("Speed", NOW + 1), columns);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.ts";
import { CLOSE_CODES } from "../src/protocol.ts";

const most = () => new Backoff(() => 1);
const waits = (backoff: Backoff, code: number, count: number) =>
  Array.from({ length: count }, () => backoff.after(code));

test("every close code of the protocol is followed", () => {
  for (const [code, { comeBack }] of Object.entries(CLOSE_CODES)) {
    const wait = most().after(Number(code));
    if (comeBack === "never") assert.equal(wait, undefined, code);
    else if (comeBack === "later") assert.ok(wait && wait >= 1_000, code);
    else assert.equal(wait, 0, code);
  }
  assert.equal(most().after(1006), 0, "a line that broke");
});

test("attempts that fail are made further and further apart, up to a limit", () => {
  assert.deepEqual(waits(most(), 1006, 8), [0, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
  assert.deepEqual(waits(most(), 1013, 4), [2_000, 4_000, 8_000, 10_000]);
});

test("a success begins anew", () => {
  const backoff = most();
  waits(backoff, 1006, 5);
  backoff.succeeded();
  assert.equal(backoff.after(1006), 0);
});

test("jitter is over the whole span", () => {
  let now = 0;
  const backoff = new Backoff(() => now);
  waits(backoff, 1006, 3);
  now = 0.25;
  assert.equal(backoff.after(1006), 200);
  now = 0;
  assert.equal(backoff.after(1006), 0);
});

test("what is not there now is not asked for at once", () => {
  const backoff = most();
  assert.deepEqual([backoff.again(), backoff.again(), backoff.again()], [200, 400, 800]);
});

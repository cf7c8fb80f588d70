import assert from "node:assert/strict";
import { test } from "node:test";
import { Rate } from "../../src/health/rate.ts";

test("the rate is that of the last seconds", () => {
  const rate = new Rate(3_000);
  assert.equal(rate.perSecond, 0);
  rate.see(1_000, 0);
  assert.equal(rate.perSecond, 0, "seen once, nothing is known");
  for (const [s, count] of [1_050, 1_100, 1_150, 1_150, 1_150, 1_150].entries()) rate.see(count, (s + 1) * 1_000);
  assert.equal(rate.perSecond, 0, "it has stood still for the whole span");
  rate.see(1_180, 7_000);
  assert.equal(rate.perSecond, 10);
});

test("a counter that begins anew does not make a rate below 0", () => {
  const rate = new Rate(3_000);
  rate.see(5_000, 0);
  rate.see(10, 1_000);
  assert.equal(rate.perSecond, 0);
  rate.see(20, 2_000);
  assert.equal(rate.perSecond, 10);
});

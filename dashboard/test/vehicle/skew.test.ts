import assert from "node:assert/strict";
import { test } from "node:test";
import { skewOf } from "../../src/vehicle/skew.ts";

test("the newest stored reading tells how far its clock is off", () => {
  assert.equal(skewOf([]), undefined);
  assert.equal(skewOf([{ value: 1 }]), undefined, "a state says nothing of when");
  assert.equal(
    skewOf([
      { value: 1, ts: 9_000, id: [9_500, 0] },
      { value: 2, ts: 3_000, id: [10_000, 0] },
    ]),
    -7_000,
  );
});

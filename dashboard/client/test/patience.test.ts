import assert from "node:assert/strict";
import { test } from "node:test";
import { signalOf, within } from "../src/patience.ts";

const never = new Promise<never>(() => {});

test("a result that comes in time", async () => {
  assert.equal(await within(signalOf({}, 10_000), Promise.resolve(1)), 1);
  await assert.rejects(within(signalOf({}, 10_000), Promise.reject(new Error("no"))), /no/);
});

test("patience ends with the time, or with who asks", async () => {
  const held = setTimeout(() => {}, 5_000); // the timer of a signal keeps no process alive
  await assert.rejects(within(signalOf({ timeout: 5 }, 10_000), never), { number: 503, reason: "disconnected" });
  const controller = new AbortController();
  const waiting = within(signalOf({ signal: controller.signal }, 10_000), never);
  controller.abort(new Error("no longer"));
  await assert.rejects(waiting, /no longer/);
  await assert.rejects(within(signalOf({ signal: controller.signal }, 10_000), never), /no longer/);
  clearTimeout(held);
});

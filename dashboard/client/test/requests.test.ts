import assert from "node:assert/strict";
import { test } from "node:test";
import { disconnected, type FleetwireError } from "../src/errors.ts";
import { Requests } from "../src/requests.ts";

function asked(requests: Requests): { id: string; told: unknown[] } {
  const told: unknown[] = [];
  return { id: requests.open({ replied: reply => told.push(reply), failed: error => told.push(error) }), told };
}

test("each reply goes to who asked, once", () => {
  const requests = new Requests();
  const [one, other] = [asked(requests), asked(requests)];
  const reply = { action: "ping" as const, requestId: other.id, ts: 1, node: "n" };
  requests.settle(reply);
  requests.settle(reply);
  requests.settle({ ...reply, requestId: "unheard of" });
  assert.deepEqual([one.told, other.told], [[], [reply]]);
});

test("an error reply is an error", () => {
  const requests = new Requests();
  const { id, told } = asked(requests);
  requests.settle({ ts: 1, requestId: id, error: { number: 403, reason: "forbidden_topic", description: "no" } });
  const error = told[0] as FleetwireError;
  assert.deepEqual([error.number, error.reason, error.message], [403, "forbidden_topic", "no"]);
});

test("when there will be no reply, everybody is told", () => {
  const requests = new Requests();
  const all = [asked(requests), asked(requests)];
  const lost = disconnected("gone");
  requests.abandon(lost);
  for (const { id, told } of all) {
    requests.settle({ action: "ping", requestId: id, ts: 1, node: "n" });
    assert.deepEqual(told, [lost]);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Routes } from "../src/routes.ts";

test("several may hear one id, and each hears one at most", () => {
  const routes = new Routes<string>();
  routes.set("ann", "x");
  routes.set("bob", "x");
  assert.deepEqual(routes.at("x"), ["ann", "bob"]);
  assert.ok(routes.isShared("ann"));
  routes.set("bob", "y");
  assert.deepEqual([routes.at("x"), routes.at("y")], [["ann"], ["bob"]]);
  assert.ok(!routes.isShared("ann"));
  routes.remove("ann");
  assert.deepEqual([routes.at("x"), routes.id("ann"), routes.isShared("ann")], [[], undefined, false]);
});

test("what is asked for is taken until nobody asks for it", () => {
  const routes = new Routes<string>();
  routes.claim("ann", "a", "b");
  routes.claim("bob", "b");
  assert.deepEqual([...routes.taken].sort(), ["a", "b"]);
  routes.claim("ann", "c");
  assert.deepEqual([...routes.taken].sort(), ["b", "c"]);
  assert.deepEqual(routes.claimed("ann"), ["c"]);
  routes.remove("bob");
  assert.deepEqual([...routes.taken], ["c"]);
});

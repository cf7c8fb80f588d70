import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { streamUrl } from "../src/address.ts";

afterEach(() => Reflect.deleteProperty(globalThis, "location"));

test("any way to name a node leads to its stream", () => {
  const stream = "ws://node:8000/v1/stream";
  for (const url of ["http://node:8000", "ws://node:8000/", "http://node:8000/v1/stream", new URL(stream)])
    assert.equal(streamUrl(url), stream);
  assert.equal(streamUrl("https://fleet.example/east/"), "wss://fleet.example/east/v1/stream");
  assert.equal(streamUrl("wss://fleet.example/?tenant=1#top"), "wss://fleet.example/v1/stream?tenant=1");
});

test("a page's own place", () => {
  Object.assign(globalThis, { location: { href: "https://fleet.example/east/index.html?style=x#/fleets" } });
  assert.equal(streamUrl(undefined), "wss://fleet.example/east/v1/stream");
  assert.equal(streamUrl("/other"), "wss://fleet.example/other/v1/stream");
});

test("what leads nowhere", () => {
  assert.throws(() => streamUrl(undefined), /wants the url of a node/);
  assert.throws(() => streamUrl("ftp://node"), /must be ws/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { expiry, present, renewal } from "../src/token.ts";

const NOW = 1_764_000_000_000;

const jwt = (claims: object): string =>
  ["{}", JSON.stringify(claims), "signed"].map(part => Buffer.from(part).toString("base64url")).join(".");
const lasting = (seconds: number) => jwt({ exp: NOW / 1_000 + seconds, sub: "ä?>~" });

test("an expiry is read from the payload", () => {
  assert.equal(expiry(lasting(60)), NOW + 60_000);
});

test("what is no token, or says nothing, never expires here", () => {
  for (const token of ["", "a.b", "a.!.c", jwt({}), jwt({ exp: "soon" }), jwt([])]) {
    assert.equal(expiry(token), undefined, token);
    assert.equal(renewal(token, NOW), undefined);
  }
});

test("a token is renewed half a minute before its end, a short one in its last quarter", () => {
  assert.equal(renewal(lasting(3_600), NOW), 3_570_000);
  assert.equal(renewal(lasting(120), NOW), 90_000);
  assert.equal(renewal(lasting(8), NOW), 6_000);
});

test("it is never renewed in a busy loop, nor later than a timer can wait", () => {
  for (const seconds of [1, 0, -1, -1e9]) assert.equal(renewal(lasting(seconds), NOW), 1_000);
  assert.equal(renewal(lasting(1e9), NOW), 2 ** 31 - 1);
});

test("a token may be made when it is wanted", async () => {
  assert.equal(await present("t"), "t");
  assert.equal(await present(() => "t"), "t");
  assert.equal(await present(async () => "t"), "t");
});

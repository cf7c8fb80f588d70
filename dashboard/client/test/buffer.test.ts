import assert from "node:assert/strict";
import { test } from "node:test";
import { Buffer } from "../src/buffer.ts";

test("values are taken in order, by who waits first", async () => {
  const buffer = new Buffer<number>();
  const first = buffer.take();
  const second = buffer.take();
  for (const value of [1, 2, 3]) buffer.push(value);
  assert.equal(buffer.size, 1);
  assert.deepEqual([(await first).value, (await second).value, (await buffer.take()).value], [1, 2, 3]);
});

test("after the end what is there is taken, then nothing", async () => {
  const buffer = new Buffer<number>();
  buffer.push(1);
  buffer.end();
  buffer.push(2);
  assert.deepEqual(await buffer.take(), { value: 1, done: false });
  assert.deepEqual(await buffer.take(), { value: undefined, done: true });
});

test("the end is told to who waits", async () => {
  const buffer = new Buffer<number>();
  const taken = buffer.take();
  buffer.end();
  assert.equal((await taken).done, true);
});

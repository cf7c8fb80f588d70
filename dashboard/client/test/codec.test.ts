import assert from "node:assert/strict";
import { test } from "node:test";
import { codec } from "../src/codec.ts";
import type { Format } from "../src/protocol.ts";

for (const format of ["json", "msgpack"] as Format[])
  test(`${format} carries the same maps both ways`, () => {
    const { encode, decode, subprotocol } = codec(format);
    const message = {
      action: "publish",
      requestId: "1",
      ts: 1_764_000_000_123,
      data: { text: "ä€😀", list: [1, -1, 0.1, 2 ** 53 - 1, -(2 ** 53) + 1, true, null, {}], deep: { er: [[]] } },
    };
    const data = encode(message);
    assert.equal(typeof data === "string", format === "json");
    const received =
      typeof data === "string" ? data : data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
    assert.deepEqual(decode(received), message);
    assert.equal(subprotocol, `fleetwire.v1.${format}`);
  });

test("what is undefined is left out", () => {
  for (const format of ["json", "msgpack"] as Format[]) {
    const { encode } = codec(format);
    assert.deepEqual(encode({ a: 1, b: undefined }), encode({ a: 1 }));
  }
});

"""A node speaks WebSocket as RFC 6455 has it: cases by section, over raw sockets.

In place of Autobahn's testsuite, which wants Python 2. (Run by hand with it, its 301 cases, but those of compression,
pass.)
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from stream.outbox import BINARY as PREPARED_BINARY
from stream.outbox import TEXT as PREPARED_TEXT
from stream.outbox import Frame
from tests.programs import fleetwire, free_port, wait_for_port
from tests.stream.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, dialled, frame, request

MOST = 65_536  # bytes of a message


@pytest.fixture(scope="module")
def port(session_valkey: str) -> Iterator[int]:
    """Of a node in a process of its own, served as it is in production."""
    port = free_port()
    with fleetwire("stream", "--redis-url", session_valkey, "--port", str(port)) as node:
        wait_for_port(node, port)
        yield port
        assert "Traceback" not in node.output


class Reply(NamedTuple):
    """To a command with this request id."""

    id: str


class Refusal(NamedTuple):
    """An error reply."""

    reason: str


class Pong(NamedTuple):
    payload: bytes


class Closed(NamedTuple):
    """A close frame, and the end of the connection. `code`: None where it has none."""

    code: int | None


Answer = Reply | Refusal | Pong | Closed


def ping(id: str = "1", size: int = 0) -> bytes:
    """A command, which has an answer, with spaces up to a size."""
    return json.dumps({"action": "ping", "requestId": id}, ensure_ascii=False).encode().ljust(size)


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def cut(opcode: int, *parts: bytes) -> list[bytes]:
    """A message in fragments."""
    last = len(parts) - 1
    return [frame(CONTINUATION if n else opcode, part, fin=n == last) for n, part in enumerate(parts)]


EURO = ping("€")
MIDDLE = EURO.index("€".encode()) + 1  # within the character
NOT_UTF8 = {
    "a byte that is none": b"\xff",
    "a continuation alone": b"\x80",
    "a character that is cut off": b"\xe2\x82",
    "a surrogate": b"\xed\xa0\x80",
    "longer than it has to be": b"\xc0\xaf",
    "beyond Unicode": b"\xf4\x90\x80\x80",
}

# Section, what it is about, and what is sent and comes back, one after the other.
CASES: list[tuple[str, str, list[bytes | Answer]]] = [
    ("5.1", "no mask", [frame(TEXT, ping(), mask=None), Closed(1002)]),
    ("5.1", "no mask on a control frame", [frame(PING, b"x", mask=None), Closed(1002)]),
    ("5.3", "a mask of zeros", [frame(TEXT, ping(), mask=bytes(4)), Reply("1")]),
    *(
        ("5.2", f"a length of {size}", [frame(TEXT, ping(size=size)), Reply("1")])
        for size in (125, 126, 127, 128, 65_535, 65_536)
    ),
    *(("5.2", f"reserved bits {bits:03b}", [frame(TEXT, b"x", reserved=bits), Closed(1002)]) for bits in range(1, 8)),
    ("5.2", "a reserved bit on a control frame", [frame(PING, reserved=4), Closed(1002)]),
    *(("5.2", f"opcode {opcode}", [frame(opcode, b"x"), Closed(1002)]) for opcode in (*range(3, 8), *range(11, 16))),
    ("5.4", "two fragments", [*cut(TEXT, ping()[:7], ping()[7:]), Reply("1")]),
    ("5.4", "a fragment a byte", [*cut(TEXT, *(bytes((byte,)) for byte in ping())), Reply("1")]),
    ("5.4", "empty fragments", [*cut(TEXT, b"", b"", ping(), b"", b""), Reply("1")]),
    ("5.4", "an empty message in fragments", [*cut(TEXT, b"", b""), Refusal("bad_request")]),
    ("5.4", "fragments of a binary message", [*cut(BINARY, ping()[:7], ping()[7:]), Reply("1")]),
    (
        "5.4",
        "a ping between fragments",
        [
            *(frame(TEXT, ping()[:7], fin=False), frame(PING, b"p"), Pong(b"p")),
            *(frame(CONTINUATION, ping()[7:]), Reply("1")),
        ],
    ),
    ("5.4", "a close between fragments", [frame(TEXT, b"{", fin=False), close(1000), Closed(1000)]),
    ("5.4", "a continuation of nothing", [frame(CONTINUATION, ping()), Closed(1002)]),
    ("5.4", "a first fragment that continues nothing", [frame(CONTINUATION, b"x", fin=False), Closed(1002)]),
    (
        "5.4",
        "a continuation after the last",
        [*cut(TEXT, ping(), b""), Reply("1"), frame(CONTINUATION, b"x"), Closed(1002)],
    ),
    ("5.4", "a message within a message", [frame(TEXT, b"{", fin=False), frame(TEXT, ping()), Closed(1002)]),
    ("5.5", "the longest ping", [frame(PING, bytes(125)), Pong(bytes(125))]),
    ("5.5", "a longer ping", [frame(PING, bytes(126)), Closed(1002)]),
    ("5.5", "a longer pong", [frame(PONG, bytes(126)), Closed(1002)]),
    ("5.5", "a longer close", [close(1000, b"x" * 124), Closed(1002)]),
    ("5.5", "a ping in fragments", [frame(PING, b"x", fin=False), Closed(1002)]),
    ("5.5", "a close in fragments", [frame(CLOSE, b"\x03\xe8", fin=False), Closed(1002)]),
    ("5.5.1", "a close without a code", [frame(CLOSE), Closed(None)]),
    ("5.5.1", "a close of one byte", [frame(CLOSE, b"\x03"), Closed(1002)]),
    ("5.5.1", "a reason", [close(1000, "tschüß".encode()), Closed(1000)]),
    ("5.5.1", "the longest reason", [close(1000, b"x" * 123), Closed(1000)]),
    ("5.5.1", "a message after the close", [close(1000) + frame(TEXT, ping()), Closed(1000)]),
    ("5.5.1", "a ping after the close", [close(1000) + frame(PING), Closed(1000)]),
    ("5.5.1", "a close after the close", [close(1000) + close(1001), Closed(1000)]),
    ("5.5.1", "nonsense after the close", [close(1000) + b"\xff" * 9, Closed(1000)]),
    ("5.5.2", "an empty ping", [frame(PING), Pong(b"")]),
    ("5.5.2", "a ping of any bytes", [frame(PING, bytes(range(125))), Pong(bytes(range(125)))]),
    (
        "5.5.2",
        "ten pings at once",
        [b"".join(frame(PING, b"%d" % n) for n in range(10)), *(Pong(b"%d" % n) for n in range(10))],
    ),
    ("5.5.3", "a pong that nobody asked for", [frame(PONG, b"x"), frame(TEXT, ping()), Reply("1")]),
    ("5.6", "any bytes in a binary message", [frame(BINARY, b"\xff\xfe"), Refusal("bad_request")]),
    *(
        ("7.4", f"close code {code}", [close(code), Closed(code)])
        for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
    ),
    *(
        ("7.4", f"close code {code}, which is none", [close(code), Closed(1002)])
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    ),
    ("8.1", "text", [frame(TEXT, ping("κόσμε 🚲")), Reply("κόσμε 🚲")]),
    ("8.1", "a character in two fragments", [*cut(TEXT, EURO[:MIDDLE], EURO[MIDDLE:]), Reply("€")]),
    *(("8.1", f"text with {what}", [frame(TEXT, b"{" + bad), Closed(1007)]) for what, bad in NOT_UTF8.items()),
    *(
        ("8.1", f"fragments with {what}", [*cut(TEXT, b"{", bad[:1], bad[1:]), Closed(1007)])
        for what, bad in NOT_UTF8.items()
    ),
    *(("8.1", f"a reason with {what}", [close(1000, b"x" + bad), Closed(1007)]) for what, bad in NOT_UTF8.items()),
    ("10.4", "a message too big", [frame(TEXT, ping(size=MOST + 1)), Closed(1009)]),
    ("10.4", "too big in fragments", [*cut(TEXT, ping(size=MOST), b" "), Closed(1009)]),
    ("10.4", "a length beyond all", [b"\x82\xff" + b"\xff" * 8, Closed(1009)]),
    (
        "-",
        "many messages in one segment",
        [b"".join(frame(TEXT, ping(f"{n}")) for n in range(20)), *(Reply(f"{n}") for n in range(20))],
    ),
]


@pytest.mark.parametrize("script", [case[2] for case in CASES], ids=[f"{case[0]} {case[1]}" for case in CASES])
async def test_frames(port: int, script: list[bytes | Answer]) -> None:
    async with dialled(port) as raw:
        for step in script:
            if isinstance(step, bytes):
                raw.writer.write(step)
            else:
                await check(raw, step)
        if not isinstance(script[-1], Closed):
            raw.writer.write(frame(TEXT, ping("still there")))
            await check(raw, Reply("still there"))


@pytest.mark.parametrize(
    "sent", [[frame(TEXT, EURO)], cut(TEXT, EURO[:MIDDLE], EURO[MIDDLE:])], ids=["whole", "fragments"]
)
async def test_byte_by_byte(port: int, sent: list[bytes]) -> None:
    script = [(b"".join(sent), Reply("€")), (frame(PING, b"p"), Pong(b"p")), (close(1000), Closed(1000))]
    async with dialled(port) as raw:
        for data, answer in script:
            for byte in data:
                raw.writer.write(bytes((byte,)))
                await raw.writer.drain()
                await asyncio.sleep(0)
            await check(raw, answer)


async def check(raw: Raw, answer: Answer) -> None:
    """That the next frame is this answer."""
    opcode, payload = await asyncio.wait_for(raw.frame(), 20)
    match answer:
        case Reply(id):
            assert (opcode, json.loads(payload)["requestId"]) == (TEXT, id)
        case Refusal(reason):
            assert (opcode, json.loads(payload)["error"]["reason"]) == (TEXT, reason)
        case Pong(expected):
            assert (opcode, payload) == (PONG, expected)
        case Closed(code):
            assert opcode == CLOSE
            assert payload[:2] == (b"" if code is None else struct.pack("!H", code))
            payload[2:].decode()
            assert await asyncio.wait_for(raw.rest(), 20) == b""


HANDSHAKES: list[tuple[str, str, bytes, int]] = [
    ("4.1", "as in the section", request({}), 101),
    ("4.2.1", "values in any case", request({"Upgrade": "WebSocket", "Connection": "keep-alive, UPGRADE"}), 101),
    ("4.2.1", "no key", request({"Sec-WebSocket-Key": None}), 400),
    ("4.2.1", "a key that is too short", request({"Sec-WebSocket-Key": "AAAA"}), 400),
    ("4.2.1", "a key that is not base64", request({"Sec-WebSocket-Key": "!" * 24}), 400),
    ("4.2.1", "two keys", request({"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}), 400),
    ("4.2.1", "another method", request({}, "POST"), 405),
    ("4.2.1", "no upgrade", request({"Upgrade": None}), 404),
    ("4.2.1", "an upgrade to something else", request({"Upgrade": "h2c"}), 404),
    ("4.2.1", "no connection", request({"Connection": None}), 404),
    ("4.4", "no version", request({"Sec-WebSocket-Version": None}), 426),
    ("4.4", "an older version", request({"Sec-WebSocket-Version": "8"}), 426),
    ("4.4", "a version that is no number", request({"Sec-WebSocket-Version": "x"}), 426),
    ("9.1", "an extension", request({"Sec-WebSocket-Extensions": "permessage-deflate"}), 101),
    ("9.1", "an extension that can't be read", request({"Sec-WebSocket-Extensions": ";;;"}), 101),
    ("11.3.4", "no subprotocol of ours", request({"Sec-WebSocket-Protocol": "chat, superchat"}), 101),
    ("-", "a header too long", request({"X": "x" * 9_000}), 431),
    ("-", "headers too many", request({f"X-{n}": "x" for n in range(200)}), 431),
    ("-", "a path too long", request({}, path="/v1/stream?" + "x" * 9_000), 414),
    ("-", "a body", request({"Content-Length": "5"}), 400),
    ("-", "a body in chunks", request({"Transfer-Encoding": "chunked"}), 400),
    ("-", "a path that is not ASCII", request({}, path="/v1/ström"), 400),
    ("-", "no HTTP", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    ("-", "elsewhere", request({}, path="/v1/nowhere"), 403),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "status"),
    [case[2:] for case in HANDSHAKES],
    ids=[f"{section} {what}" for section, what, *_ in HANDSHAKES],
)
async def test_handshakes(port: int, said: bytes, status: int) -> None:
    async with dialled(port, said) as raw:
        found, headers = await asyncio.wait_for(raw.response(), 20)
        assert found == status, headers
        if status == 101:
            assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of section 1.3
            assert headers["upgrade"].lower() == "websocket"
            assert headers["connection"].lower() == "upgrade"
            assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & headers.keys()
            raw.writer.write(frame(TEXT, ping()))
            await check(raw, Reply("1"))
        if status == 426:
            assert headers["sec-websocket-version"] == "13"
        if status not in (101, 404):
            await asyncio.wait_for(raw.rest(), 20)


async def test_of_the_subprotocols_that_are_offered_the_first_that_we_speak_is_taken(port: int) -> None:
    said = request({"Sec-WebSocket-Protocol": "chat, fleetwire.v1.msgpack, fleetwire.v1.json"})
    async with dialled(port, said) as raw:
        status, headers = await raw.response()
        assert (status, headers["sec-websocket-protocol"]) == (101, "fleetwire.v1.msgpack")


@pytest.mark.parametrize("opcode", [PREPARED_TEXT, PREPARED_BINARY])
@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, b"\x00"),
        (125, b"\x7d"),
        (126, b"\x7e\x00\x7e"),
        (65_535, b"\x7e\xff\xff"),
        (65_536, b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_prepared_frame_has_the_shortest_length_and_no_mask(opcode: int, size: int, length: bytes) -> None:
    assert Frame(bytes(size)).prepared(opcode) == bytes((0x80 | opcode,)) + length + bytes(size)

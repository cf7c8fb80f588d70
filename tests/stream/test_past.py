"""What was stored: pages, windows and whole ranges, on real servers."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from stream import logs, past
from stream.archive import Archive
from stream.buckets import Buckets
from stream.desk import Desk
from stream.history import History
from stream.item import View
from stream.limits import Limits
from stream.metrics import Metrics
from stream.past import Past
from stream.pipe import open_pipe
from stream.shard import Shard
from stream.tables import Ndjson
from stream.turns import Turns
from tests.programs import redis_server
from tests.stream.nodes import Event
from wire import keys, protocol
from wire.errors import CommandError
from wire.ids import format_id, parse_id
from wire.partition import WHOLE, Layout
from wire.reading import Message, Reading, Value, encode
from wire.store import Retention

VIEW = View("json")
TOPICS = ("fleets/a/v1/telemetry", "fleets/a/v2/telemetry", "fleets/b/v1/status", "rooms/ops")
END = 1_000_000  # ms; no id is greater

values: st.SearchStrategy[dict[str, Value]] = st.dictionaries(
    st.sampled_from(["Speed", "Cabin.Left", "Cabin.Right", "s"]),
    st.integers(-9, 9) | st.floats(-9, 9) | st.none() | st.booleans() | st.sampled_from(["", "x"]),
    min_size=1,
)
stored = st.lists(
    st.tuples(st.sampled_from(TOPICS), st.integers(0, 20_000), values, st.sampled_from("bbbl")), max_size=40
)
several = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

Log = list[tuple[str, int, dict[str, Value], str]]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(autouse=True)
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few entries are many pieces."""
    for name, value in {"READ_ENTRIES": 7, "LEAST": 2, "SLICE": 5, "ASKED": 2}.items():
        monkeypatch.setattr(logs, name, value)
    monkeypatch.setattr(past, "SLICE_BYTES", 100)
    monkeypatch.setattr(past, "SLICE_ITEMS", 2)


async def fill(redis: Redis, log: Log) -> None:
    """The readings, one a millisecond; what is for a room is said there."""
    await redis.flushall()
    async with redis.pipeline() as pipe:
        pipe.sadd(keys.FLEETS, "a", "b")
        pipe.sadd(keys.fleet("a"), "v1", "v2")
        pipe.sadd(keys.fleet("b"), "v1")
        pipe.sadd(keys.ROOMS, "ops")
        for ms, (topic, ts, found, field) in enumerate(log, 1):
            if topic.startswith("rooms/"):
                pipe.xadd(keys.log(topic), {"b": encode(Message(ts, found, "anna"))}, f"{ms}-1")
            else:
                pipe.xadd(keys.log(topic), {field: encode(Reading(ts, found))}, f"{ms}-1")
        pipe.set(keys.CLOCK, f"{END}-1")
        await pipe.execute()


def of(redis: Redis) -> Past:
    """Of a single Redis."""
    archive = Archive(Layout(), [cast(Shard, SimpleNamespace(history=History(redis, WHOLE)))])
    return Past(archive, Desk(Limits(histories=0), Retention(), Metrics()))


def asked(**fields: Any) -> protocol.History:
    fields = {"from_" if name == "from" else name: value for name, value in fields.items()}
    return protocol.History(request_id="1", **{"topic": "#", **fields})


def seen(command: protocol.History) -> View:
    return View("json", command.signals, command.meta)


async def pages(found: Past, command: protocol.History) -> list[list[Event]]:
    """All pages, with what must hold of each."""
    pages = []
    while True:
        page = await found.page(command, seen(command))
        pages.append(json.loads(protocol.encode(page.data, "json")))
        assert len(pages[-1]) <= command.limit
        assert page.trimmed is None
        if page.cursor is None:
            return pages
        assert page.data
        command = asked(**{**fields_of(command), "after": page.cursor})


def fields_of(command: protocol.History) -> dict[str, Any]:
    return {name: getattr(command, name) for name in command.__struct_fields__ if name != "request_id"}


async def whole(found: Past, command: protocol.History) -> list[Event]:
    pieces = found.pieces(await found.whole(command, seen(command)), Ndjson())
    return [json.loads(line) for line in b"".join([piece async for piece in pieces]).splitlines()]


@pytest.mark.parametrize("window", [None, 1_000])
async def test_a_page_is_only_so_big(redis: Redis, monkeypatch: pytest.MonkeyPatch, window: int | None) -> None:
    """However much may be in it: what is said in rooms may be large."""
    monkeypatch.setattr(past, "PAGE_BYTES", 1_000)
    await fill(redis, [(topic, 0, {"Speed": n, "s": "x" * 300}, "b") for n in range(10) for topic in TOPICS])
    found = await pages(of(redis), asked(window=window))
    assert len(found) > 1
    assert all(len(json.dumps(page)) < 3_000 for page in found)
    once = await whole(of(redis), asked(window=window))
    assert [item for page in found for item in page] == once


# Readings


@given(log=stored, limit=st.integers(1, 12), signals=st.sampled_from([None, ("Cabin.*",), ("s", "Speed")]))
@several
async def test_pages_and_a_download_give_everything_once_and_in_order(
    redis: Redis, log: Log, limit: int, signals: tuple[str, ...] | None
) -> None:
    await fill(redis, log)
    view = View("json", signals)
    expected = []
    for ms, (topic, ts, said, _) in enumerate(log, 1):
        item: Event = {"topic": topic, "id": f"{ms}-1", "ts": ts}
        if topic.startswith("rooms/"):
            expected.append({**item, "data": said, "sender": "anna"})
        elif view.shows(Reading(ts, said)):
            expected.append({**item, "values": view.values(Reading(ts, said))})
    found = of(redis)
    command = asked(limit=limit, signals=signals)
    assert [item for page in await pages(found, command) for item in page] == expected
    assert await whole(found, command) == expected


async def test_a_range_is_by_the_time_of_storing(redis: Redis) -> None:
    await fill(redis, [(TOPICS[ms % 3], 0, {"n": ms}, "b") for ms in range(30)])
    found = of(redis)

    async def numbers(**fields: Any) -> list[Value]:
        return [item["values"]["n"] for item in await whole(found, asked(**fields))]

    assert await numbers(**{"from": 11, "to": 20}) == list(range(10, 20))
    assert await numbers(after="28-1") == [28, 29]
    assert await numbers(**{"from": 31}) == []


async def test_what_nobody_can_read_is_passed_over(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    await fill(redis, [(TOPICS[0], 5, {"n": n}, "b") for n in range(10)])
    await redis.xadd(keys.log(TOPICS[0]), {"b": b"garbage"})
    await redis.xadd(keys.log(TOPICS[0]), {"x": encode(Reading(1, {"n": 99}))})
    await redis.set(keys.CLOCK, "999999999999999-0")
    found = of(redis)
    assert [item["values"]["n"] for item in await whole(found, asked())] == list(range(10))
    (item,) = await whole(found, asked(window=1_000))
    assert (item["count"], item["values"]["n"]) == (10, {"min": 0, "max": 9, "mean": 4.5})
    assert sum("can't be read" in record.message for record in caplog.records) >= 3


async def test_says_what_the_logs_no_longer_have(redis: Redis) -> None:
    await fill(redis, [(TOPICS[ms % 2], ms, {"n": ms}, "b") for ms in range(20)])
    await redis.xtrim(keys.log(TOPICS[0]), minid="8-0", approximate=False)  # 9-1 is the first that is left
    found = of(redis)
    gone = format_id(parse_id("9-1") - 1)
    for window in (None, 1_000):
        assert (await found.page(asked(window=window), VIEW)).trimmed == gone
        assert (await found.whole(asked(window=window), VIEW)).trimmed == gone
        assert (await found.page(asked(window=window, **{"from": 10}), VIEW)).trimmed is None
        assert (await found.page(asked(window=window, topic=TOPICS[1]), VIEW)).trimmed is None
    assert (await found.page(asked(after="8-1"), VIEW)).trimmed == gone
    assert (await found.page(asked(window=1_000, after=TOPICS[0]), VIEW)).trimmed is None


# Windows


@given(log=stored, limit=st.integers(21, 40), signals=st.sampled_from([None, ("Cabin.*",), ("s", "Speed")]))
@several
async def test_pages_of_windows_are_of_whole_topics(
    redis: Redis, log: Log, limit: int, signals: tuple[str, ...] | None
) -> None:
    await fill(redis, log)
    view = View("json", signals)
    expected = []
    for name in TOPICS[:3]:
        buckets = Buckets(name, 1_000, view)
        buckets.add([encode(Reading(ts, said)) for topic, ts, said, _ in log if topic == name])
        expected.append([json.loads(protocol.encode(item, "json")) for item in buckets.items()])
    found = of(redis)
    command = asked(limit=limit, signals=signals, window=1_000)
    given_pages = await pages(found, command)
    everything = [rounded(item) for topic in expected for item in topic]
    assert [rounded(item) for page in given_pages for item in page] == everything
    assert [rounded(item) for item in await whole(found, command)] == everything
    for before, after in itertools.pairwise(given_pages):
        assert before[-1]["topic"] != after[0]["topic"]
        fits = [items for items in expected if items and items[0]["topic"] == after[0]["topic"]]
        assert len(before) + len(fits[0]) > limit


def rounded(item: Event) -> Event:
    """In how many pieces numbers are added up makes a difference in the last digits."""
    told = item["values"].values()
    numbers = [{key: round(v, 9) if isinstance(v, float) else v for key, v in one.items()} for one in told]
    return {**item, "values": dict(zip(item["values"], numbers, strict=True))}


async def test_too_many_windows_for_a_page_are_an_error_that_says_what_to_ask(redis: Redis) -> None:
    await fill(redis, [(TOPICS[0], 1_000 * n, {"n": n}, "b") for n in range(40)])
    found = of(redis)
    with pytest.raises(CommandError) as caught:
        await found.page(asked(window=1_000, limit=39), VIEW)
    assert caught.value.reason == "bad_request"
    assert f"{TOPICS[0]} has more than 39 windows of 1000 ms: ask for a larger window" in str(caught.value)
    assert len((await found.page(asked(window=1_000, limit=40), VIEW)).data) == 40
    assert len(await whole(found, asked(window=1_000, limit=1))) == 40  # of a download there are no pages


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("invalid_cursor", {"after": "yesterday"}),
        ("invalid_cursor", {"after": TOPICS[0]}),
        ("invalid_cursor", {"after": "5-1", "window": 1_000}),
        ("bad_request", {"topic": "rooms/+", "window": 1_000}),
        ("bad_request", {"topic": "fleets/+/+/replies", "window": 1_000}),
    ],
)
async def test_what_can_t_be_answered_is_an_error(redis: Redis, reason: str, fields: dict[str, Any]) -> None:
    found = of(redis)
    for answer in (found.page(asked(**fields), VIEW), found.whole(asked(**fields), VIEW)):
        with pytest.raises(CommandError) as caught:
            await answer
        assert caught.value.reason == reason


async def test_a_page_goes_on_after_a_topic_that_is_gone(redis: Redis) -> None:
    await fill(redis, [(name, 1, {"n": 1}, "b") for name in TOPICS[:3]])
    page = await of(redis).page(asked(window=1_000, after="fleets/a/v1x/telemetry"), VIEW)
    assert [json.loads(bytes(item))["topic"] for item in page.data] == list(TOPICS[1:3])


# Faults


async def test_a_redis_that_goes_away_in_the_middle_is_an_error() -> None:
    with redis_server() as server:
        async with Redis.from_url(server.url) as redis:
            await fill(redis, [(TOPICS[n % 3], n, {"n": n}, "b") for n in range(100)])
            found = of(redis)
            for window in (None, 1_000):
                command = await found.whole(asked(window=window), VIEW)
                pieces = found.pieces(command, Ndjson())
                assert await anext(pieces) == b""  # the head
                assert await anext(pieces)
                assert await redis.client_kill_filter(_type="normal", skipme=True) >= 1
                with pytest.raises(CommandError) as caught:
                    [piece async for piece in pieces]
                assert caught.value.reason == "unavailable"
            server.program.kill()
            with pytest.raises(CommandError) as caught:
                await found.page(asked(), VIEW)
            assert caught.value.reason == "unavailable"


async def test_who_stops_reading_leaves_no_connection_behind(redis: Redis) -> None:
    await fill(redis, [(TOPICS[n % 3], n, {"n": n}, "b") for n in range(100)])
    found = of(redis)
    before = len(await redis.client_list())
    for window in (None, 1_000):
        pieces = found.pieces(await found.whole(asked(window=window), VIEW), Ndjson())
        await anext(pieces)
        await anext(pieces)
        assert len(await redis.client_list()) == before + 1
        await pieces.aclose()
        assert len(await redis.client_list()) == before


async def test_a_pipe_answers_in_order_and_tells_what_redis_says(redis: Redis) -> None:
    def read(reply: Any) -> Any:
        if isinstance(reply, Exception):
            raise reply
        return reply

    async with open_pipe(redis) as pipe:
        answers = [
            pipe.ask(read, *command) for command in (("ECHO", "a"), ("NONSENSE",), ("GET", "x"), ("ECHO", "b"))
        ]
        answers[0].cancel()
        assert await answers[3] == b"b"
        assert await answers[2] is None
        with pytest.raises(ResponseError, match="unknown command"):
            await answers[1]
        answers = [pipe.ask(read, *command) for command in (("QUIT",), ("ECHO", "never"))]
        with pytest.raises(RedisError, match="closed the connection"):
            await answers[1]
        with pytest.raises(RedisError, match="closed the connection"):
            await pipe.ask(read, "ECHO", "never")


async def test_however_many_work_the_loop_has_one_piece_a_turn() -> None:
    turns, loop_turns, pieces = Turns(), 0, 0
    most = 0

    async def count_turns() -> None:
        nonlocal loop_turns, most, pieces
        while True:
            most, pieces = max(most, pieces), 0
            loop_turns += 1
            await asyncio.sleep(0)

    async def work() -> None:
        nonlocal pieces
        for _ in range(10):
            async with turns:
                pieces += 1

    counting = asyncio.create_task(count_turns())
    await asyncio.gather(*(work() for _ in range(5)))
    counting.cancel()
    assert most == 1
    assert loop_turns >= 50


async def test_a_turn_that_is_cancelled_is_given_back() -> None:
    turns = Turns()

    async def work() -> None:
        async with turns:
            pass

    task = asyncio.create_task(work())
    await asyncio.sleep(0)  # it is between its piece and its end
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await work()

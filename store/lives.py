"""Lives: what Redis may have lost, by restarting or by a failover, as `life.lua` keeps the books."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from wire import keys
from wire.ids import format_id, parse_id
from wire.partition import Partition

__all__ = ["Loss", "begin", "described", "gaps"]

SCRIPT = files("wire").joinpath("life.lua").read_text("utf-8")
EVEN_IF_FULL = "#!lua flags=allow-oom"


class Loss(NamedTuple):
    """What was given out after one id and up to another, when a new life began, is gone: for `certain`, or it may be
    that there was nothing."""

    after: int
    until: int
    certain: bool


async def begin(redis: Redis, partition: Partition, seen: int) -> list[Loss]:
    """Tell Redis the newest id that the caller was ever given, and learn what is lost. To be called after each
    connect, before anything is written. Raises redis.RedisError."""
    info: dict[str, Any] = await redis.info("server")
    info |= await redis.info("replication")
    life = f"{info['run_id']} {info['master_replid']}"
    publish = "SPUBLISH" if partition.tag else "PUBLISH"
    names = [partition.key(name) for name in (keys.CLOCK, keys.LIVES)]
    args = (life, format_id(seen), partition.key(keys.FEED), publish)
    found: Any
    try:
        found = await redis.eval(SCRIPT, len(names), *names, *args)
    except OutOfMemoryError:  # the few bytes may be, so that those who only read are not held up
        found = await redis.eval(f"{EVEN_IF_FULL}\n{SCRIPT}", len(names), *names, *args)
    return [Loss(parse_id(after), parse_id(until), bool(certain)) for after, until, certain in found]


def gaps(losses: list[Loss], cursor: int) -> list[tuple[int, int]]:
    """What a client misses for good that was given everything up to an id: after the one id, up to the other. Its
    cursor may itself be what shows that something is lost."""
    return [
        (max(cursor, loss.after), loss.until)
        for loss in losses
        if 0 < cursor < loss.until and (loss.certain or loss.after < cursor)
    ]


def described(loss: Loss) -> str:
    """For a log."""
    return f"{format_id(loss.after)}, before it began anew at {format_id(loss.until)}"

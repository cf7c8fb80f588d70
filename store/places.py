"""Places: where each partition is, and clients that find it: at one server, at the master that Sentinels name, or at
the master that has its slot in a cluster. To its users each partition is a plain Redis."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from store.tls import Files, context
from wire.partition import SLOTS, Layout, Partition, slot
from wire.urls import RedisAddress, parse_redis

__all__ = ["ELSEWHERE", "Places", "taken_over"]

CONNECT_SECONDS = 4.0
ASK_SECONDS = 1.0  # how long one Sentinel, or one node of a cluster, may take to say where something is
FRESH_SECONDS = 0.1  # a map of the slots is asked for again when it is older: it is wanted only to connect

# How Redis says that what is wanted is not here, or not yet: the next connection asks anew where it is.
ELSEWHERE = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS")

Address = tuple[str, int]

SYSTEM = Files()  # who is believed is for the system to say


class Places:
    """Where a service's Redis is. `files`: for TLS, with the Sentinels too. Raises SettingsError when the URL is none
    (`wire.urls.parse_redis`)."""

    def __init__(self, url: str, files: Files = SYSTEM) -> None:
        address = parse_redis(url)
        self.layout = Layout(address.partitions)
        self._url = address.url
        self._files = files
        self._sentinels = _Sentinels(address, files) if address.service else None
        self._cluster = _Cluster(address, files) if address.partitions else None

    def redis(self, partition: Partition, *, retries: int = 0, connect_seconds: float = CONNECT_SECONDS) -> Redis:
        """A client of a partition. `retries`: after a broken connection.

        It has no socket timeout: with one redis-py waits by `asyncio.wait_for`, which in Python 3.11 may swallow a
        cancellation. Each use has its own.
        """
        options: dict[str, Any] = {
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": connect_seconds,
            "retry": Retry(NoBackoff(), retries),
        }
        find: Callable[[], Awaitable[Address]] | None = None
        if self._sentinels is not None:
            find = self._sentinels.master
        elif self._cluster is not None:
            find = _owner(self._cluster, slot(partition.tag))
        return _client(self._url, self._files, find, **options)


def _client(url: str, files: Files, find: Callable[[], Awaitable[Address]] | None = None, **options: Any) -> Redis:
    """A client of a URL; `find` says, at each connect, where else than there the server is."""
    known: dict[str, Any] = {**parse_url(url)}
    kind: type[AbstractConnection] = known.pop("connection_class", Connection)
    if kind is SSLConnection:
        kind, options["files"] = _Secure, files
    if find is not None:
        kind, options["find"] = _FoundSecure if kind is _Secure else _Found, find
    return Redis.from_pool(ConnectionPool(connection_class=kind, **{**known, **options}))


async def taken_over(redis: Redis) -> tuple[Connection, asyncio.Transport]:
    """A new connection of a client (redis-py makes it: TLS, user and password, unix socket, Sentinels, cluster), and
    its transport, for a protocol of one's own. Raises redis.RedisError, OSError or TimeoutError."""
    connection: Connection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    await connection.connect()  # type: ignore[no-untyped-call]
    assert connection._writer is not None
    return connection, cast(asyncio.Transport, connection._writer.transport)


class _Found(Connection):
    """A connection that asks where to connect to, each time."""

    def __init__(self, *, find: Callable[[], Awaitable[Address]], **options: Any) -> None:
        super().__init__(**options)
        self._find = find

    async def _connect(self) -> None:
        self.host, self.port = await self._find()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if not _elsewhere(error):
                raise
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"Redis says that it is elsewhere: {error}") from None


class _Secure(SSLConnection):
    """A connection by TLS with files as they are when it is made."""

    def __init__(self, *, files: Files, **options: Any) -> None:
        super().__init__(**options)
        self._files = files

    async def _connect(self) -> None:
        if self._files != SYSTEM:  # else by what the URL says
            self.ssl_context.context = context(*self._files)
        await super()._connect()  # type: ignore[no-untyped-call]


class _FoundSecure(_Found, _Secure):
    pass


def _elsewhere(error: ResponseError) -> bool:
    # redis-py has classes for most of these, and takes the word off their text.
    return type(error).__name__ in _CLASSES or str(error).startswith(ELSEWHERE)


_CLASSES = {"MovedError", "AskError", "TryAgainError", "ClusterDownError", "MasterDownError", "ReadOnlyError"}


class _Sentinels:
    """Those who know which server is the master."""

    def __init__(self, address: RedisAddress, files: Files) -> None:
        self._hosts = list(address.hosts)
        self._service = address.service or ""
        self._scheme = address.url.partition("://")[0]  # they have no user of the servers
        self._files = files

    async def master(self) -> Address:
        """Where the master is. Raises redis.ConnectionError when no Sentinel says so."""
        why = ""
        for host in list(self._hosts):
            url = _url(host, f"{self._scheme}://")
            try:
                found = await _ask(url, self._files, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
            except RedisConnectionError as error:
                why = f": {error}"
                continue
            if found:
                self._hosts.remove(host)
                self._hosts.insert(0, host)  # who answers is asked first
                return found[0].decode(), int(found[1])
        raise RedisConnectionError(f"no Sentinel knows a master of {self._service}{why}")


class _Cluster:
    """The masters of a cluster, by slot."""

    def __init__(self, address: RedisAddress, files: Files) -> None:
        self._hosts = list(address.hosts)
        self._url = address.url
        self._files = files
        self._owners: list[tuple[int, int, Address]] = []  # first slot, last slot
        self._at = -FRESH_SECONDS
        self._lock = asyncio.Lock()

    async def owner(self, slot: int) -> Address:
        """The master of a slot. Raises redis.ConnectionError when nobody says so."""
        async with self._lock:
            if time.monotonic() - self._at >= FRESH_SECONDS:
                self._owners = await self._ask()
                self._at = time.monotonic()
        for first, last, address in self._owners:
            if first <= slot <= last:
                return address
        raise RedisConnectionError(f"no master has slot {slot}")

    async def _ask(self) -> list[tuple[int, int, Address]]:
        known = list(dict.fromkeys(address for _, _, address in self._owners))
        random.shuffle(known)
        why = ""
        for host in dict.fromkeys((*known, *self._hosts)):
            try:
                found = await _ask(_url(host, self._url), self._files, "CLUSTER", "SLOTS")
            except RedisConnectionError as error:
                why = f": {error}"
                continue
            if found:
                return [
                    (first, last, (master[0].decode() or host[0], int(master[1])))
                    for first, last, master, *_ in found
                    if 0 <= first <= last < SLOTS and master[0] is not None
                ]
        raise RedisConnectionError(f"no node of the cluster answers{why}")


def _owner(cluster: _Cluster, slot: int) -> Callable[[], Awaitable[Address]]:
    return lambda: cluster.owner(slot)


def _url(host: Address, like: str) -> str:
    scheme, _, rest = like.partition("://")
    credentials, at, _ = rest.rpartition("@")
    name = f"[{host[0]}]" if ":" in host[0] else host[0]
    return f"{scheme}://{credentials}{at}{name}:{host[1]}"


async def _ask(url: str, files: Files, *command: str) -> Any:
    """What a server answers. Raises redis.ConnectionError, which says why, when it doesn't in time."""
    redis = _client(url, files, protocol=2, socket_timeout=None, socket_connect_timeout=ASK_SECONDS)
    connection: Connection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command(*command)
            return await connection.read_response()
    except (RedisError, OSError, TimeoutError) as error:
        raise RedisConnectionError(str(error) or "silence") from None
    finally:
        await connection.disconnect(nowait=True)
        await redis.aclose()

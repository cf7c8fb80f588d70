"""Devices on an MQTT broker: one connection for each of them, or a gateway's for all.

Presence is a retained reading on `fleets/{fleet}/{vehicle}/status`: connectionState is ONLINE after connecting,
OFFLINE at a clean end, and, as the connection's last will, CONNECTIONBROKEN. A gateway says ONLINE and OFFLINE
for each vehicle it carries; its will can only speak for itself, on the status topic of the vehicle `gateway`.

Commands come on `fleets/{fleet}/{vehicle}/commands`, subscribed to before ONLINE is said, so that none that is sent
to a vehicle that is online is missed.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import aiomqtt
import msgspec

from simulator.commands import Driver
from simulator.fleet import GATEWAY, Device, Emission, Fleet, merge
from simulator.outbox import Outbox
from simulator.pace import Clock
from simulator.truth import Ledger
from wire.errors import Unavailable
from wire.urls import MqttAddress

__all__ = ["Connection", "Uplink", "connections"]

_WINDOW = 100  # publishes of one connection that may wait for their confirmation
_CONNECT_TIMEOUT_S = 5.0  # the client does not see a connection that breaks before its first answer
_TIMEOUT_S = 10.0  # for each later answer of the broker
_KEEPALIVE_S = 30
_BACKOFF_S = 0.25  # doubled with each attempt
_LONGEST_BACKOFF_S = 5.0
_VERSIONS = {"3.1.1": aiomqtt.ProtocolVersion.V311, "5": aiomqtt.ProtocolVersion.V5}


@dataclass(frozen=True)
class Uplink:
    """What the connections of one fleet share.

    Readings due at `end_ms` after the start or later are not sent. `opening` bounds how many connect at once.
    `patience_s` is how long a broker may be away at the very start, or at the end, before a connection gives up.
    """

    address: MqttAddress
    qos: int
    clock: Clock
    ledger: Ledger
    opening: asyncio.Semaphore
    tls: ssl.SSLContext | None = None
    mqtt_version: Literal["3.1.1", "5"] = "3.1.1"
    end_ms: float = float("inf")
    patience_s: float = 5.0


def connections(fleet: Fleet, uplink: Uplink, *, gateway: bool) -> list[Connection]:
    """The connections that a fleet needs."""
    if gateway:
        return [Connection(uplink, fleet.name, GATEWAY, fleet.devices, f"fleets/{fleet.name}/+/commands")]
    return [
        Connection(uplink, fleet.name, device.name, [device], f"fleets/{fleet.name}/{device.name}/commands")
        for device in fleet.devices
    ]


class Connection:
    """The MQTT session of some devices, renewed as often as it breaks.

    Readings of a device are sent in order. At QoS 1 several are in flight; one that was not confirmed when the
    connection broke is sent again, so that a broker may get it twice. While the broker is away the newest 1,000
    due readings are kept (see `Outbox`).
    """

    def __init__(self, uplink: Uplink, fleet: str, name: str, devices: Sequence[Device], commands: str) -> None:
        self.name = name
        self.connected = False
        self.opened = asyncio.Event()  # connected for the first time, or ended without
        self._uplink = uplink
        self._identifier = f"{fleet}-{name}"
        self._devices = devices
        self._commands = commands
        self._driver = Driver(devices)
        self._own_status = f"fleets/{fleet}/{name}/status"
        self._online = dict.fromkeys([self._own_status, *(_status(device.topic) for device in devices)])
        self._outbox: Outbox | None = None

    async def run(self) -> None:
        """Send everything that the devices have to say, until they end or the clock is stopped.

        Raises Unavailable when the broker can't be reached at the start.
        """
        try:
            await self._keep_connected()
        finally:
            self.connected = False
            self.opened.set()
            if self._outbox is not None:
                self._outbox.give_up()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        lost_at, attempts = loop.time(), 0
        # A task for each session: where a group fails while it is being left, Python 3.11 counts its task as
        # cancelled from then on, and up to 3.11.2 no timeout in such a task ends as one.
        while (failure := await loop.create_task(self._session(), name=f"session {self._identifier}")) is not None:
            if self.connected:
                self.connected = False
                lost_at, attempts = loop.time(), 0
            if self._outbox is not None:
                self._outbox.broken(self._uplink.clock.elapsed_ms)
            if loop.time() - lost_at > self._uplink.patience_s:
                if self._ending():
                    return
                if not self.opened.is_set():
                    raise Unavailable(f"MQTT broker not reachable at {self._uplink.address}: {failure}")
            await asyncio.sleep(random.uniform(0.2, 1) * min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2**attempts))
            attempts += 1

    def _ending(self) -> bool:
        """Whether nothing more will become due."""
        return self._uplink.clock.stopped or (self._outbox is not None and self._outbox.exhausted)

    async def _session(self) -> BaseException | None:
        """Connect and send until the end. When the broker goes away first, the reason is returned."""
        failure: BaseException | None = None
        try:
            async with AsyncExitStack() as stack:
                async with self._uplink.opening:
                    client = await stack.enter_async_context(self._client())
                client.timeout = _TIMEOUT_S
                await self._attend(client)
        except* (aiomqtt.MqttError, OSError) as errors:
            failure = _first(errors)
        return failure

    def _client(self) -> aiomqtt.Client:
        address = self._uplink.address
        client = aiomqtt.Client(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=self._identifier,
            protocol=_VERSIONS[self._uplink.mqtt_version],
            will=aiomqtt.Will(self._own_status, _presence("CONNECTIONBROKEN"), qos=1, retain=True),
            max_inflight_messages=0,  # no limit but our own window: a second queue would hold readings back
            tls_context=self._uplink.tls,
            keepalive=_KEEPALIVE_S,
            timeout=_CONNECT_TIMEOUT_S,
        )
        client.pending_calls_threshold = 2 * _WINDOW  # else it warns of more than ten
        return client

    async def _attend(self, client: aiomqtt.Client) -> None:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._obey(client, group), name=f"commands {self._identifier}")
            await client.subscribe(self._commands, qos=1)
            await self._say(client, "ONLINE", self._online)
            self.connected = True
            self.opened.set()
            try:
                await self._send(client)
            except asyncio.CancelledError:
                with suppress(Exception):  # at once, when it is the connection that was lost
                    await self._say(client, "OFFLINE", self._online)
                raise
            await self._say(client, "OFFLINE", self._online)
            watch.cancel()

    async def _obey(self, client: aiomqtt.Client, group: asyncio.TaskGroup) -> None:
        """Carry out commands. Raises MqttError as soon as the connection is lost, also while nothing is sent."""
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            response_topic = getattr(message.properties, "ResponseTopic", None)
            correlation = getattr(message.properties, "CorrelationData", None)
            told = self._driver.tell(message.topic.value, message.payload, response_topic, correlation)
            if told is not None:
                group.create_task(client.publish(told.topic, told.payload, qos=1))

    async def _send(self, client: aiomqtt.Client) -> None:
        outbox = await self._filled_outbox()
        window = asyncio.Semaphore(_WINDOW)
        async with asyncio.TaskGroup() as publishes:
            while True:
                await window.acquire()
                due_ms = outbox.next_due_ms
                if due_ms is None or not (outbox.waiting or await self._uplink.clock.reach(due_ms)):
                    return
                # Tasks start in the order of their making, and a publish is on its way at its first step.
                publishes.create_task(self._publish(client, outbox, outbox.take(), window))

    async def _filled_outbox(self) -> Outbox:
        if self._outbox is None:
            await self._uplink.clock.started()
            emissions = merge(self._devices, self._uplink.clock.start_ms)
            in_time = takewhile(lambda emission: emission.due_ms < self._uplink.end_ms, emissions)
            self._outbox = Outbox(in_time, self._uplink.ledger)
        return self._outbox

    async def _publish(
        self, client: aiomqtt.Client, outbox: Outbox, emission: Emission, window: asyncio.Semaphore
    ) -> None:
        await client.publish(emission.topic, emission.payload, qos=self._uplink.qos)
        outbox.confirm(emission)
        if emission.last:
            ended = _status(emission.topic)
            await self._say(client, "OFFLINE", [ended])
            self._online.pop(ended, None)
        window.release()

    async def _say(self, client: aiomqtt.Client, state: str, topics: Iterable[str]) -> None:
        """Publish the presence of some devices, a window full at a time."""
        payload = _presence(state, self._uplink.clock.time_ms)
        left = list(topics)
        while left:
            async with asyncio.TaskGroup() as publishes:
                for topic in left[:_WINDOW]:
                    publishes.create_task(client.publish(topic, payload, qos=1, retain=True))
            del left[:_WINDOW]


def _status(telemetry: str) -> str:
    return telemetry.removesuffix("telemetry") + "status"


def _presence(state: str, ts: int | None = None) -> bytes:
    clock = {} if ts is None else {"ts": ts}
    return msgspec.json.encode({**clock, "values": {"connectionState": state}})


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

"""Commands on their way to devices, and what comes of them: Redis → MQTT, until each has its last reply.

A command waits in a stream of Redis until it is settled, so a crash loses none. The last reply is stored first and
then the command is struck out; after a crash in between the reply is found in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from math import ceil

import msgspec

from ingest.commands.alarm import Alarm
from ingest.commands.answers import presence_in, read_answers
from ingest.commands.hearing import Hearing
from ingest.commands.queue import Queue, Taken
from ingest.commands.waiting import Pending, Waiting
from ingest.downlink import PUBLISHES, Downlink
from ingest.metrics import Metrics
from ingest.settings import Settings
from ingest.writer import Batch, DeadLetter, Writer
from wire import keys
from wire.clock import now_ms
from wire.command import MAX_TTL, Command, Reply, decode_command, reply_of
from wire.data import MAX_MESSAGE_BYTES, check_data
from wire.errors import PayloadError, TopicError, Unavailable
from wire.ids import LAST, parse_id
from wire.reading import UNREADABLE, decode_message, decode_reading, encode, split
from wire.store import Entry
from wire.topics import Vehicle, parse

__all__ = ["Commands"]

log = logging.getLogger("fleetwire.ingest.commands")

MOST = 10_000  # commands that a bridge holds; the others stay in the stream
READ = 500  # at once
READ_SECONDS = 2.0  # the longest wait for new ones
KEEP_SECONDS = 5.0  # a third of `queue.IDLE_MS`
LOOK = 500  # vehicles that are looked up at once


class Commands:
    """Takes the commands of one partition, sends them, and settles them. `run` it beside the pipeline, and the
    downlink beside both.

    `subscribed` returns when a reply would be heard: nothing is sent before."""

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        downlink: Downlink,
        subscribed: Callable[[], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._writer = writer
        self._downlink = downlink
        self._subscribed = subscribed
        self._metrics = metrics
        self._waiting = Waiting()
        self._queue = Queue(writer.redis, writer.partition, settings.client_id)
        self._hearing = Hearing(writer.redis, writer.partition, self._hear, self._doubt)
        self._sends = Alarm(self._waiting.next_due)
        self._ends = Alarm(self._waiting.next_end)
        self._settled: set[str] = set()  # to be struck out of the stream
        self._settling = asyncio.Event()
        self._doubtful = False  # whether something may have been said unheard

    def __len__(self) -> int:
        """How many this bridge holds."""
        return len(self._waiting)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (self._hearing.run, self._take, self._send, self._time_out, self._settle):
                group.create_task(work(), name=f"commands {work.__name__.strip('_')}")

    async def _take(self) -> None:
        """Keep what is ours, succeed bridges that are gone, and take what is new."""
        loop = asyncio.get_running_loop()
        while True:
            await self._keep()
            until = loop.time() + KEEP_SECONDS
            while (left := until - loop.time()) > 0:
                if (room := MOST - len(self._waiting)) <= 0:
                    await asyncio.sleep(left)
                    break
                count, wait_ms = min(room, READ), ceil(min(left, READ_SECONDS) * 1000)
                taken = await self._writer.patiently(partial(self._queue.read, count, wait_ms))
                self._metrics.commands_taken.inc(len(taken))
                await self._admit(taken, sent=False)

    async def _keep(self) -> None:
        """Make what we hold and what Redis says is ours agree."""
        patiently = self._writer.patiently
        before = {pending.id for pending in self._waiting.all}
        ours = await patiently(partial(self._queue.held, 2 * MOST))
        await patiently(partial(self._queue.refresh, ours))
        for id in before - ours:  # we were away for long, and another bridge has it
            self._waiting.forget(id)
        unknown = {id for id in ours - self._settled if id not in self._waiting}
        taken = await patiently(partial(self._queue.fetch, unknown))
        for id in unknown - {entry.id for entry in taken}:  # struck out by somebody else
            self._leave(id)
        if (room := MOST - len(self._waiting) - len(taken)) > 0:
            taken += await patiently(partial(self._queue.claim, min(room, READ)))
        await self._admit(taken, sent=True)
        await self._hearing.listen(_channels(self._waiting.vehicles))
        if self._doubtful:
            self._doubtful = False
            await self._look(self._waiting.all)

    async def _admit(self, taken: Iterable[Taken], *, sent: bool) -> None:
        """Let them wait. `sent`: whether they may have been sent before."""
        added, dead = [], []
        for entry in taken:
            try:
                vehicle, command = _read(entry, now_ms())
            except PayloadError as error:
                self._metrics.dead.labels(error.reason).inc()
                dead.append(DeadLetter(keys.COMMANDS, error.reason, str(error), entry.fields.get(b"b", b"")))
                self._leave(entry.id)
            else:
                added.append(self._waiting.add(entry.id, vehicle, command, now_ms(), sent=sent))
        if dead:
            log.warning("%d commands that can't be read, the first: %s", len(dead), dead[0].detail)
            await self._writer.write(Batch([], dead))
        if added:
            await self._hearing.listen(_channels(self._waiting.vehicles))
            await self._look([pending for pending in added if pending is not None])
            self._sends.changed()
            self._ends.changed()

    async def _send(self) -> None:
        while True:
            await self._sends.ring()
            await self._downlink.connected()
            await self._subscribed()
            due = self._waiting.due(now_ms(), PUBLISHES)
            await self._look([pending for pending in due if pending.sent])
            async with asyncio.TaskGroup() as group:  # its tasks begin in this order, and so do the publishes
                for pending in due:
                    if pending.id in self._waiting:
                        group.create_task(self._publish(pending))

    async def _publish(self, pending: Pending) -> None:
        command = pending.command
        payload = {"correlation": pending.id, "ts": command.ts, "expires": command.expires, "data": command.data}
        try:
            await self._downlink.publish(
                f"{pending.vehicle}/commands",
                msgspec.json.encode(payload),
                response_topic=f"{pending.vehicle}/replies",
                correlation=pending.id.encode(),
                expiry_s=max(1, ceil((command.expires - now_ms()) / 1000)),
            )
        except Unavailable:  # the downlink says why, once for all
            self._waiting.failed(pending, now_ms())
        else:
            self._metrics.commands_sent.inc()
            self._waiting.sent(pending, now_ms())

    async def _time_out(self) -> None:
        """Reply in the device's place when it has not, in time."""
        while True:
            await self._ends.ring()
            over = self._waiting.over(now_ms(), READ)
            await self._look(over)
            over = [pending for pending in over if pending.id in self._waiting]
            ours = await self._writer.patiently(partial(self._queue.holds, [pending.id for pending in over]))
            entries = []
            for pending in over:
                if pending.id in ours:
                    pending.seen = LAST  # what comes now is too late
                    reason = self._waiting.reason(pending)
                    self._metrics.commands_timed_out.labels(reason).inc()
                    reply = Reply(pending.id, "TIMED_OUT", reason).message(now_ms())
                    entries.append(Entry(f"{pending.vehicle}/replies", encode(reply)))
            if entries:
                await self._writer.write(Batch(entries, []))
            for pending in over:
                self._waiting.forget(pending.id)
                if pending.id in ours:
                    self._leave(pending.id)

    async def _settle(self) -> None:
        while True:
            await self._settling.wait()
            self._settling.clear()
            ids = set(self._settled)
            await self._writer.patiently(partial(self._queue.settle, ids))
            self._settled -= ids

    def _leave(self, id: str) -> None:
        """It is settled."""
        self._waiting.forget(id)
        self._settled.add(id)
        self._settling.set()

    async def _look(self, wanted: Collection[Pending]) -> None:
        """Learn what is stored about them: presence, and replies."""
        after: dict[str, int] = {}
        for pending in wanted:
            after[pending.vehicle] = min(pending.seen, after.get(pending.vehicle, pending.seen))
        vehicles = list(after)
        for start in range(0, len(vehicles), LOOK):
            some = {vehicle: after[vehicle] for vehicle in vehicles[start : start + LOOK]}
            look = partial(read_answers, self._writer.redis, self._writer.partition, some)
            for vehicle, presence, replies in await self._writer.patiently(look):
                if presence is not None:
                    self._waiting.present(vehicle, *presence, now_ms())
                    self._sends.changed()
                for order, reply in replies:
                    self._answer(vehicle, order, reply)

    def _hear(self, topic: str, payload: bytes) -> None:
        """What a bridge has just stored."""
        vehicle, _, kind = topic.rpartition("/")
        with suppress(*UNREADABLE):  # anyone with redis-cli may publish anything
            id, body = split(payload)
            if kind == "replies":
                self._answer(vehicle, parse_id(id), reply_of(decode_message(body)))
            elif (presence := presence_in(decode_reading(body))) is not None:
                self._waiting.present(vehicle, *presence, now_ms())
                self._sends.changed()

    def _answer(self, vehicle: str, order: int, reply: Reply) -> None:
        pending = self._waiting.get(reply.correlation, vehicle)
        if pending is None or order <= pending.seen:
            return
        pending.seen = order
        self._metrics.commands_answered.labels(reply.status).inc()
        if reply.final:
            self._leave(pending.id)
        else:
            self._waiting.progress(pending)

    def _doubt(self) -> None:
        self._doubtful = True


def _channels(vehicles: Iterable[str]) -> list[str]:
    return [f"{vehicle}/{kind}" for vehicle in vehicles for kind in ("status", "replies")]


def _read(entry: Taken, now: int) -> tuple[str, Command]:
    """Vehicle and command of an entry: what goes to a device is what a node may have written there, whoever has.
    Raises PayloadError for anything else."""
    try:
        topic, body = entry.fields[b"topic"].decode(), entry.fields[b"b"]
        if len(body) > MAX_MESSAGE_BYTES:
            raise PayloadError("too_big", f"a command of {len(body)} bytes, at most {MAX_MESSAGE_BYTES} are sent")
        parsed, command = parse(topic), decode_command(body)
        check_data(command.data)
    except (KeyError, *UNREADABLE, TopicError) as error:
        raise PayloadError("bad_command", str(error)) from None
    if not isinstance(parsed, Vehicle) or parsed.kind != "commands":
        raise PayloadError("bad_command", f"not a topic of commands: {topic[:128]!r}")
    if not 1 <= command.ttl <= MAX_TTL or command.expires > now + 2 * MAX_TTL:
        raise PayloadError("bad_command", f"a time to live of {command.ttl} ms after {command.ts}")
    return topic.removesuffix("/commands"), command

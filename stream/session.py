"""One client, without its socket: commands in, frames out through the outbox."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from msgspec import Raw

from stream.gate import Pass
from stream.grants import Grants
from stream.node import Node
from stream.outbox import Frame, Outbox
from stream.rate import Ration
from stream.subscriptions import Subscriptions
from wire import protocol, topics
from wire.clock import now_ms
from wire.errors import CommandError, TopicError
from wire.protocol import Format

__all__ = ["Session"]

WIDE = 5  # commands that one about a filter with wildcards counts as
NONSENSE = 10  # commands that what nobody can read, or a bad token, counts as
PENANCE_SECONDS = 3.0  # before one who goes on and on is closed: coming back at once would cost more than this


class Session:
    """What one client has: grants, subscriptions and an outbox. `close` it at the end, however it ends. `place`: as
    what it counts among the connections."""

    def __init__(self, node: Node, format: Format, grants: Grants, outbox: Outbox, place: Pass | None = None) -> None:
        self._node = node
        self._format: Format = format
        self._expiry: asyncio.TimerHandle | None = None
        self.outbox = outbox
        self._grants = grants
        self.subscriptions = Subscriptions(node, format, grants, outbox)
        outbox.on_drained = self.subscriptions.catch_up
        self._place = place
        self._ration = Ration(grants.commands(node.commands))
        self._expire_at(grants.expires)
        if not (grants.subscribe or grants.publish or grants.expires):
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(node.settings.limits.authorize_s, self._give_up)
        node.enter(self.outbox)

    def close(self) -> None:
        """Give up all subscriptions."""
        self._expire_at(None)
        self.outbox.close(1000)
        self.outbox.on_drained = _nothing  # what leads back to us goes: the garbage collector rests
        self._node.exit(self.outbox)
        self.subscriptions.clear()

    async def receive(self, data: bytes | str) -> None:
        """Carry out the command in a frame. What goes wrong is told in an error reply, and never raised."""
        await self.outbox.room()
        if self.outbox.close_code == 4029:
            return
        try:
            command = protocol.decode_command(data, self._format)
        except CommandError as error:
            request = protocol.request_of(data, self._format)
            if await self._may(NONSENSE, *request):
                self._fail(error, *request)
            return
        action = str(command.__struct_config__.tag)
        if not await self._may(self._cost(command), action, command.request_id):
            return
        try:
            await self._carry_out(command, action)
            self._node.metrics.commands.labels(action).inc()
        except TopicError as error:
            self._fail(CommandError("invalid_topic", str(error)), action, command.request_id)
        except CommandError as error:
            if error.reason == "invalid_token":
                self._ration.charge(asyncio.get_running_loop().time(), NONSENSE)
            self._fail(error, action, command.request_id)

    def _cost(self, command: protocol.Command) -> int:
        match command:
            case protocol.Subscribe() | protocol.Get() | protocol.History():
                return WIDE if topics.is_wide(command.topic) else 1
            case protocol.Update() if topic := self.subscriptions.topic(command.subscription_id):
                return WIDE if topics.is_wide(topic) else 1
        return 1

    async def _may(self, cost: int, action: str | None, request_id: str | None) -> bool:
        """Whether the client may send this much now. If not it is told so, and closed when it goes on and on."""
        wait = self._ration.take(asyncio.get_running_loop().time(), cost)
        if not wait:
            return True
        if self._ration.exhausted:
            self._node.metrics.refusals.labels("flood").inc()
            await asyncio.sleep(PENANCE_SECONDS)  # nothing of it is read meanwhile
            self.outbox.close(4029)
        else:
            self._node.metrics.refusals.labels("commands").inc()
            per_second, burst = self._ration.rate
            text = f"at most {per_second:g} commands a second, and {burst:g} at once: try again in {wait:.1f} s"
            self._fail(CommandError("too_many_commands", text), action, request_id)
        return False

    async def _carry_out(self, command: protocol.Command, action: str) -> None:
        match command:
            case protocol.Subscribe():
                await self.subscriptions.add(command)
            case protocol.Update():
                self.subscriptions.update(command)
            case protocol.Unsubscribe():
                self.subscriptions.remove(command.subscription_id)
                self._reply(protocol.Reply(action=action, request_id=command.request_id, ts=now_ms()))
            case protocol.Publish():
                self._grants.check("publish", _topic(command.topic))
                publish = self._node.publisher.publish
                id = await publish(command.topic, command.data, self._grants.subject, command.ttl)
                self._reply(protocol.PublishReply(action=action, request_id=command.request_id, ts=now_ms(), id=id))
            case protocol.Get():
                self._grants.check("subscribe", topics.check_filter(command.topic))
                view = self._grants.view(self._format, meta=command.meta)
                states = await self._node.states(command.topic)
                self._reply_items(
                    command, action, [Raw(item.encoded(view)) for item in states if view.shows(item.body)]
                )
            case protocol.History():
                self._grants.check("subscribe", topics.check_filter(command.topic))
                view = self._grants.view(self._format, command.signals, command.meta)
                page = await self._node.past.page(command, view)
                self._reply_items(command, action, page.data, page.cursor, page.trimmed)
            case protocol.Authorize():
                granted = await self._node.authority.grants(command.authorization)
                if self._place is not None:
                    self._place.change(granted)
                self._grants = granted
                self._ration.rate = granted.commands(self._node.commands)
                self._expire_at(self._grants.expires)
                for id, error in self.subscriptions.grant(granted).items():
                    self._fail(error, "subscription", None, id)
                self._reply(protocol.Reply(action=action, request_id=command.request_id, ts=now_ms()))
            case protocol.Ping():
                name = self._node.settings.node_name
                reply = protocol.PingReply(action=action, request_id=command.request_id, ts=now_ms(), node=name)
                self._reply(reply)

    def _expire_at(self, expires: float | None) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if expires is not None:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(max(0.0, expires - time.time()), self.outbox.close, 4001)

    def _give_up(self) -> None:
        """The client has shown no token in time."""
        self._node.metrics.refusals.labels("authorize").inc()
        self.outbox.close(4001)

    def _reply(self, reply: Any) -> None:
        self.outbox.put(Frame(protocol.encode(reply, self._format)))

    def _reply_items(
        self,
        command: protocol.Get | protocol.History,
        action: str,
        data: list[Raw],
        cursor: str | None = None,
        trimmed: str | None = None,
    ) -> None:
        reply = protocol.ItemsReply(
            action=action, request_id=command.request_id, ts=now_ms(), cursor=cursor, trimmed=trimmed, data=data
        )
        self._reply(reply)

    def _fail(
        self, error: CommandError, action: str | None, request_id: str | None, subscription_id: str | None = None
    ) -> None:
        self._node.metrics.errors.labels(error.reason).inc()
        self._reply(protocol.error_reply(error, action, request_id, subscription_id))


def _nothing() -> None:
    pass


def _topic(topic: str) -> str:
    topics.parse(topic)
    return topic

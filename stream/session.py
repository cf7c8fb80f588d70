"""One client, without its socket: commands in, frames out through the outbox."""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import reduce
from typing import Any

from msgspec import UNSET, Raw
from msgspec.structs import replace

from stream.gate import Pass
from stream.grants import Grants
from stream.group import Group
from stream.member import Member
from stream.node import Node
from stream.outbox import Frame, Outbox
from stream.player import Player, Start
from stream.query import Query, query
from stream.rate import Ration
from wire import protocol, topics
from wire.clock import now_ms
from wire.cursor import Cursor, parse_cursor
from wire.errors import CommandError, TopicError
from wire.ids import SEQUENCE_BITS, id_before
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
        self._members: dict[str, Member] = {}  # by subscription id
        self._asked: dict[str, protocol.Subscribe] = {}
        self._players: dict[str, Player] = {}  # of those subscriptions that play the log
        self._expiry: asyncio.TimerHandle | None = None
        self.outbox = outbox
        outbox.on_drained = self._catch_up
        self._grants = grants
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
        for id in list(self._members):
            self._unsubscribe(id)

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
            case protocol.Update() if asked := self._asked.get(command.subscription_id):
                return WIDE if topics.is_wide(asked.topic) else 1
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
                await self.subscribe(command)
            case protocol.Update():
                self._update(command)
            case protocol.Unsubscribe():
                self._unsubscribe(command.subscription_id)
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
                self._check_members()
                self._reply(protocol.Reply(action=action, request_id=command.request_id, ts=now_ms()))
            case protocol.Ping():
                name = self._node.settings.node_name
                reply = protocol.PingReply(action=action, request_id=command.request_id, ts=now_ms(), node=name)
                self._reply(reply)

    async def subscribe(self, command: protocol.Subscribe) -> None:
        """Reply, then what the subscription begins with, then live frames. Asking for the same again begins anew.

        Raises CommandError and TopicError."""
        topic = topics.check_filter(command.topic)
        self._grants.check("subscribe", topic)
        since = _cursor(command.since, len(self._node.layout)) if command.since is not None else None
        most = self._grants.limits.subscriptions or self._node.settings.subscriptions
        if len(self._members) >= most:
            raise CommandError("too_many_subscriptions", f"at most {most} on one connection")
        self._check_wide(topic)
        asked = self._query(command)
        try:
            await self._node.follow(topic)
        except BaseException:
            self._node.unfollow(topic)
            raise
        if self.outbox.close_code is not None:
            self._node.unfollow(topic)
            return
        if command.from_ is not None:
            self._play("subscribe", command, since)
            return
        group = self._node.group(asked)
        before = self._members.get(group.id)
        self._reply_subscribed("subscribe", command, group.id)
        self._members[group.id] = self._node.join(group, self.outbox, snapshot=command.snapshot, since=since)
        if before is not None:  # it leaves after it has joined again: so the group, and its id, stay
            self._node.leave(before)
            self._node.unfollow(topic)
        self._asked[group.id] = command

    def _check_wide(self, topic: str) -> None:
        most = self._grants.limits.subscriptions or self._node.settings.limits.wide_subscriptions
        if most and topics.is_wide(topic) and sum(topics.is_wide(one.topic) for one in self._asked.values()) >= most:
            raise CommandError("too_many_subscriptions", f"at most {most} with wildcards on one connection")

    def _update(self, command: protocol.Update) -> None:
        """Reply, then go on in the group that serves what is asked for from now on: from where the client was in
        the old one, or, where the picture is another, with the whole of it."""
        before = self._member(command.subscription_id)
        wanted = command.applied(self._asked[before.group.id])
        if wanted.from_ is not None:
            self._query(wanted)  # what is refused changes nothing
            self._replay(before, wanted, seeks=command.from_ is not UNSET)
            return
        asked = self._query(wanted)
        own = before.group.query.own
        if before.group.id not in self._players and asked._replace(own=own) == before.group.query:
            asked = before.group.query
        group = self._node.group(asked)
        if group is before.group:
            self._reply_subscribed("update", wanted, group.id)
        else:
            before.group.flush()  # what waits there is not lost, and what waits here is not told again
            group.flush()
            self._reply_subscribed("update", wanted, group.id)
            self._move(before, group)
        self._asked[group.id] = wanted

    def _move(self, before: Member, group: Group) -> None:
        """From one group to another. If the client is there already, its two subscriptions are one from now on."""
        other = self._members.get(group.id)
        player = self._players.pop(before.group.id, None)
        if player is not None:
            player.stop()
        known = [before] if player is None and group.query.continues(before.group.query) else []
        if other is not None and (known or group.query.strategy == "batch"):
            known.append(other)
        since = reduce(Cursor.earlier, (member.group.given(member) for member in known)) if known else None
        member = self._node.join(group, self.outbox, snapshot=True, since=since)
        if since is None and before.missed_message and before.group.is_behind(before):
            group.announce_gap(member, before.cursor, group.horizon)
        self._node.leave(before)
        del self._members[before.group.id], self._asked[before.group.id]
        if other is not None:
            self._node.leave(other)
            self._node.unfollow(group.query.filter)
        self._members[group.id] = member

    def _play(self, action: str, command: protocol.Subscribe, since: Cursor | None, id: str = "") -> None:
        """Reply, then play the log to a group of the client's own, from a cursor or a time."""
        assert command.from_ is not None
        id = id or secrets.token_urlsafe(6)
        asked = self._query(command)._replace(own=id)
        position, after = command.from_, Cursor((id_before(command.from_),) * len(self._node.layout))
        if since is not None:
            position, after = max(since) >> SEQUENCE_BITS, since
        # Where a replay goes on, or begins elsewhere, the client knows what only a snapshot makes good again.
        again = (since is not None or action == "update") and not (asked.strategy == "batch" and asked.resumable)
        snapshot = again or (command.snapshot and since is None)
        self._reply_subscribed(action, command, id)
        start = Start(after, position, 1.0 if command.speed is None else command.speed, snapshot)
        player = Player(self._node, asked, self.outbox, start, lambda: self._live(id))
        self._players[id], self._members[id], self._asked[id] = player, player.member, command

    def _replay(self, before: Member, wanted: protocol.Subscribe, *, seeks: bool) -> None:
        """Begin to play, or anew from elsewhere, or play on as is wanted from now on."""
        id, player = before.group.id, self._players.get(before.group.id)
        before.group.flush()
        if player is None or seeks:
            self._leave(before)
            self._play("update", wanted, None, before.group.query.own)
        else:
            self._reply_subscribed("update", wanted, id)
            player.ask(self._query(wanted)._replace(own=id))
            player.turn(1.0 if wanted.speed is None else wanted.speed)
            self._members[id], self._asked[id] = player.member, wanted

    def _live(self, id: str) -> None:
        """A replay has come to the present."""
        self._members[id] = self._players.pop(id).member
        self._asked[id] = replace(self._asked[id], from_=None, speed=None)

    def _member(self, id: str) -> Member:
        member = self._members.get(id)
        if member is None:
            raise CommandError("unknown_subscription", f"no subscription {id[:64]!r} on this connection")
        return member

    def _reply_subscribed(self, action: str, asked: protocol.Subscribe, id: str) -> None:
        signals = self._grants.signals if asked.signals is None else None
        reply = protocol.SubscribeReply(
            action=action, request_id=asked.request_id, ts=now_ms(), subscription_id=id, signals=signals
        )
        self._reply(reply)

    def _unsubscribe(self, id: str) -> None:
        member = self._member(id)
        self._leave(member)
        self._node.unfollow(member.group.query.filter)

    def _leave(self, member: Member) -> None:
        id = member.group.id
        if player := self._players.pop(id, None):
            player.stop()
        del self._members[id], self._asked[id]
        self._node.leave(member)

    def _catch_up(self) -> None:
        """The outbox has drained: serve those of the subscriptions that fell behind."""
        for member in self._members.values():
            if member.group.is_behind(member):
                self._node.catch_up(member)

    def _query(self, command: protocol.Subscribe) -> Query:
        """What a client may be shown of what it asks for. Raises CommandError, reason `forbidden_signal`."""
        self._grants.check_shape(command)
        return query(command, self._grants.view(self._format, command.signals, command.meta))

    def _check_members(self) -> None:
        """End the subscriptions to what is granted no more, or otherwise."""
        for id, member in list(self._members.items()):
            try:
                self._grants.check("subscribe", member.group.query.filter)
                if self._query(self._asked[id]).view != member.group.query.view:
                    raise CommandError("grants_changed", "other signals are granted now: subscribe anew")
            except CommandError as error:
                self._unsubscribe(id)
                self._fail(error, "subscription", None, id)

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


def _cursor(text: str, partitions: int) -> Cursor:
    """The cursor in a text. Raises CommandError, reason `invalid_cursor`."""
    try:
        return parse_cursor(text, partitions)
    except ValueError:
        raise CommandError("invalid_cursor", "not a cursor of this service") from None

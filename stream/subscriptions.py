"""What one client is subscribed to, and what it did to get there."""

from __future__ import annotations

import secrets
from functools import reduce

from msgspec import UNSET
from msgspec.structs import replace

from stream.grants import Grants
from stream.group import Group
from stream.member import Member
from stream.node import Node
from stream.outbox import Frame, Outbox
from stream.player import Player, Start
from stream.query import Query, query
from wire import protocol, topics
from wire.clock import now_ms
from wire.cursor import Cursor, parse_cursor
from wire.errors import CommandError
from wire.ids import SEQUENCE_BITS, id_before
from wire.protocol import Format

__all__ = ["Subscriptions"]


class Subscriptions:
    """The subscriptions of one client, as long as its grants cover them. Replies and frames go to its outbox."""

    def __init__(self, node: Node, format: Format, grants: Grants, outbox: Outbox) -> None:
        self._node = node
        self._format: Format = format
        self._grants = grants
        self._outbox = outbox
        self.members: dict[str, Member] = {}  # by subscription id
        self._asked: dict[str, protocol.Subscribe] = {}
        self._players: dict[str, Player] = {}  # of those subscriptions that play the log

    def clear(self) -> None:
        """Give up all of them."""
        for id in list(self.members):
            self.remove(id)

    def topic(self, id: str) -> str | None:
        """What a subscription is about."""
        return self._asked[id].topic if id in self._asked else None

    def grant(self, grants: Grants) -> dict[str, CommandError]:
        """From now on the client may see this. The subscriptions to what is granted no more, or otherwise, end: they
        are told by id, with the reason."""
        self._grants = grants
        ended = {}
        for id, member in list(self.members.items()):
            try:
                grants.check("subscribe", member.group.query.filter)
                if self._query(self._asked[id]).view != member.group.query.view:
                    raise CommandError("grants_changed", "other signals are granted now: subscribe anew")
            except CommandError as error:
                self.remove(id)
                ended[id] = error
        return ended

    async def add(self, command: protocol.Subscribe) -> None:
        """Reply, then what the subscription begins with, then live frames. Asking for the same again begins anew.

        Raises CommandError and TopicError."""
        topic = topics.check_filter(command.topic)
        self._grants.check("subscribe", topic)
        since = _cursor(command.since, len(self._node.layout)) if command.since is not None else None
        most = self._grants.limits.subscriptions or self._node.settings.subscriptions
        if len(self.members) >= most:
            raise CommandError("too_many_subscriptions", f"at most {most} on one connection")
        self._check_wide(topic)
        asked = self._query(command)
        try:
            await self._node.follow(topic)
        except BaseException:
            self._node.unfollow(topic)
            raise
        if self._outbox.close_code is not None:
            self._node.unfollow(topic)
            return
        if command.from_ is not None:
            self._play("subscribe", command, since)
            return
        group = self._node.group(asked)
        before = self.members.get(group.id)
        self._reply("subscribe", command, group.id)
        self.members[group.id] = self._node.join(group, self._outbox, snapshot=command.snapshot, since=since)
        if before is not None:  # it leaves after it has joined again: so the group, and its id, stay
            self._node.leave(before)
            self._node.unfollow(topic)
        self._asked[group.id] = command

    def _check_wide(self, topic: str) -> None:
        most = self._grants.limits.subscriptions or self._node.settings.limits.wide_subscriptions
        if most and topics.is_wide(topic) and sum(topics.is_wide(one.topic) for one in self._asked.values()) >= most:
            raise CommandError("too_many_subscriptions", f"at most {most} with wildcards on one connection")

    def update(self, command: protocol.Update) -> None:
        """Reply, then go on in the group that serves what is asked for from now on: from where the client was in
        the old one, or, where the picture is another, with the whole of it. Raises CommandError."""
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
            self._reply("update", wanted, group.id)
        else:
            before.group.flush()  # what waits there is not lost, and what waits here is not told again
            group.flush()
            self._reply("update", wanted, group.id)
            self._move(before, group)
        self._asked[group.id] = wanted

    def _move(self, before: Member, group: Group) -> None:
        """From one group to another. If the client is there already, its two subscriptions are one from now on."""
        other = self.members.get(group.id)
        player = self._players.pop(before.group.id, None)
        if player is not None:
            player.stop()
        known = [before] if player is None and group.query.continues(before.group.query) else []
        if other is not None and (known or group.query.strategy == "batch"):
            known.append(other)
        since = reduce(Cursor.earlier, (member.group.given(member) for member in known)) if known else None
        member = self._node.join(group, self._outbox, snapshot=True, since=since)
        if since is None and before.missed_message and before.group.is_behind(before):
            group.announce_gap(member, before.cursor, group.horizon)
        self._node.leave(before)
        del self.members[before.group.id], self._asked[before.group.id]
        if other is not None:
            self._node.leave(other)
            self._node.unfollow(group.query.filter)
        self.members[group.id] = member

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
        self._reply(action, command, id)
        start = Start(after, position, 1.0 if command.speed is None else command.speed, snapshot)
        player = Player(self._node, asked, self._outbox, start, lambda: self._live(id))
        self._players[id], self.members[id], self._asked[id] = player, player.member, command

    def _replay(self, before: Member, wanted: protocol.Subscribe, *, seeks: bool) -> None:
        """Begin to play, or anew from elsewhere, or play on as is wanted from now on."""
        id, player = before.group.id, self._players.get(before.group.id)
        before.group.flush()
        if player is None or seeks:
            self._leave(before)
            self._play("update", wanted, None, before.group.query.own)
        else:
            self._reply("update", wanted, id)
            player.ask(self._query(wanted)._replace(own=id))
            player.turn(1.0 if wanted.speed is None else wanted.speed)
            self.members[id], self._asked[id] = player.member, wanted

    def _live(self, id: str) -> None:
        """A replay has come to the present."""
        self.members[id] = self._players.pop(id).member
        self._asked[id] = replace(self._asked[id], from_=None, speed=None)

    def _member(self, id: str) -> Member:
        member = self.members.get(id)
        if member is None:
            raise CommandError("unknown_subscription", f"no subscription {id[:64]!r} on this connection")
        return member

    def _reply(self, action: str, asked: protocol.Subscribe, id: str) -> None:
        signals = self._grants.signals if asked.signals is None else None
        reply = protocol.SubscribeReply(
            action=action, request_id=asked.request_id, ts=now_ms(), subscription_id=id, signals=signals
        )
        self._outbox.put(Frame(protocol.encode(reply, self._format)))

    def remove(self, id: str) -> None:
        """Raises CommandError, reason `unknown_subscription`."""
        member = self._member(id)
        self._leave(member)
        self._node.unfollow(member.group.query.filter)

    def _leave(self, member: Member) -> None:
        id = member.group.id
        if player := self._players.pop(id, None):
            player.stop()
        del self.members[id], self._asked[id]
        self._node.leave(member)

    def catch_up(self) -> None:
        """The outbox has drained: serve those of the subscriptions that fell behind."""
        for member in self.members.values():
            if member.group.is_behind(member):
                self._node.catch_up(member)

    def _query(self, command: protocol.Subscribe) -> Query:
        """What a client may be shown of what it asks for. Raises CommandError, reason `forbidden_signal`."""
        self._grants.check_shape(command)
        return query(command, self._grants.view(self._format, command.signals, command.meta))


def _cursor(text: str, partitions: int) -> Cursor:
    """The cursor in a text. Raises CommandError, reason `invalid_cursor`."""
    try:
        return parse_cursor(text, partitions)
    except ValueError:
        raise CommandError("invalid_cursor", "not a cursor of this service") from None

"""The hub: finds the groups that an item is for, and keeps the table that they draw on."""

from __future__ import annotations

from collections.abc import Callable

from stream.group import Group
from stream.item import Item
from stream.member import Member
from stream.metrics import Metrics
from stream.query import Query
from stream.table import Table
from wire.cursor import Cursor
from wire.partition import Layout
from wire.topics import Trie

__all__ = ["Hub"]


class Hub:
    """Finds the groups that an item is for."""

    def __init__(self, layout: Layout, table: Table, metrics: Metrics) -> None:
        self.layout = layout
        self.table = table
        self.metrics = metrics
        self.last = [0] * len(layout)  # by partition: the newest id that its feed brought, or healing reached
        self._groups: dict[Query, Group] = {}
        self._filters: Trie[Group] = Trie()
        self._routes: dict[str, list[Group]] = {}  # topic -> its groups, as long as the groups stay the same

    @property
    def reached(self) -> Cursor:
        """How far all partitions have come."""
        return Cursor(self.last)

    @property
    def groups(self) -> list[Group]:
        """All groups."""
        return list(self._groups.values())

    def group(self, query: Query) -> Group:
        """The group with this query, made when there is none."""
        group = self._groups.get(query)
        if group is None:
            group = Group(query, self.table, lambda: self.reached, self._numbers(query), self.metrics)
            self._register(group)
        return group

    def apart(self, query: Query, table: Table, reached: Callable[[], Cursor]) -> Group:
        """A group that is brought nothing: what it is given, and how far that is, others say."""
        return Group(query, table, reached, self._numbers(query), self.metrics)

    def hold(self, group: Group) -> Cursor:
        """Take in a group that was apart. Up to the cursor it is brought nothing; what comes after that it keeps,
        until it may `go_live`."""
        until = self.reached
        group.hold(until)
        self._register(group)
        return until

    def go_live(self, group: Group) -> None:
        """Let a group that has come to where it was taken in go on as the others do."""
        group.go_live(self.table, lambda: self.reached)

    def _register(self, group: Group) -> None:
        self._groups[group.query] = group
        self._filters.add(group.query.filter, group)
        self._routes.clear()
        self.metrics.groups.set(len(self._groups))

    def leave(self, member: Member) -> None:
        """Take a member out of its group, and the group away when it was the last."""
        group = member.group
        group.dismiss(member)
        if group.empty:
            group.stop()
        if group.empty and self._groups.get(group.query) is group:
            del self._groups[group.query]
            self._filters.remove(group.query.filter, group)
            self._routes.clear()
            self.metrics.groups.set(len(self._groups))

    def deliver(self, item: Item) -> None:
        """Pass on what the feed brought. What it brought before, by its id, is dropped."""
        if item.order <= self.last[item.partition]:
            return
        self.last[item.partition] = item.order
        state = self.table.apply(item)
        for group in self._routes.get(item.topic) or self._route(item.topic):
            group.add(item, state)

    def refresh(self, items: list[Item]) -> None:
        """Merge states that were loaded; what changed goes to the groups of `latest`. What is newer than the feed is
        left to it: a frame would tell more than its cursor says."""
        for group in self.groups:
            group.flush()  # so that no fresh member holds a cursor above what comes now
        for item in items:
            state = self.table.apply(item) if item.order <= self.last[item.partition] else None
            if state is not None:
                for group in self._route(item.topic):
                    if group.query.strategy == "latest":
                        group.rewind(state.partition, state.order - 1)
                        group.add(state, state)

    def renew(self, partition: int) -> None:
        """Show the states anew to those of `latest`, after some of a partition were forgotten."""
        for group in self.groups:
            if group.query.strategy == "latest" and partition in group.partitions:
                group.renew(self.table)

    def advance(self, partition: int, order: int) -> None:
        """Go on from another id: everything up to it has been delivered, or the store began anew below."""
        self.last[partition] = order
        for group in self.groups:
            group.flush()
            group.rewind(partition, order)

    def _numbers(self, query: Query) -> frozenset[int]:
        return frozenset(partition.number for partition in self.layout.matching(query.filter))

    def _route(self, topic: str) -> list[Group]:
        groups = self._routes.get(topic)
        if groups is None:
            groups = self._filters.match(topic)
            if len(self._routes) < 1_000_000:
                self._routes[topic] = groups
        return groups

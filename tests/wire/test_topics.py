"""Topics, filters, the trie and layouts, each held against a slower and plainer account of the same thing.

Segments come from two or three letters, so that filters and topics meet often.
"""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wire.errors import TopicError
from wire.topics import KINDS, Room, TopicLayout, Trie, Vehicle, _Node, check_filter, covers, matches, parse

FRESH = "z"  # a segment that no drawn filter spells out

topics = st.lists(st.sampled_from(["a", "b", FRESH]), min_size=1, max_size=5).map("/".join)
exact_filters = st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4).map("/".join)
open_filters = st.lists(st.sampled_from(["a", "b", "+"]), max_size=4).map(lambda levels: "/".join([*levels, "#"]))
filters = exact_filters | open_filters
segments = st.text(string.ascii_letters + string.digits + "._:-", min_size=1, max_size=64)
messy = st.text("ab/+#$\n é", max_size=12)


def plainly_matches(filter: str, topic: str) -> bool:
    """MQTT 5, section 4.7, as a regular expression."""
    if filter == "#":
        return True
    stem = filter.removesuffix("/#")
    pattern = "/".join("[^/]+" if level == "+" else re.escape(level) for level in stem.split("/"))
    return re.fullmatch(pattern + ("" if stem == filter else "(/.+)?"), topic) is not None


def is_segment(text: str) -> bool:
    return 1 <= len(text) <= 64 and set(text) <= set(string.ascii_letters + string.digits + "._:-")


def is_accepted(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except TopicError:
        return False
    return True


def instances(filter: str) -> list[str]:
    """The topics that tell a filter from a narrower one: fresh segments for `+`; none, one and two for `#`."""
    levels = [FRESH if level == "+" else level for level in filter.split("/")]
    if levels[-1] != "#":
        return ["/".join(levels)]
    return ["/".join(levels[:-1] + [FRESH] * more) for more in range(3) if levels[:-1] or more]


@st.composite
def wider(draw: st.DrawFn, filter: str) -> str:
    """A filter that covers the given one: levels become `+`, and the end may become `#`."""
    levels = [level if level == "#" or draw(st.booleans()) else "+" for level in filter.split("/")]
    if draw(st.booleans()):
        levels = [*levels[: draw(st.integers(0, len(levels) - (levels[-1] == "#")))], "#"]
    return "/".join(levels)


# Grammar


@given(segments, segments, st.sampled_from(KINDS))
def test_a_device_topic_is_read_into_its_parts(fleet: str, vehicle: str, kind: str) -> None:
    topic = f"fleets/{fleet}/{vehicle}/{kind}"
    assert parse(topic) == Vehicle(fleet, vehicle, kind)
    assert check_filter(topic) == topic


@given(segments)
def test_a_room_topic_is_read_into_its_part(room: str) -> None:
    assert parse(f"rooms/{room}") == Room(room)


BAD_SEGMENTS = ["", "$SYS", "a" * 65, "bérlin", "٣", "a b", "a\n", "\n", "a\0", "a+", "#a", "{a}", "*", "\ud800"]


@pytest.mark.parametrize("segment", [*BAD_SEGMENTS, "+", "#"])
@pytest.mark.parametrize("template", ["fleets/{}/v/status", "fleets/f/{}/status", "rooms/{}"])
def test_a_bad_segment_is_refused_and_named(template: str, segment: str) -> None:
    with pytest.raises(TopicError, match=re.escape(repr(segment))):
        parse(template.format(segment))


@pytest.mark.parametrize("kind", ["", "state", "Telemetry", "telemetry\n", "telemetry ", "+", "#"])
def test_an_unknown_kind_is_refused(kind: str) -> None:
    with pytest.raises(TopicError, match="unknown kind"):
        parse(f"fleets/f/v/{kind}")


@pytest.mark.parametrize(
    "topic",
    [
        *(
            "",
            "/",
            "fleets",
            "fleets/f",
            "fleets/f/v",
            "fleets/f/v/status/",
            "fleets/f/v/status/x",
            "fleet/f/v/status",
        ),
        *("rooms", "rooms/a/", "rooms/a/b", "/rooms/a", "Rooms/a", " rooms/a", "rooms\n/a", "$share/g/rooms/a"),
    ],
)
def test_what_has_another_shape_is_no_topic(topic: str) -> None:
    with pytest.raises(TopicError, match="not a topic"):
        parse(topic)


@given(st.lists(st.sampled_from(["fleets", "rooms", "a", "status", "", "a\n", "é", "$a", "+"]), max_size=5))
def test_parse_takes_what_the_grammar_has_and_nothing_else(levels: list[str]) -> None:
    match levels:
        case ["fleets", fleet, vehicle, kind]:
            accepted = is_segment(fleet) and is_segment(vehicle) and kind in KINDS
        case ["rooms", room]:
            accepted = is_segment(room)
        case _:
            accepted = False
    assert is_accepted(parse, "/".join(levels)) == accepted


@given(st.text(), st.sampled_from(["{}", "rooms/{}", "fleets/f/v/{}"]))
@example("x" * 500, "rooms/{}")
def test_an_error_is_one_short_line(text: str, template: str) -> None:
    for read in (parse, check_filter):
        with pytest.raises(TopicError) as caught:
            read(template.format("$" + text * 20))
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 2500  # at worst, every character of an excerpt is escaped


@pytest.mark.parametrize("filter", ["#", "+", "+/+", "+/#", "a/#", "a/+/b", "a/+/#", "rooms/" + "a" * 64])
def test_a_filter_is_given_back(filter: str) -> None:
    assert check_filter(filter) == filter


@pytest.mark.parametrize("level", BAD_SEGMENTS)
@pytest.mark.parametrize("template", ["{}", "{}/b", "a/{}", "+/{}/#"])
def test_a_filter_with_a_bad_level_is_refused(template: str, level: str) -> None:
    with pytest.raises(TopicError, match="bad segment"):
        check_filter(template.format(level))


@pytest.mark.parametrize("filter", ["a/#/b", "#/a", "#/#", "#/+", "#/", "++", "a+", "+a/b", "a#", "a/b#", "##"])
def test_a_wildcard_in_the_wrong_place_is_refused(filter: str) -> None:
    with pytest.raises(TopicError):
        check_filter(filter)


def test_a_filter_has_at_most_sixteen_levels() -> None:
    assert check_filter("/".join("+" * 16))
    with pytest.raises(TopicError, match="17 levels"):
        check_filter("/".join("+" * 17))


@given(messy)
def test_check_filter_takes_what_the_grammar_has_and_nothing_else(text: str) -> None:
    stem = text.split("/")[:-1] if text == "#" or text.endswith("/#") else text.split("/")
    accepted = all(level == "+" or is_segment(level) for level in stem)
    assert is_accepted(check_filter, text) == accepted


# Matching and covering


@given(filters, topics)
def test_matches_agrees_with_a_regular_expression(filter: str, topic: str) -> None:
    assert matches(filter, topic) == plainly_matches(filter, topic)


@given(filters)
def test_a_filter_matches_its_instances(filter: str) -> None:
    assert all(matches(filter, topic) for topic in instances(filter))


@pytest.mark.parametrize(("filter", "topic"), [("a/#", "a"), ("#", "a"), ("+/#", "a"), ("a/b/#", "a/b")])
def test_the_rest_includes_the_level_before_it(filter: str, topic: str) -> None:
    assert matches(filter, topic)


@pytest.mark.parametrize(("filter", "topic"), [("a/+", "a"), ("+", "a/b"), ("a/#", "ab"), ("a", "A"), ("a.b", "axb")])
def test_levels_are_compared_whole_and_as_they_are(filter: str, topic: str) -> None:
    assert not matches(filter, topic)


def test_covers_is_containment_wherever_all_topics_can_be_listed() -> None:
    stems = ["/".join(levels) for depth in range(1, 4) for levels in product("ab+", repeat=depth)]
    world = ["/".join(levels) for depth in range(1, 5) for levels in product(["a", "b", FRESH], repeat=depth)]
    matched = {
        filter: {topic for topic in world if plainly_matches(filter, topic)}
        for filter in ["#", *stems, *(f"{stem}/#" for stem in stems)]
    }
    for grant, filter in product(matched, repeat=2):
        assert covers(grant, filter) == (matched[filter] <= matched[grant]), (grant, filter)


@given(filters, topics, st.data())
def test_a_grant_matches_all_that_a_covered_filter_matches(filter: str, topic: str, data: st.DataObject) -> None:
    grant = data.draw(filters | wider(filter))
    if covers(grant, filter):
        assert not plainly_matches(filter, topic) or plainly_matches(grant, topic)
        assert all(plainly_matches(grant, instance) for instance in instances(filter))


@given(filters, filters)
def test_what_a_grant_does_not_cover_has_a_witness(grant: str, filter: str) -> None:
    witnesses = [topic for topic in instances(filter) if not plainly_matches(grant, topic)]
    assert bool(witnesses) == (not covers(grant, filter))


@given(filters, st.data())
def test_covers_is_reflexive_and_transitive(filter: str, data: st.DataObject) -> None:
    wide = data.draw(wider(filter))
    wider_still = data.draw(wider(wide))
    assert covers(filter, filter)
    assert covers(wide, filter)
    assert covers(wider_still, wide)
    assert covers(wider_still, filter)


@given(filters, filters, topics)
def test_filters_that_cover_each_other_match_the_same(one: str, other: str, topic: str) -> None:
    if covers(one, other) and covers(other, one):
        assert matches(one, topic) == matches(other, topic)
        assert one == other or {one, other} == {"#", "+/#"}


@given(filters)
def test_one_level_and_the_rest_is_everything(filter: str) -> None:
    assert covers("#", filter)
    assert covers("+/#", filter)
    assert covers(filter, "#") == covers(filter, "+/#") == (filter in ("#", "+/#"))


@pytest.mark.parametrize(
    ("grant", "filter"),
    [("a/+", "a/#"), ("a/+/#", "a/#"), ("+", "#"), ("+/+/#", "+/#"), ("a/#", "+/#"), ("a/b", "a/+"), ("a/#", "b/a")],
)
def test_a_grant_does_not_cover_more_than_it_says(grant: str, filter: str) -> None:
    assert not covers(grant, filter)


# The trie


def nodes(trie: Trie[int]) -> dict[str, list[int]]:
    """Every node below the root by its path, with its values in order."""
    found: dict[str, list[int]] = {}

    def walk(node: _Node[int], path: list[str]) -> None:
        for level, child in node.children.items():
            found["/".join([*path, level])] = list(child.values)
            walk(child, [*path, level])

    walk(trie._root, [])
    return found


values = st.integers(0, 2)


class TrieMachine(RuleBasedStateMachine):
    """A trie beside the plain list of what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.trie: Trie[int] = Trie()
        self.held: list[tuple[str, int]] = []

    @rule(filter=filters, value=values)
    def add(self, filter: str, value: int) -> None:
        self.trie.add(filter, value)
        if (filter, value) not in self.held:
            self.held.append((filter, value))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self.held))
        self.trie.remove(*pair)
        self.held.remove(pair)

    @rule(filter=filters, value=values)
    def remove_what_may_not_be_held(self, filter: str, value: int) -> None:
        if (filter, value) in self.held:
            self.trie.remove(filter, value)
            self.held.remove((filter, value))
        else:
            with pytest.raises(KeyError):
                self.trie.remove(filter, value)

    @rule(topic=topics)
    def match(self, topic: str) -> None:
        assert sorted(self.trie.match(topic)) == sorted(
            value for filter, value in self.held if matches(filter, topic)
        )

    @invariant()
    def has_the_nodes_that_its_filters_need_and_no_other(self) -> None:
        needed: defaultdict[str, list[int]] = defaultdict(list)
        for filter, value in self.held:
            levels = filter.split("/")
            for depth in range(1, len(levels)):
                _ = needed["/".join(levels[:depth])]
            needed[filter].append(value)
        assert nodes(self.trie) == needed
        assert len(self.trie) == len(self.held)

    def teardown(self) -> None:
        for pair in self.held:
            self.trie.remove(*pair)
        assert len(self.trie) == 0
        assert nodes(self.trie) == {}


test_a_trie_holds_what_a_list_would = TrieMachine.TestCase


@given(st.lists(st.tuples(filters, values), unique=True), topics)
def test_a_trie_agrees_with_matches(pairs: list[tuple[str, int]], topic: str) -> None:
    trie: Trie[int] = Trie()
    for pair in pairs:
        trie.add(*pair)
    while pairs:
        assert sorted(trie.match(topic)) == sorted(value for filter, value in pairs if matches(filter, topic))
        trie.remove(*pairs.pop(0))
    assert trie.match(topic) == []
    assert nodes(trie) == {}


@pytest.mark.parametrize(
    ("filter", "value"), [("a/+/b", 2), ("a", 1), ("a/+", 1), ("a/+/b/c", 1), ("a/+/#", 1), ("a/b/b", 1), ("", 1)]
)
def test_removing_what_is_not_held_raises_and_changes_nothing(filter: str, value: int) -> None:
    trie: Trie[int] = Trie()
    trie.add("a/+/b", 1)
    before = nodes(trie)
    with pytest.raises(KeyError):
        trie.remove(filter, value)
    assert nodes(trie) == before
    assert len(trie) == 1
    assert trie.match("a/x/b") == [1]


def test_a_value_under_two_filters_comes_twice_and_under_one_once() -> None:
    trie: Trie[int] = Trie()
    for filter in ("a/b", "a/+", "a/+", "b"):
        trie.add(filter, 1)
    assert len(trie) == 3
    assert trie.match("a/b") == [1, 1]
    assert trie.match("a") == []


# Layouts

LITERALS = ["a", "b", "data"]
names = st.sampled_from(["a", "b", "v1"])


@st.composite
def templates(draw: st.DrawFn) -> str:
    slots = draw(st.sets(st.sampled_from(["{fleet}", "{kind}"]))) | {"{vehicle}"}
    literals = draw(st.lists(st.sampled_from(LITERALS), max_size=3))
    return "/".join(draw(st.permutations([*sorted(slots), *literals])))


@given(templates(), names, names, st.sampled_from(KINDS))
def test_a_layout_maps_what_its_template_writes(template: str, fleet: str, vehicle: str, kind: str) -> None:
    layout = TopicLayout(template, default_fleet="home", default_kind="alerts")
    name = template.format(fleet=fleet, vehicle=vehicle, kind=kind)
    expected_fleet = fleet if "{fleet}" in template else "home"
    expected_kind = kind if "{kind}" in template else "alerts"
    assert parse(layout.topic(name)) == Vehicle(expected_fleet, vehicle, expected_kind)
    assert matches(layout.filter, name)


@given(templates(), st.data())
def test_a_layout_maps_what_its_filter_matches_and_nothing_else(template: str, data: st.DataObject) -> None:
    layout = TopicLayout(template)
    level = st.sampled_from([*LITERALS, "status"])
    near = st.tuples(*(level if part[0] == "{" else st.just(part) | level for part in template.split("/")))
    name = data.draw(st.lists(level, min_size=1, max_size=6).map("/".join) | near.map("/".join))
    kinds = [n for part, n in zip(template.split("/"), name.split("/"), strict=False) if part == "{kind}"]
    fits = matches(layout.filter, name) and all(kind in KINDS for kind in kinds)
    assert is_accepted(layout.topic, name) == fits


def test_a_layout_without_fleet_and_kind_has_defaults() -> None:
    layout = TopicLayout("vehicles/{vehicle}/data")
    assert layout.filter == "vehicles/+/data"
    assert layout.topic("vehicles/v42/data") == "fleets/default/v42/telemetry"


@pytest.mark.parametrize("vehicle", [*BAD_SEGMENTS, "+", "#"])
def test_a_layout_maps_no_bad_segment(vehicle: str) -> None:
    with pytest.raises(TopicError):
        TopicLayout("vehicles/{vehicle}/{fleet}/data").topic(f"vehicles/{vehicle}/f/data")


@pytest.mark.parametrize(
    "template",
    [
        *(
            "",
            "a",
            "{fleet}/{kind}",
            "{vehicle}/{vehicle}",
            "{vehicle}/{kind}/{kind}",
            "{vehicle}/{city}",
            "{vehicle}/{}",
        ),
        *("v{vehicle}", "{vehicle}.json", "{vehicle}/", "/{vehicle}", "{vehicle}//a", "{vehicle}/$a", "{vehicle}\n"),
        *("{vehicle", "{vehicle)", "{vehicle}/{fleet)", "vehicle}", "{vehicle}" + "/a" * 16),
    ],
)
def test_a_bad_template_is_refused(template: str) -> None:
    with pytest.raises(TopicError):
        TopicLayout(template)


@pytest.mark.parametrize("template", ["{vehicle}/#", "{vehicle}/+", "+/{vehicle}", "a/{vehicle}/+/data"])
def test_a_template_with_a_wildcard_is_refused(template: str) -> None:
    """Its filter would match names that it can't map."""
    with pytest.raises(TopicError):
        TopicLayout(template)


@pytest.mark.parametrize("fleet", ["", "a/b", "+", "{vehicle}", "a" * 65])
def test_a_bad_default_fleet_is_refused(fleet: str) -> None:
    with pytest.raises(TopicError):
        TopicLayout("{vehicle}", default_fleet=fleet)


def test_a_bad_default_kind_is_refused() -> None:
    with pytest.raises(TopicError, match="unknown kind"):
        TopicLayout("{vehicle}", default_kind="state")

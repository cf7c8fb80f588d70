"""Which decoder a message gets: by its topic, which fits one of the layouts, and by its content type. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import NamedTuple

from ingest.payload import CONTENT_TYPES, FORMATS, Decode, decode_gateway
from ingest.payload.sparkplug import NAMESPACE, Sparkplug
from wire import topics
from wire.errors import TopicError
from wire.reading import Reading
from wire.topics import TopicLayout, matches

__all__ = ["ALL_FORMATS", "Layout", "Route", "Routes", "overlap", "parse_layouts"]

Route = Callable[[bytes, int], list[tuple[str, Reading]]]

GATEWAY = "thingsboard-gateway"
SPARKPLUG = "sparkplug"
ALL_FORMATS = (*FORMATS, GATEWAY, SPARKPLUG)
OWN_FILTER = "fleets/#"
MAX_ROUTES = 200_000
MAX_KEY = 512  # characters of a name and a content type that are worth remembering

# What only says that a payload is JSON leaves it to the layout which JSON.
_JSON = {"json", "thingsboard", "senml", "owntracks"}


class Layout(NamedTuple):
    """Topics of the broker and the format of what comes on them. `topics` maps their names onto ours; it is
    None for our own topics and for Sparkplug's, whose names follow Sparkplug."""

    filter: str
    format: str
    topics: TopicLayout | None

    @classmethod
    def parse(cls, text: str) -> Layout:
        """The layout `TEMPLATE[=FORMAT]`; the format is json where none is given.

        Raises TopicError, which says what is wrong with it.
        """
        template, separator, format = text.partition("=")
        if not separator:
            format = "json"
        if format not in ALL_FORMATS:
            raise TopicError(f"unknown format {format[:64]!r} in {text[:128]!r}: one of {', '.join(ALL_FORMATS)}")
        if (template == NAMESPACE) is not (format == SPARKPLUG):
            raise TopicError(f"bad layout {text[:128]!r}: Sparkplug's is {NAMESPACE}={SPARKPLUG}")
        if format == SPARKPLUG:
            return cls(f"{NAMESPACE}/#", format, None)
        if format == GATEWAY:
            if "{vehicle}" in template:
                raise TopicError(f"bad layout {text[:128]!r}: a gateway's payload names the devices, not {{vehicle}}")
            layout = TopicLayout(f"{template}/{{vehicle}}")
            return cls(layout.filter.removesuffix("/+"), format, layout)
        layout = TopicLayout(template)
        return cls(layout.filter, format, layout)


OWN = Layout(OWN_FILTER, "json", None)


def parse_layouts(setting: str | None) -> list[Layout]:
    """The layouts of the setting, separated by spaces; our own topics where there are none.

    Raises TopicError for a bad one, and for two that a message could fit both: it would come twice.
    """
    found = [Layout.parse(text) for text in (setting or "").split()]
    for one, other in combinations(found, 2):
        if overlap(one.filter, other.filter):
            raise TopicError(f"two layouts for the same topics: {one.filter!r} and {other.filter!r}")
    return found or [OWN]


def overlap(one: str, other: str) -> bool:
    """Whether some topic could match both filters."""
    levels, others = one.split("/"), other.split("/")
    for level, against in zip(levels, others, strict=False):
        if "#" in (level, against):
            return True
        if level != against and "+" not in (level, against):
            return False
    shorter, longer = sorted((levels, others), key=len)
    return longer[len(shorter) :] in ([], ["#"])  # "a/#" is for "a" too


class Routes:
    """The decoders of one bridge, by topic name and content type.

    `send` publishes a payload to an MQTT topic (Sparkplug's rebirth requests). `count` counts what the
    decoders note: commands, and Sparkplug's words (see `Sparkplug`).

    Raises TopicError when the layouts can't be used.
    """

    def __init__(self, layouts: str | None, send: Callable[[str, bytes], None], count: Callable[[str], None]) -> None:
        self._layouts = parse_layouts(layouts)
        self._count = count
        self._sparkplug = Sparkplug(send, count)
        self._found: dict[tuple[str, str | None], Route] = {}
        self.filters = [layout.filter for layout in self._layouts]

    def find(self, name: str, content_type: str | None) -> Route:
        """What reads the payload of a message: `(payload, received) -> [(our topic, reading), …]`; `received` is
        the arrival, epoch ms. It raises PayloadError (see `ingest.payload`).

        `name` is the broker's topic name, `content_type` MQTT 5's property. A content type that we know is
        believed before the layout's format, where a payload is of one device; `application/json` leaves a
        layout of any JSON as it is. Commands go the other way: they are counted, and give no reading.

        Raises TopicError when the name fits no layout, or gives no topic of ours.
        """
        key = name, content_type
        route = self._found.get(key)
        if route is None:
            route = self._route(name, content_type)
            if len(self._found) >= MAX_ROUTES:
                self._found.clear()
            if len(name) + len(content_type or "") <= MAX_KEY:
                self._found[key] = route
        return route

    def topic(self, name: str) -> str | None:
        """The topic of ours whose readings come under a broker's topic name; None where a payload says whose they
        are (a gateway's), and for what gives no readings.

        Raises TopicError when the name fits no layout, or gives no topic of ours.
        """
        layout = self._layout(name)
        if layout.format == SPARKPLUG:
            return self._sparkplug.topic(name)
        if layout.format == GATEWAY:
            return None
        topic = layout.topics.topic(name) if layout.topics else name
        return None if topic.endswith("/commands") else topic

    def _layout(self, name: str) -> Layout:
        layout = next((layout for layout in self._layouts if matches(layout.filter, name)), None)
        if layout is None:
            raise TopicError(f"{name[:128]!r} fits no layout: {', '.join(self.filters)}")
        return layout

    def _route(self, name: str, content_type: str | None) -> Route:
        layout = self._layout(name)
        if layout.format == SPARKPLUG:
            return self._sparkplug.decoder(name)
        gateway = layout.format == GATEWAY
        topic = layout.topics.topic(f"{name}/-" if gateway else name) if layout.topics else name
        match topics.parse(topic):
            case topics.Vehicle(_, _, "commands"):
                return self._command
            case topics.Vehicle(fleet, _, kind) if gateway:
                return partial(_of_gateway, fleet, kind)
        return _of_device(FORMATS[_format(layout.format, content_type)], topic)

    def _command(self, payload: bytes, received: int) -> list[tuple[str, Reading]]:
        self._count("commands")
        return []


def _format(usual: str, content_type: str | None) -> str:
    if content_type is None:
        return usual
    said = CONTENT_TYPES.get(content_type.partition(";")[0].strip().lower(), usual)
    return usual if said == "json" and usual in _JSON else said


def _of_device(decode: Decode, topic: str) -> Route:
    def route(payload: bytes, received: int) -> list[tuple[str, Reading]]:
        found = decode(payload, received)
        # Nearly always one: this is called for every message.
        return [(topic, found[0])] if len(found) == 1 else [(topic, reading) for reading in found]

    return route


def _of_gateway(fleet: str, kind: str, payload: bytes, received: int) -> list[tuple[str, Reading]]:
    found = decode_gateway(payload, received)
    return [(f"fleets/{fleet}/{device}/{kind}", reading) for device, reading in found]

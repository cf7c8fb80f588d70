"""GPX: the points of a file's tracks and routes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from operator import itemgetter
from xml.etree import ElementTree

from simulator.way import BadTrack, Point, Waypoint, at_constant_speed, waypoint, with_times

__all__ = ["read_gpx"]

_UNTIMED_KMH = 36.0  # a track without times


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a DTD, and with it every entity of a document's own."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise BadTrack("a document type is not allowed in GPX")


def read_gpx(text: bytes) -> Iterable[Point]:
    """The drive along a document's points, in its own time where all of them have one. Raises BadTrack."""
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 (no DTD, so no entities)
    try:
        parser.feed(text)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two: its encoding
        raise BadTrack(f"not XML: {error}") from None
    if _local(root) != "gpx":
        raise BadTrack("XML, but not GPX")
    elements = [element for element in root.iter() if _local(element) in ("trkpt", "rtept")]
    places = [_place(element) for element in elements]
    times = [_time(element) for element in elements]
    timed = [(time, place) for time, place in zip(times, places, strict=True) if time is not None]
    if len(timed) < len(places):
        return at_constant_speed(places, _UNTIMED_KMH)
    return with_times(sorted(timed, key=itemgetter(0)))


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _place(element: ElementTree.Element) -> Waypoint:
    try:
        return waypoint(float(element.attrib["lat"]), float(element.attrib["lon"]))
    except (KeyError, ValueError):
        raise BadTrack("a point without numbers for lat and lon") from None


def _time(element: ElementTree.Element) -> int | None:
    """Epoch milliseconds."""
    text = next((child.text for child in element if _local(child) == "time"), None)
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadTrack(f"not a time: {text.strip()[:40]!r}") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1_000)

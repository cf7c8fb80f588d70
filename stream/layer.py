"""The operator's own map layer: a file of GeoJSON (RFC 7946), read and validated once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response
from starlette.routing import Route

from wire.errors import SettingsError

__all__ = ["read_layer", "route"]

NOTHING = b'{"type":"FeatureCollection","features":[]}'
Position = Annotated[list[float], Meta(min_length=2)]  # longitude, latitude, and what may follow


class _Object(Struct, tag_field="type"):
    pass


class Point(_Object):
    coordinates: Position


class MultiPoint(_Object):
    coordinates: list[Position]


class LineString(_Object):
    coordinates: Annotated[list[Position], Meta(min_length=2)]


class MultiLineString(_Object):
    coordinates: list[Annotated[list[Position], Meta(min_length=2)]]


class Polygon(_Object):
    coordinates: list[Annotated[list[Position], Meta(min_length=4)]]


class MultiPolygon(_Object):
    coordinates: list[list[Annotated[list[Position], Meta(min_length=4)]]]


class GeometryCollection(_Object):
    geometries: list[Geometry]


Geometry = Point | MultiPoint | LineString | MultiLineString | Polygon | MultiPolygon | GeometryCollection


class Feature(_Object):
    geometry: Geometry | None
    properties: dict[str, Any] | None = None


class FeatureCollection(_Object):
    features: list[Feature]


_decode = msgspec.json.Decoder(Geometry | Feature | FeatureCollection).decode


def read_layer(path: str) -> bytes:
    """The file as it is. Raises SettingsError, which names the setting, when there is none, or it is no GeoJSON."""
    try:
        found = Path(path).read_bytes()
    except OSError as error:
        raise SettingsError.about("map-layer", f"can't be read: {path}: {error.strerror}") from None
    try:
        _decode(found)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SettingsError.about("map-layer", f"is no GeoJSON: {path}: {error}") from None
    return found


def route(path: str | None) -> Route:
    """`GET /v1/map/layer`: the file as it is now; without one, a layer with nothing in it, so that no page has to
    know. Raises SettingsError as `read_layer` does."""
    layer = NOTHING if path is None else read_layer(path)
    return Route("/v1/map/layer", Response(layer, media_type="application/geo+json"), methods=["GET"])

"""The operator's map layer: GeoJSON as it is, or an error that names the setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.city import City
from stream.app import create_app
from stream.layer import read_layer
from stream.settings import Settings
from wire.errors import SettingsError

LINE = {"type": "LineString", "coordinates": [[13.4, 52.5], [13.5, 52.6, 34.0]]}
RING = [[0, 0], [1, 0], [1, 1], [0, 0]]


def collection(*geometries: Any) -> dict[str, Any]:
    features = [{"type": "Feature", "geometry": geometry, "properties": {"n": 1}} for geometry in geometries]
    return {"type": "FeatureCollection", "features": features, "bbox": [0, 0, 1, 1]}


@pytest.mark.parametrize(
    "layer",
    [
        City("berlin", 1).streets(),
        collection(),
        collection(LINE, None),
        {"type": "Feature", "geometry": LINE, "properties": None, "id": 7},
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "MultiPoint", "coordinates": [[1, 2]]},
        {"type": "MultiLineString", "coordinates": [LINE["coordinates"]]},
        {"type": "Polygon", "coordinates": [RING]},
        {"type": "MultiPolygon", "coordinates": [[RING]]},
        {"type": "GeometryCollection", "geometries": [LINE, {"type": "GeometryCollection", "geometries": []}]},
    ],
)
def test_geojson_is_taken_as_it_is(tmp_path: Path, layer: Any) -> None:
    path = tmp_path / "layer.geojson"
    path.write_text(json.dumps(layer, indent=1))
    assert read_layer(str(path)) == path.read_bytes()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "truncated"),
        ("nonsense", "malformed"),
        ("[]", "Expected `object`"),
        ("{}", "missing required field `type`"),
        ('{"type":"Topology"}', "Invalid value 'Topology'"),
        (json.dumps(collection({"type": "Point", "coordinates": [1]})), r"\$.features\[0\].geometry.coordinates"),
        (json.dumps(collection({"type": "LineString", "coordinates": [[1, 2]]})), "length >= 2"),
        (json.dumps(collection({"type": "Polygon", "coordinates": [[[1, 2]]]})), "length >= 4"),
        (json.dumps(collection({"type": "Point", "coordinates": ["1", "2"]})), "Expected `float`"),
        ('{"type":"GeometryCollection","geometries":[' * 10_000, "GeoJSON"),
        ("\xff", "GeoJSON"),
    ],
)
def test_anything_else_is_refused_with_the_setting_s_name(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "layer.geojson"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=problem) as caught:
        read_layer(str(path))
    assert str(caught.value).startswith("--map-layer (FLEETWIRE_MAP_LAYER) is no GeoJSON: ")


async def asked(**settings: Any) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(Settings(**settings)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        return await http.get("/v1/map/layer")


async def test_a_node_serves_it(tmp_path: Path) -> None:
    path = tmp_path / "layer.geojson"
    path.write_text(json.dumps(LINE))
    found = await asked(map_layer=str(path))
    assert (found.status_code, found.headers["content-type"]) == (200, "application/geo+json")
    assert found.json() == LINE


async def test_a_node_without_one_has_an_empty_one() -> None:
    found = await asked()
    assert (found.status_code, found.json()) == (200, {"type": "FeatureCollection", "features": []})


@pytest.mark.parametrize("name", ["none.geojson", "."])
def test_a_file_that_can_t_be_read_is_refused_with_the_setting_s_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="FLEETWIRE_MAP_LAYER"):
        read_layer(str(tmp_path / name))

"""Recorded tracks: each format, the real files, and one clear line for a file that is none."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.track import Point, Track, load
from wire.errors import SettingsError

TIMED = """<?xml version="1.0"?>
<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
<trkpt lat="52.0" lon="13.0"><time>2024-05-01T10:00:00Z</time></trkpt>
<trkpt lat="52.001" lon="13.0"><ele>3</ele><time>2024-05-01T10:00:10.500+00:00</time></trkpt>
<trkpt lat="52.001" lon="13.0"><time>2024-05-01T10:00:20</time></trkpt>
</trkseg></trk></gpx>
"""
UNTIMED = """<gpx><rte><rtept lat="0" lon="179.9995"/><rtept lat="0" lon="-179.9995"/></rte></gpx>"""
ROUTE = {
    "name": "A",
    "profile": "aggressive",
    "stages": [
        {"stage": 0, "start": [13.0, 52.0], "end": [13.0, 52.001], "km": 0.1},
        {"stage": 1, "start": [13.0, 52.001], "end": [13.001, 52.001], "km": 0.07},
    ],
}
TRACE = """
{"name":"vehicle_speed","value":12.5,"timestamp":1364323939.012}
{"name":"latitude","value":40.7,"timestamp":1364323939.010}

{"name":"brake_pedal_status","value":false,"timestamp":1364323939.5,"event":null}
"""


def loaded(folder: Path, content: str | bytes, name: str = "drive.dat") -> Track:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load(path)


def speeds(track: Track) -> list[float]:
    return [value for point in track.points if isinstance(value := point.values["Speed"], int | float)]


def longitude(point: Point) -> float:
    value = point.values["CurrentLocation.Longitude"]
    assert isinstance(value, float)
    return value


def test_timed_gpx(tmp_path: Path) -> None:
    track = loaded(tmp_path, TIMED, "my drive.gpx")
    assert track.name == "my drive"
    assert [point.offset_ms for point in track.points] == [0, 10_500, 20_000]
    assert speeds(track) == pytest.approx([0, 111.2 / 10.5 * 3.6, 0], abs=0.1)
    assert [point.values["CurrentLocation.Heading"] for point in track.points] == [0, 0, 0]
    assert track.points[1].values["CurrentLocation.Latitude"] == 52.001
    assert track.points[2].values["TraveledDistance"] == pytest.approx(0.111)


def test_untimed_gpx_is_driven_at_a_constant_speed_also_over_the_date_line(tmp_path: Path) -> None:
    track = loaded(tmp_path, UNTIMED)
    assert track.duration_ms == pytest.approx(111.2 / 10 * 1_000, abs=20)
    assert [point.offset_ms for point in track.points[:3]] == [0, 1_000, 2_000]
    assert set(speeds(track)[:-1]) == {36.0}
    assert all(abs(longitude(point)) > 179.999 for point in track.points)
    assert speeds(track)[-1] == 0


def test_route(tmp_path: Path) -> None:
    track = loaded(tmp_path, json.dumps(ROUTE))
    assert speeds(track)[0] == 50
    assert track.duration_ms == pytest.approx((111.2 + 68.5) / (50 / 3.6) * 1_000, abs=50)
    first, last = track.points[0].values, track.points[-1].values
    assert (first["CurrentLocation.Longitude"], first["CurrentLocation.Latitude"]) == (13.0, 52.0)
    assert (last["CurrentLocation.Longitude"], last["CurrentLocation.Latitude"]) == (13.001, 52.001)
    assert last["CurrentLocation.Heading"] == pytest.approx(90, abs=0.1)


def test_trace(tmp_path: Path) -> None:
    track = loaded(tmp_path, TRACE)
    assert [tuple(point) for point in track.points] == [
        (0, {"CurrentLocation.Latitude": 40.7}),
        (2, {"Speed": 12.5}),
        (490, {"brake_pedal_status": False}),
    ]


def test_a_trace_of_one_line(tmp_path: Path) -> None:
    assert len(loaded(tmp_path, TRACE.strip().splitlines()[0]).points) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("hello", "neither GPX"),
        (b"\x00\xff\xfe", "neither GPX"),
        ("[1, 2]", "neither GPX"),
        ("{", "line 1"),
        ('{"a": 1}', "line 1"),
        ('{"stages": 7}', "not a route"),
        ('{"stages": [], "x": ' + "[" * 5_000, "not JSON"),
        ('<gpx><rte><rtept lat="0" lon="0"/><rtept lat="0" lon="179"/></rte></gpx>', "more than a week"),
        ('{"stages": []}', "no points"),
        ('{"stages": [{"start": [13, 95], "end": [13, 52]}]}', "no such place"),
        (TRACE + '{"name":"x","value":[1],"timestamp":1}', "line 5"),
        (TRACE + '{"name":"x","value":1,"timestamp":1e300}', "line 5"),
        ("<gpx>", "not XML"),
        ("<kml/>", "not GPX"),
        ("<gpx/>", "no points"),
        ('<gpx><trkpt lat="x" lon="1"/></gpx>', "lat and lon"),
        ('<gpx><trkpt lat="nan" lon="1"/></gpx>', "no such place"),
        ('<gpx><trkpt lat="1" lon="1"><time>soon</time></trkpt></gpx>', "not a time"),
        ('<?xml version="1.0" encoding="klingon"?><gpx/>', "not XML"),
    ],
)
def test_a_file_that_is_no_track(tmp_path: Path, content: str | bytes, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        loaded(tmp_path, content)
    assert str(tmp_path / "drive.dat") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused(tmp_path: Path, encoding: str) -> None:
    bomb = f"""<?xml version="1.0" encoding="{encoding}"?>
    <!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><gpx><name>&b;</name></gpx>"""
    with pytest.raises(SettingsError, match="document type" if encoding == "utf-8" else "drive.dat"):
        loaded(tmp_path, bomb.encode(encoding))


def test_a_file_that_is_not_there_or_not_a_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gpx", tmp_path):
        with pytest.raises(SettingsError, match=path.name):
            load(path)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(-5, 5)), min_size=1, max_size=30))
def test_a_trace_keeps_every_line_in_time_order(lines: list[tuple[float, int]]) -> None:
    text = "\n".join(json.dumps({"name": "x", "value": value, "timestamp": at}) for at, value in lines)
    with TemporaryDirectory() as folder:
        points = loaded(Path(folder), text).points
    assert sorted(point.values["x"] for point in points) == sorted(value for _, value in lines)  # type: ignore[type-var]
    assert points[0].offset_ms == 0
    assert all(a.offset_ms <= b.offset_ms for a, b in pairwise(points))


def test_the_recorded_car(traces: Path) -> None:
    track = load(traces / "car-visnjan.gpx")
    text = (traces / "car-visnjan.gpx").read_text()
    assert len(track.points) == text.count("<trkpt")
    assert track.duration_ms == ((6 * 60 + 24) * 60 + 24 - (6 * 60 + 15) * 60 - 50) * 1_000
    assert 40 < max(speeds(track)) < 130


def test_the_recorded_trace(traces: Path) -> None:
    path = traces / "openxc-trace.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    track = load(path)
    assert len(track.points) == len(lines)
    assert all(len(point.values) == 1 for point in track.points)
    seen = [name for point in track.points for name in point.values]
    for openxc, vss in (
        ("vehicle_speed", "Speed"),
        ("engine_speed", "Powertrain.CombustionEngine.Speed"),
        ("latitude", "CurrentLocation.Latitude"),
        ("steering_wheel_angle", "steering_wheel_angle"),
    ):
        assert seen.count(vss) == sum(line["name"] == openxc for line in lines) > 0
    assert track.duration_ms == round((max(x["timestamp"] for x in lines) - min(x["timestamp"] for x in lines)) * 1e3)


@pytest.mark.parametrize("name", ["route-a", "route-b", "route-c"])
def test_the_recorded_routes(traces: Path, name: str) -> None:
    track = load(traces / f"{name}.json")
    stages = json.loads((traces / f"{name}.json").read_text())["stages"]
    last = track.points[-1].values
    assert last["CurrentLocation.Longitude"] == pytest.approx(stages[-1]["end"][0], abs=1e-6)
    assert last["CurrentLocation.Latitude"] == pytest.approx(stages[-1]["end"][1], abs=1e-6)
    assert len(set(speeds(track)[:-1])) == 1
    kilometres = sum(stage["km"] for stage in stages)
    assert last["TraveledDistance"] == pytest.approx(kilometres, rel=0.5)

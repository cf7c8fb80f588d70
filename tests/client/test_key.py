"""The client knows what a node serves under one id, however it is written: else one subscription ends another."""

from __future__ import annotations

import json
import subprocess
from itertools import combinations
from typing import Any

from stream.item import View
from stream.query import query
from tests.client.driven import DASHBOARD, node
from wire.protocol import Subscribe, decode_command

FLEET = "fleets/berlin/+/telemetry"
TRIANGLE = [[0, 0], [1, 0], [0, 1]]


def change(*parameter: dict[str, Any]) -> dict[str, Any]:
    return {
        "filter": {"Speed": {"variant": "change", "parameter": parameter[0] if len(parameter) == 1 else parameter}}
    }


def curve(**parameter: Any) -> dict[str, Any]:
    return {"filter": {"Speed": {"variant": "curvelog", "parameter": parameter}}}


UP, DOWN = {"logic-op": "gt", "diff": 2}, {"logic-op": "lt", "diff": -2}
ASKS: list[dict[str, Any]] = [
    {},
    {"interval": 100, "strategy": "latest", "meta": False, "delta": False, "signals": None, "filter": None},
    {"interval": 0},
    {"strategy": "batch"},
    {"meta": True},
    {"delta": True},
    {"signals": ["a", "b"]},
    {"signals": ["b", "a", "a"]},
    {"signals": ["a"]},
    {"window": ["min", "max"]},
    {"window": ["max", "min"]},
    {"window": ["mean"]},
    {"bbox": [0, 0, 1, 1]},
    {"bbox": [0.0, 0, 1, 1.0]},
    {"bbox": [0, 0, 1, 1.5]},
    {"geofence": {"polygon": TRIANGLE}},
    {"geofence": {"polygon": [*TRIANGLE, [0, 0]], "events": ["leave", "enter"]}},
    {"geofence": {"polygon": TRIANGLE, "events": ["enter"]}},
    {"geofence": {"polygon": TRIANGLE[::-1]}},
    change(UP),
    change({**UP, "diff": "2"}),
    change({**UP, "diff": "2.0", "combination-op": None}),
    change(UP, DOWN),
    change(DOWN, UP),
    change({**UP, "combination-op": "AND"}, DOWN),
    change({**UP, "combination-op": "OR"}, DOWN),
    change({**DOWN, "combination-op": "OR"}, UP),
    curve(maxerr=0.5, bufsize=10),
    curve(bufsize="10", maxerr="0.5"),
    curve(maxerr=0.5, bufsize=11),
    {"filter": {"a": {"variant": "timebased", "parameter": {"period": 5}}, "b": change(UP)["filter"]["Speed"]}},
    {"filter": {"b": change(UP)["filter"]["Speed"], "a": {"parameter": {"period": "5"}, "variant": "timebased"}}},
    {"topic": "rooms/ops"},
    {"topic": "rooms/ops", "strategy": "batch"},
    {"topic": "fleets/berlin/+/replies", "strategy": "batch"},
    {"topic": "fleets/berlin/+/replies"},
    {"topic": "fleets/#"},
    {"topic": "fleets/#", "strategy": "batch"},
]  # fmt: skip


def test_what_is_the_same_to_a_node_is_the_same_to_the_client() -> None:
    asks = [{"topic": FLEET, **ask} for ask in ASKS]
    queries = []
    for ask in asks:
        command = decode_command(json.dumps({"action": "subscribe", "requestId": "1", **ask}), "json")
        assert isinstance(command, Subscribe)
        queries.append(query(command, View("json", command.signals, command.meta)))
    module = (DASHBOARD / "client" / "src" / "key.ts").as_uri()
    present = [{name: value for name, value in ask.items() if value is not None} for ask in asks]
    script = (
        f"const {{ key }} = await import({module!r}); console.log(JSON.stringify({json.dumps(present)}.map(key)))"
    )
    command_line = (node(), "--input-type=module", "-e", script)
    keys = json.loads(subprocess.run(command_line, check=True, capture_output=True, timeout=20).stdout)
    pairs = list(combinations(range(len(asks)), 2))
    assert sum(queries[one] == queries[other] for one, other in pairs) > 10
    for one, other in pairs:
        assert (keys[one] == keys[other]) == (queries[one] == queries[other]), (asks[one], asks[other])

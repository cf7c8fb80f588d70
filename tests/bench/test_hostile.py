"""`make bench-hostile`: some seconds of it, with fewer of each. Nobody who means well is closed or lacks a reading,
those who do not are refused and counted, and what they took is not kept."""

from __future__ import annotations

from tests.bench.benches import bench
from tests.programs import find

FEW = ("--dashboards=10", "--half-open=100", "--mute=10", "--garbage=16", "--churn=5", "--devices=1")
SHORT = ("--vehicles=20", "--rate=100", "--alone=1", "--seconds=4", "--settle=1", "--calm=0")


async def test_those_who_mean_well_lose_nothing() -> None:
    find("mosquitto", package="mosquitto")
    find("redis-server", package="redis-server")
    ended = await bench("bench.hostile", *FEW, *SHORT, "--json")
    assert ended.status == 0, ended.out + ended.err
    figures = ended.figures
    assert figures["p99 of the dashboards, beside the others"] > 0
    assert figures["connections, half-open"] >= 100
    assert sum(number for name, number in figures.items() if name.startswith("refused")) > 0
    assert figures["memory of the node, afterwards"] < 1.5 * figures["memory of the node, alone"]

"""The node's metrics: where the time goes, hop by hop."""

from __future__ import annotations

import pytest

from stream.metrics import Metrics

HOPS = ("device", "ingest", "store", "node")


def hops(metrics: Metrics) -> dict[str, tuple[float | None, float | None]]:
    """How many were observed of each hop, and their sum in seconds."""
    value = metrics.registry.get_sample_value
    name = "fleetwire_stream_hop_seconds"
    return {
        hop: (value(f"{name}_count", {"hop": hop}), pytest.approx(value(f"{name}_sum", {"hop": hop}))) for hop in HOPS
    }


def test_every_hop_is_there_from_the_start() -> None:
    assert hops(Metrics()) == dict.fromkeys(HOPS, (0, 0))


def test_a_reading_is_timed_from_hop_to_hop() -> None:
    metrics = Metrics()
    metrics.observe_hops(ts=1_000, received=3_500, stored=3_520, read=3_523.5)
    metrics.observe_node(read=3_523.5, handed=3_623.5)
    assert hops(metrics) == {"device": (1, 2.5), "ingest": (1, 0.02), "store": (1, 0.0035), "node": (1, 0.1)}


def test_what_is_not_known_is_not_observed() -> None:
    metrics = Metrics()
    metrics.observe_hops(ts=None, received=1_000, stored=2_000, read=2_000)
    assert hops(metrics) == {"device": (0, 0), "ingest": (1, 1), "store": (1, 0), "node": (0, 0)}
    metrics.observe_hops(ts=1_000, received=None, stored=2_000, read=3_000)
    assert hops(metrics) == {"device": (0, 0), "ingest": (1, 1), "store": (2, 1), "node": (0, 0)}


def test_clocks_that_differ_take_no_time_back() -> None:
    metrics = Metrics()
    metrics.observe_hops(ts=9_000, received=8_000, stored=7_000, read=6_000)
    metrics.observe_node(read=6_000, handed=5_000)
    assert hops(metrics) == dict.fromkeys(HOPS, (1, 0))


def test_the_limits_are_from_half_a_millisecond_to_a_minute() -> None:
    metrics = Metrics()
    metrics.observe_node(0, 0.4)
    metrics.observe_node(0, 59_000)
    metrics.observe_node(0, 61_000)
    counted = [
        metrics.registry.get_sample_value("fleetwire_stream_hop_seconds_bucket", {"hop": "node", "le": limit})
        for limit in ("0.0005", "30.0", "60.0", "+Inf")
    ]
    assert counted == [1, 1, 2, 3]

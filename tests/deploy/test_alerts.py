"""The alert rules: YAML as Prometheus wants it, about metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ingest.memory import TIGHT
from ingest.metrics import Metrics as IngestMetrics
from stream.metrics import Metrics as StreamMetrics

PATH = Path(__file__).parents[2] / "deploy/prometheus/alerts.yml"
NAME = re.compile(r"\bfleetwire_[a-z_]+\b")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(PATH.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def exported() -> set[str]:
    """The names that a scrape has."""
    found = set()
    for metrics in (IngestMetrics(), StreamMetrics()):
        for family in metrics.registry.collect():
            found |= {family.name, *(sample.name for sample in family.samples)}
            if family.type == "counter":
                found.add(f"{family.name}_total")  # one with labels has no sample yet
    return found


def test_every_rule_is_about_metrics_that_there_are() -> None:
    asked = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    assert len(asked) > 5
    assert asked <= exported()


def test_every_rule_says_who_how_bad_and_what() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "warn", "info")
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]


def test_the_rules_about_memory_are_loud_before_redis_is_full() -> None:
    found = {rule["alert"]: rule for rule in rules()}
    assert found["FleetwireRedisFull"]["labels"]["severity"] == "page"
    assert "for" not in found["FleetwireRedisFull"]
    limit = re.search(r"> ([0-9.]+)$", found["FleetwireRedisMemory"]["expr"])
    assert limit is not None
    assert float(limit[1]) == TIGHT  # where the bridge warns in its log
    assert set(re.findall(r"\$labels\.(\w+)", str(found["FleetwireRedisMemory"]["annotations"]))) == {
        "server",
        "instance",
    }


def test_rules_about_hops_ask_for_hops_and_limits_that_there_are() -> None:
    metrics = StreamMetrics()
    buckets = [
        sample.labels
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "fleetwire_stream_hop_seconds_bucket"
    ]
    hops = {labels["hop"] for labels in buckets}
    limits = {float(labels["le"]) for labels in buckets}
    asked = [rule["expr"] for rule in rules() if "hop_seconds" in rule["expr"]]
    assert asked
    for expr in asked:
        matcher = re.search(r'hop=~?"([a-z|]+)"', expr)
        limit = re.search(r"> (\d+)$", expr)
        assert matcher is not None
        assert limit is not None
        assert set(matcher[1].split("|")) <= hops
        assert float(limit[1]) in limits, "a quantile between two limits is a guess"
        assert "le" in expr[expr.index("sum by (") : expr.index(")")]

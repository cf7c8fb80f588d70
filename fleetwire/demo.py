"""Everything on one machine: broker, Valkey, bridge, nodes, a fleet, and an observer that checks them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from redis.asyncio import Redis

from fleetwire.embedded import free_port
from fleetwire.observer import Observer, percentile
from fleetwire.parts import Part, Servers, part, ready, servers
from simulator.city import City
from simulator.truth import Manifest
from wire import keys
from wire.errors import SettingsError, Unavailable

__all__ = ["DemoSettings", "Summary", "demo"]

FLEET = "berlin"
DRAIN_SECONDS = 15


@dataclass(frozen=True)
class DemoSettings:
    """What to show. `seconds`: None is until Ctrl-C. `mqtt_port`: None is 1883, or any when that is taken."""

    vehicles: int = 50
    hz: float = 1.0
    seconds: float | None = None
    nodes: int = 1
    port: int = 8000
    mqtt_port: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.vehicles < 1:
            raise SettingsError("--vehicles must be at least 1")
        if not 1 <= self.nodes <= 16:
            raise SettingsError("--nodes must be 1 to 16")


@dataclass(frozen=True)
class Latency:
    """From the device's clock to the observer, in ms."""

    p50: int | None
    p99: int | None


@dataclass(frozen=True)
class Summary:
    """How it went. `delivered`: to one observer on each node. `lost`: published, but not stored or not delivered."""

    vehicles: int
    nodes: int
    published: int
    stored: int
    delivered: int
    lost: int
    duplicates: int
    latency_ms: Latency

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def text(self) -> str:
        """For people."""
        return (
            f"published {self.published}, stored {self.stored}, delivered {self.delivered} "
            f"(to {self.nodes} observer{'s' * (self.nodes > 1)}), lost {self.lost}, duplicates {self.duplicates}, "
            f"latency p50 {self.latency_ms.p50} ms, p99 {self.latency_ms.p99} ms"
        )


async def demo(settings: DemoSettings, *, quiet: bool) -> Summary:
    """Run it, and say how it went. `quiet`: nothing on standard error but warnings.

    Raises SettingsError for a taken port, Unavailable when a part does not start or ends too early.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    ports = [settings.port + number for number in range(settings.nodes)]
    for port in ports:
        _require_free(port, "port")
    if settings.mqtt_port is not None:
        _require_free(settings.mqtt_port, "mqtt-port")
    # 1883 may be free now, and another demo's by the time when this one's broker begins to listen.
    usual = [1883, free_port()] if _is_free(1883) else [free_port()]
    mqtt_ports = usual if settings.mqtt_port is None else [settings.mqtt_port]
    with tempfile.TemporaryDirectory(prefix="fleetwire-demo-") as folder:
        logs = Path(folder)
        streets = logs / "streets.geojson"
        streets.write_bytes(msgspec.json.encode(City(FLEET, settings.seed).streets()))
        async with servers(*mqtt_ports) as embedded, _services(embedded, ports, streets, logs) as running:
            observers = [Observer(f"ws://127.0.0.1:{port}", FLEET) for port in ports]
            if not quiet:
                print(_banner(settings, ports, embedded, logs), file=sys.stderr, flush=True)
            async with asyncio.TaskGroup() as group:
                watching = [group.create_task(observer.run()) for observer in observers]
                manifest = await _drive(settings, embedded, logs, running, observers, stop, quiet=quiet)
                await _drained(observers, manifest)
                for task in watching:
                    task.cancel()
            stored = await _stored(embedded.redis, manifest)
    return _summarise(settings, manifest, stored, observers)


@asynccontextmanager
async def _services(embedded: Servers, ports: list[int], streets: Path, logs: Path) -> AsyncIterator[list[Part]]:
    """The bridge and the nodes, ready. These have the fleet's streets as their map layer."""
    metrics_port = free_port()
    redis = ("--redis-url", embedded.redis)
    layer = ("--map-layer", str(streets))
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(
                part(f"node-{port}", "stream", "--port", str(port), *redis, *layer, logs=logs)
            )
            for port in ports
        ]
        mqtt = ("--mqtt-url", f"mqtt://127.0.0.1:{embedded.mqtt5}", "--metrics-port", str(metrics_port))
        # rumqttd's listener for MQTT 3.1.1 ends when it is to pass on a message with properties.
        plain = "--no-command-properties"
        bridge = await stack.enter_async_context(part("ingest", "ingest", *mqtt, *redis, plain, logs=logs))
        await ready(bridge, f"http://127.0.0.1:{metrics_port}/readyz")
        for node, port in zip(running, ports, strict=True):
            await ready(node, f"http://127.0.0.1:{port}/readyz")
        yield [bridge, *running]


async def _drive(
    settings: DemoSettings,
    embedded: Servers,
    logs: Path,
    running: list[Part],
    observers: list[Observer],
    stop: asyncio.Event,
    *,
    quiet: bool,
) -> Manifest:
    """Let the fleet drive for its time, or until the stop: what it has sent."""
    path = logs / "manifest.json"
    fleet = ["--vehicles", str(settings.vehicles), "--hz", str(settings.hz), "--seed", str(settings.seed)]
    time = ["--seconds", str(settings.seconds)] if settings.seconds is not None else []
    where = ["--mqtt-url", f"mqtt://127.0.0.1:{embedded.mqtt}", "--fleet", FLEET, "--manifest", str(path)]
    async with part("simulator", "simulate", *where, *fleet, *time, logs=logs) as fleet_part:
        ended = {asyncio.create_task(p.process.wait()): p for p in (fleet_part, *running)}
        stopped = asyncio.create_task(stop.wait())
        shown = asyncio.create_task(_show(observers, settings) if not quiet else asyncio.Event().wait())
        await asyncio.wait((stopped, *ended), return_when=asyncio.FIRST_COMPLETED)
        for task in (shown, stopped, *ended):
            task.cancel()
        for broken in (p for p in running if p.process.returncode is not None):
            raise Unavailable(f"{broken.name} ended with status {broken.process.returncode}: {broken.last_words()}")
    if fleet_part.process.returncode != 0:
        raise Unavailable(
            f"the simulator ended with status {fleet_part.process.returncode}: {fleet_part.last_words()}"
        )
    return Manifest.load(path)


async def _show(observers: list[Observer], settings: DemoSettings) -> None:
    """One line on standard error, renewed each second."""
    before = 0
    while True:
        await asyncio.sleep(1)
        delivered = sum(observer.delivered for observer in observers)
        recent = [latency for observer in observers for latency in observer.latencies[-1_000:]]
        line = (
            f"{delivered - before} readings/s delivered, {delivered} so far, "
            f"latency p50 {percentile(recent, 0.5)} ms, p99 {percentile(recent, 0.99)} ms"
        )
        before = delivered
        if sys.stderr.isatty():
            print(f"\r\x1b[2K  {line}", end="", file=sys.stderr, flush=True)


async def _drained(observers: list[Observer], manifest: Manifest) -> None:
    """Wait until each observer has as many as were sent, within reason."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            for observer in observers:
                await observer.has(manifest.sent)


async def _stored(redis_url: str, manifest: Manifest) -> int:
    """How many readings Redis has appended to the logs, trimmed ones included."""
    async with Redis.from_url(redis_url) as redis, redis.pipeline(transaction=False) as pipe:
        for topic in manifest.topics:
            pipe.xinfo_stream(keys.log(topic))
        return sum(info["entries-added"] for info in await pipe.execute())


def _summarise(settings: DemoSettings, manifest: Manifest, stored: int, observers: list[Observer]) -> Summary:
    findings = [finding for observer in observers for finding in observer.findings(manifest)]
    latencies = [latency for observer in observers for latency in observer.latencies]
    return Summary(
        vehicles=settings.vehicles,
        nodes=settings.nodes,
        published=manifest.sent,
        stored=stored,
        delivered=sum(observer.delivered for observer in observers),
        lost=max(0, manifest.sent - stored) + sum(finding.lost for finding in findings),
        duplicates=max(0, stored - manifest.sent - manifest.dropped) + sum(f.duplicates for f in findings),
        latency_ms=Latency(percentile(latencies, 0.5), percentile(latencies, 0.99)),
    )


def _banner(settings: DemoSettings, ports: list[int], embedded: Servers, logs: Path) -> str:
    command = Path(sys.argv[0]).name if Path(sys.argv[0]).name != "__main__.py" else "python -m fleetwire"
    if Path(".venv/bin/fleetwire").exists():
        command = ".venv/bin/fleetwire"
    url = "" if settings.port == 8000 else f" --url ws://127.0.0.1:{settings.port}"
    nodes = "   ".join(f"http://127.0.0.1:{port}" for port in ports)
    return f"""
Dashboard  http://127.0.0.1:{settings.port}/

{settings.vehicles} vehicles at {settings.hz:g} Hz through MQTT, Valkey and {settings.nodes} node(s)
  nodes   {nodes}
  MQTT    mqtt://127.0.0.1:{embedded.mqtt} (3.1.1)   mqtt://127.0.0.1:{embedded.mqtt5} (5)
  Valkey  {embedded.redis}
  logs    {logs}

From another terminal:
  {command} watch 'fleets/{FLEET}/#'{url}
  curl -N 'http://127.0.0.1:{settings.port}/v1/events?topic=fleets/{FLEET}/%2B/telemetry'
  mosquitto_pub -p {embedded.mqtt} -t fleets/test/car1/telemetry -m '{{"values":{{"Speed":42}}}}'

Ctrl-C ends it.
"""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _require_free(port: int, setting: str) -> None:
    if not _is_free(port):
        raise SettingsError(f"port {port} on 127.0.0.1 is taken; choose another with --{setting}")

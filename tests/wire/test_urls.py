"""Addresses of brokers, and of Redis."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import SettingsError
from wire.partition import MOST_PARTITIONS
from wire.urls import MqttAddress, RedisAddress, parse_mqtt, parse_redis, shown

SECRET = "hunter2"  # noqa: S105 - of nobody


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", MqttAddress("broker", 1883)),
        ("mqtt://broker/", MqttAddress("broker", 1883)),
        ("mqtt://broker:1884", MqttAddress("broker", 1884)),
        ("mqtts://broker", MqttAddress("broker", 8883, tls=True)),
        ("mqtt://me@broker", MqttAddress("broker", 1883, "me")),
        ("mqtts://me:p%40ss%2Fword@broker:1", MqttAddress("broker", 1, "me", "p@ss/word", tls=True)),
        ("mqtt://[::1]:1884", MqttAddress("::1", 1884)),
    ],
)
def test_an_address_is_read(url: str, address: MqttAddress) -> None:
    assert parse_mqtt(url) == address


@given(st.text(min_size=1), st.text(min_size=1), st.integers(1, 65_535), st.booleans())
def test_any_user_and_password_can_be_written(user: str, password: str, port: int, tls: bool) -> None:
    scheme = "mqtts" if tls else "mqtt"
    url = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@broker:{port}"
    assert parse_mqtt(url) == MqttAddress("broker", port, user, password, tls)


@pytest.mark.parametrize(
    "url",
    [
        f"mqtt://me:{SECRET}@broker:99999",
        f"mqtt://me:{SECRET}@broker:port",
        f"mqtt://me:{SECRET}@[::1",
        f"mqtt://me:{SECRET}/rest@broker",
        f"mqtt://me:{SECRET}?rest@broker",
        f"mqtt://me:{SECRET}#rest@broker",
        f"mqtt://me:123#{SECRET}@broker",
        f"mqtt://me:{SECRET}[@broker",
        f"mqtt://me:{SECRET}\u2100@broker",
        f"mqtt://me:{SECRET}@",
        f"mqtt://me:{SECRET}@broker/topic",
        f"http://me:{SECRET}@broker",
        f"me:{SECRET}@broker",
        "",
        "broker:1883",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_mqtt(url)
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("MQTT URL")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (f"mqtts://me:{SECRET}@broker", "mqtts://me@broker:8883"),
        ("mqtt://broker", "mqtt://broker:1883"),
        ("mqtt://[::1]", "mqtt://[::1]:1883"),
    ],
)
def test_an_address_is_shown_without_the_password(url: str, text: str) -> None:
    assert str(parse_mqtt(url)) == text


# Redis

NODES = (("a", 6379), ("b", 6380))
SENTINELS = (("a", 26379), ("b", 26380))


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://redis:6380",
        "redis://redis:6380/3",
        "redis://redis/",
        "redis://redis?db=3",
        "redis://:p%40ss%2Fword@redis:6379",
        "rediss://me:secret@redis:6379/0?ssl_cert_reqs=none",
        "redis://[::1]:6379",
        "unix:///run/redis/redis.sock",
        "unix://me:secret@/run/redis@1.sock?db=2",
    ],
)
def test_the_url_of_one_server_is_taken_as_it_is(url: str) -> None:
    assert parse_redis(url) == RedisAddress(url)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis+sentinel://a,b:26380/main", RedisAddress("redis://a:26379", SENTINELS, "main")),
        ("rediss+sentinel://a,b:26380/main", RedisAddress("rediss://a:26379", SENTINELS, "main")),
        ("redis+sentinel://a,b:26380/main/3", RedisAddress("redis://a:26379/3", SENTINELS, "main")),
        ("redis+sentinel://me:p%40,ss@a,b:26380/main", RedisAddress("redis://me:p%40,ss@a:26379", SENTINELS, "main")),
        ("redis+sentinel://[::1]/main", RedisAddress("redis://[::1]:26379", (("::1", 26379),), "main")),
        ("redis+cluster://a", RedisAddress("redis://a:6379", NODES[:1], None, 16)),
        ("redis+cluster://a,b:6380", RedisAddress("redis://a:6379", NODES, None, 16)),
        ("redis+cluster://a,b:6380/", RedisAddress("redis://a:6379", NODES, None, 16)),
        ("rediss+cluster://a:6379,b:6380?partitions=2", RedisAddress("rediss://a:6379", NODES, None, 2)),
        ("redis+cluster://a?partitions=256", RedisAddress("redis://a:6379", NODES[:1], None, MOST_PARTITIONS)),
        ("redis+cluster://:secret@a,b:6380", RedisAddress("redis://:secret@a:6379", NODES, None, 16)),
        ("redis+cluster://[::1]:7,b:6380", RedisAddress("redis://[::1]:7", (("::1", 7), NODES[1]), None, 16)),
    ],
)
def test_sentinels_and_clusters_are_read(url: str, address: RedisAddress) -> None:
    assert parse_redis(url) == address


@given(
    st.text(min_size=1),
    st.text(min_size=1),
    st.sampled_from(["redis://{}@a:1", "redis+sentinel://{}@a:1,b/main", "rediss+cluster://{}@a:1,b:2"]),
)
def test_any_user_and_password_of_redis_can_be_written(user: str, password: str, form: str) -> None:
    address = parse_redis(form.format(f"{quote(user, safe='')}:{quote(password, safe='')}"))
    parts = urlsplit(address.url)
    assert (parts.hostname, parts.port) == ("a", 1)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, password)


@pytest.mark.parametrize("kind", ["redis", "rediss", "redis+sentinel", "redis+cluster", "rediss+cluster"])
@pytest.mark.parametrize(
    "rest",
    [
        f"me:{SECRET}@a:99999",
        f"me:{SECRET}@a:port",
        f"me:{SECRET}@[::1",
        f"me:{SECRET}/rest@a",
        f"me:{SECRET}?rest@a",
        f"me:{SECRET}#rest@a",
        f"me:123/{SECRET}@a",
        f"me:123?{SECRET}@a",
        f"me:123#{SECRET}@a",
        f"me:{SECRET}[@a",
        f"me:{SECRET}\u2100@a",
        f"me:{SECRET}@",
        f"me:{SECRET}@a/main/x",
    ],
)
def test_what_is_no_redis_is_refused_without_repeating_the_password(kind: str, rest: str) -> None:
    for url in (f"{kind}://{rest}", f"{kind}://{rest}/main", *([f"{kind}://{rest},b"] if "+" in kind else [])):
        with pytest.raises(SettingsError) as caught:
            parse_redis(url)
        assert SECRET not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "must look like"),
        ("redis", "must look like"),
        ("http://a", "must look like"),
        ("unix+cluster:///run/redis.sock", "must look like"),
        ("redis+replica://a", "must look like"),
        ("redis+sentinel://a", "asked for a service"),
        ("redis+sentinel://a/", "asked for a service"),
        ("redis+sentinel://a/main?db=3", "asked for a service"),
        ("redis+sentinel:///main", "must look like"),
        ("redis+cluster://", "must look like"),
        ("redis+cluster://a,,b", "must look like"),
        ("redis+cluster://a,b#c", "must look like"),
        ("redis+cluster://a/1", "no numbered databases"),
        *((f"redis+cluster://a?{query}", "partitions=2 to 256") for query in ("partitions", "partition=3", "x=1")),
        *(
            (f"redis+cluster://a?partitions={n}", "partitions=2 to 256")
            for n in (0, 1, 257, "-3", "x", "٣", "9" * 99)
        ),
        ("redis+cluster://a?partitions=000000016999", "partitions=2 to 256"),
        ("redis+cluster://a?partitions=3&db=1", "partitions=2 to 256"),
        ("redis://a/main", "can't be read"),
        ("redis://a/0#x", "can't be read"),
    ],
)
def test_what_is_wrong_with_a_redis_url_is_said(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        parse_redis(url)
    assert len(str(caught.value).splitlines()) == 1


@given(st.text(max_size=40), st.sampled_from(["", "redis://", "redis+sentinel://", "redis+cluster://", "unix://"]))
def test_any_text_is_an_address_of_redis_or_refused(text: str, scheme: str) -> None:
    try:
        address = parse_redis(scheme + text)
    except SettingsError:
        return
    assert address.url.startswith(("redis://", "rediss://", "unix://"))
    assert address.partitions == 0 or 2 <= address.partitions <= MOST_PARTITIONS
    assert not (address.service and address.partitions)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ws://node:8000/v1/stream", "ws://node:8000/v1/stream"),
        (f"ws://me:{SECRET}@node:8000", "ws://node:8000"),
        (f"wss://{SECRET}@[::1]:8000/x", "wss://[::1]:8000/x"),
        (f"https://node/keys?token={SECRET}#{SECRET}", "https://node/keys"),
        (f"ws://me:{SECRET}/?#://{SECRET}@node", "ws://node"),
        (f"me:{SECRET}@node", "node"),
        (f"me:{SECRET}@ws://node", "ws://node"),
    ],
)
def test_what_is_shown_of_a_url_has_no_secrets(url: str, said: str) -> None:
    assert shown(url) == said


@given(st.text(), st.text(), st.text())
def test_of_whatever_is_before_the_last_at_nothing_is_shown(user: str, password: str, host: str) -> None:
    host = host.replace("@", "")
    assert shown(f"ws://{user}:{password}@{host}") == "ws://" + host.partition("?")[0].partition("#")[0]

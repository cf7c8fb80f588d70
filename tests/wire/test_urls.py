"""Addresses of brokers."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import SettingsError
from wire.urls import MqttAddress, parse_mqtt

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

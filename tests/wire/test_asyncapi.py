"""The AsyncAPI document: all that travels is in it, as it travels; and the client's types are made from it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given
from jsonschema import Draft7Validator
from msgspec import Raw, Struct

from tests.programs import missing
from tests.wire.test_protocol import BAD, BASE, commands, items
from wire import protocol
from wire.asyncapi import document
from wire.errors import CommandError
from wire.protocol import (
    CLOSE_CODES,
    ERRORS,
    SUBPROTOCOLS,
    Command,
    Gap,
    ItemsReply,
    Last,
    MessageItem,
    Numbers,
    PingReply,
    PublishReply,
    ReadingItem,
    Replay,
    Reply,
    SubscribeReply,
    SubscriptionEvent,
    WindowItem,
    encode,
    error_reply,
)

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "dashboard"
DOCUMENT = document()
READING = ReadingItem("fleets/b/v1/telemetry", "1-0", 5, {"Speed": 1.5, "Gear": "D", "On": True, "Off": None})
CURVE = {"Speed": [(5, 1.5), (6, None)]}
DETAILED = ReadingItem("a", "1-0", 5, {}, CURVE, "enter", 7, True, 8, "arrival", 9, 10)
MESSAGE = MessageItem("rooms/ops", "2-0", 5, {"text": ["hi", 1]}, "anna")
WINDOW = WindowItem("a", 0, 2, {"Speed": Numbers(1, 2, 1.5), "Gear": Last("D")})


def written(message: Any) -> Any:
    return json.loads(encode(message, "json"))


def raw(*found: Any) -> list[Raw]:
    return [Raw(encode(item, "json")) for item in found]


def reply(kind: type[Reply], action: str, **fields: Any) -> Reply:
    return kind(action=action, request_id="1", ts=5, **fields)


SAID: dict[str, Any] = {
    "SubscribeReply": reply(SubscribeReply, "update", subscription_id="s"),
    "PublishReply": reply(PublishReply, "publish", id="1-0"),
    "ItemsReply": reply(ItemsReply, "history", data=raw(READING, MESSAGE, WINDOW), cursor="3-0", trimmed="1-0"),
    "Reply": reply(Reply, "authorize"),
    "PingReply": reply(PingReply, "ping", node="n"),
    "ErrorReply": error_reply(CommandError("forbidden_topic", "no"), "subscribe", "1"),
    "SubscriptionEvent": SubscriptionEvent("s", 5, "1-0", raw(READING, DETAILED, MESSAGE), True, True, 3),
    "Replay": Replay("s", 5, "playing", 4, 2.5),
    "Gap": Gap("s", 5, "1-0", "2-0"),
}


def validator(name: str) -> Draft7Validator:
    return Draft7Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def fits(message: Any, among: list[dict[str, str]]) -> list[str]:
    """Which of an operation's messages it is."""
    names = [reference["$ref"].rpartition("/")[2] for reference in among]
    return [name for name in names if validator(name).is_valid(message)]


def test_it_is_an_asyncapi_document() -> None:
    specification = DASHBOARD / "node_modules/@asyncapi/specs/schemas/3.0.0.json"
    if not specification.exists():
        missing("no npm package @asyncapi/specs (make install)")
    problems = Draft7Validator(json.loads(specification.read_text())).iter_errors(DOCUMENT)
    assert [(list(problem.path), problem.message) for problem in problems] == []


def test_each_reference_leads_somewhere() -> None:
    references = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            references.update([part["$ref"]] if "$ref" in part else [])
            part = list(part.values())
        for inner in part if isinstance(part, list) else ():
            walk(inner)

    walk(DOCUMENT)
    assert len(references) > 50
    for reference in references:
        found = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_every_command_reply_and_event_is_in_it() -> None:
    structs = [found for found in vars(protocol).values() if isinstance(found, type) and issubclass(found, Struct)]
    tagged = {kind for kind in structs if kind.__struct_config__.tag is not None} - {protocol._Command}
    assert tagged > set(get_args(Command))
    replies = {kind for kind in structs if issubclass(kind, Reply)} | {protocol.ErrorReply}
    assert set(DOCUMENT["components"]["messages"]) == {kind.__name__ for kind in tagged | replies}
    assert set(DOCUMENT["channels"]["stream"]["messages"]) == set(DOCUMENT["components"]["messages"])
    received = {name for name, operation in DOCUMENT["operations"].items() if operation["action"] == "receive"}
    assert received == {kind.__struct_config__.tag for kind in get_args(Command)}
    assert set(DOCUMENT["operations"]) - received == {"subscription", "replay", "gap", "error"}
    assert all(message["summary"] for message in DOCUMENT["components"]["messages"].values())


def test_the_tables_are_in_it() -> None:
    assert DOCUMENT["x-errors"] == ERRORS
    assert {int(code): tuple(close.values()) for code, close in DOCUMENT["x-close-codes"].items()} == CLOSE_CODES
    formats = {name: how["format"] for name, how in DOCUMENT["channels"]["stream"]["x-subprotocols"].items()}
    assert formats == SUBPROTOCOLS


@given(commands)
def test_a_command_is_valid_as_itself_alone(command: Command) -> None:
    operations = [found for found in DOCUMENT["operations"].values() if found["action"] == "receive"]
    among = [reference for operation in operations for reference in operation["messages"]]
    assert fits(written(command), among) == [type(command).__name__]
    assert fits(msgpack.unpackb(encode(command, "msgpack")), among) == [type(command).__name__]


# What does not go together is beyond a schema.
@pytest.mark.parametrize("fields", [fields for _, fields in BAD if not {"window", "meta"} <= fields.keys()])
def test_a_command_that_a_node_refuses_is_not_valid(fields: dict[str, Any]) -> None:
    assert not validator("Command").is_valid(BASE | fields)


@pytest.mark.parametrize("name", SAID)
def test_what_a_node_says_is_valid_as_itself_alone(name: str) -> None:
    said = written(SAID[name])
    assert fits(said, [{"$ref": f"#/{other}"} for other in SAID]) == [name]
    for field in DOCUMENT["components"]["schemas"][name]["required"]:
        assert not validator(name).is_valid({key: part for key, part in said.items() if key != field}), field
    for field in said:
        assert not validator(name).is_valid(said | {field: [{}]}), field


@given(items)
def test_an_item_is_valid_as_itself(item: ReadingItem | MessageItem) -> None:
    assert validator("Item").is_valid(written(item))
    assert validator(type(item).__name__).is_valid(written(item))


@pytest.mark.parametrize(
    "item",
    [
        {"topic": "a", "id": "1-0", "ts": 5},
        {"topic": "a", "id": "1-0", "values": {}},
        {"topic": "a", "id": "1-0", "ts": 5, "values": {"Speed": [1]}},
        {"topic": "a", "id": "1-0", "ts": 5, "values": {}, "points": {"Speed": [[1, 2, 3]]}},
        {"topic": "a", "id": "1-0", "ts": 5, "values": {}, "seq": None},
        {"topic": "a", "ts": 5, "count": 1, "values": {"Speed": {"min": 1}}},
    ],
)
def test_what_is_no_item_is_not_valid(item: dict[str, Any]) -> None:
    assert not fits(item, [{"$ref": f"#/{name}"} for name in ("ReadingItem", "MessageItem", "WindowItem")])
    assert not validator("ItemsReply").is_valid(written(SAID["ItemsReply"]) | {"data": [item]})


def test_a_window_of_a_subscription_is_valid() -> None:
    told = written(READING) | {"values": {"Speed": {"min": 1, "mean": 1.5}, "Gear": "D"}}
    assert validator("SubscriptionEvent").is_valid(written(SAID["SubscriptionEvent"]) | {"data": [told]})


def test_it_is_always_the_same() -> None:
    """Nothing of it hangs on the order of a set."""
    printed = {
        subprocess.run(
            [sys.executable, "-m", "wire.asyncapi"],
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert [json.loads(text) for text in printed] == [DOCUMENT]


def test_the_types_of_the_client_are_made_from_it(tmp_path: Path) -> None:
    node = shutil.which("node", path=Path(sys.executable).parent) or shutil.which("node")
    if node is None or not (DASHBOARD / "node_modules").exists():
        missing("no Node, or none of the dashboard's packages (make install)")
    made = tmp_path / "protocol.ts"
    subprocess.run([node, "client/generate.ts", made], cwd=DASHBOARD, input=json.dumps(DOCUMENT).encode(), check=True)
    assert made.read_text() == (DASHBOARD / "client/src/protocol.ts").read_text(), "npm run types makes it anew"

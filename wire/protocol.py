"""Client protocol, version 1: commands, replies, events, errors and close codes.

Words and numbers are those of VISS (W3C / COVESA, Vehicle Information Service Specification). Both formats,
`fleetwire.v1.json` (text) and `fleetwire.v1.msgpack` (binary), carry the same maps; unknown fields are errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from wire.clock import now_ms
from wire.command import MAX_TTL
from wire.errors import CommandError
from wire.reading import Clock, Value
from wire.shaping import BoundingBox, Filters, Geofence, Window

__all__ = [
    "BEARER",
    "CLOSE_CODES",
    "ERRORS",
    "SUBPROTOCOLS",
    "Authorize",
    "Close",
    "Command",
    "ErrorDetail",
    "ErrorReply",
    "Format",
    "Gap",
    "Get",
    "History",
    "ItemsReply",
    "Last",
    "MessageItem",
    "Numbers",
    "Ping",
    "PingReply",
    "PlaceEvent",
    "Publish",
    "PublishReply",
    "ReadingItem",
    "Replay",
    "Reply",
    "Subscribe",
    "SubscribeReply",
    "SubscriptionEvent",
    "Ttl",
    "Unsubscribe",
    "Update",
    "WindowItem",
    "decode_command",
    "encode",
    "error_reply",
    "request_of",
]

Format = Literal["json", "msgpack"]
SUBPROTOCOLS: dict[str, Format] = {"fleetwire.v1.json": "json", "fleetwire.v1.msgpack": "msgpack"}
BEARER = "fleetwire.bearer."  # and a token: what a browser may offer as one more subprotocol

RequestId = Annotated[str, Meta(min_length=1, max_length=64)]
Milliseconds = Annotated[int, Meta(ge=0, lt=1 << 53)]
Filter = Annotated[str, Meta(min_length=1, max_length=1024)]
Interval = Annotated[int, Meta(ge=0, le=60_000)]
Strategy = Literal["latest", "batch"]
PlaceEvent = Literal["enter", "leave", "inside"]
SignalPattern = Annotated[str, Meta(min_length=1, max_length=256)]
Signals = Annotated[tuple[SignalPattern, ...], Meta(min_length=1, max_length=256)]
Limit = Annotated[int, Meta(ge=1, le=10_000)]
Width = Annotated[int, Meta(ge=1_000, le=86_400_000)]
Speed = Annotated[float, Meta(ge=0, le=100)]
Ttl = Annotated[int, Meta(ge=1, le=MAX_TTL)]

ERRORS: dict[str, int] = {
    "bad_request": 400,  # not a map of this format, a field missing, unknown or of a wrong type
    "unknown_action": 400,
    "invalid_topic": 400,  # outside the grammar of topics and filters
    "invalid_cursor": 400,
    "invalid_token": 401,  # bad signature, expired, not yet valid
    "unauthorized": 401,  # a token is needed first
    "forbidden_topic": 403,  # no grant covers it, or clients don't publish there
    "forbidden_origin": 403,  # a page from elsewhere
    "forbidden_signal": 403,  # no grant covers it
    "grants_changed": 409,  # a new token grants other signals, so a subscription has ended: subscribe anew
    "unknown_subscription": 404,
    "unknown_vehicle": 404,  # nobody has ever heard of it
    "not_found": 404,  # HTTP: nothing is there
    "method_not_allowed": 405,  # HTTP: it is there, but for other methods
    "too_big": 413,
    "unsupported_media_type": 415,  # HTTP: a body that does not say that it is JSON
    "too_many_subscriptions": 429,
    "too_many_commands": 429,  # faster than one connection may
    "too_many_connections": 429,  # of one subject or address
    "storage_full": 507,  # Redis has reached its maxmemory, or as many commands wait as may
    "node_full": 503,  # it has as many clients as it takes
    "unavailable": 503,  # Redis is away, or the node has too much to do; try again
}


class Close(NamedTuple):
    """What a close code means, and whether the client should come back: `now`, `later`, `renewed` (with a new
    token), or `never`."""

    reason: str
    come_back: Literal["now", "later", "renewed", "never"]


CLOSE_CODES: dict[int, Close] = {
    1001: Close("node going away", "now"),
    1009: Close("message too big", "never"),
    1012: Close("node restarting", "now"),
    1013: Close("node full", "later"),
    4001: Close("token expired", "renewed"),
    4003: Close("forbidden", "never"),
    4008: Close("took nothing for the whole timeout", "now"),
    4029: Close("too many commands", "later"),
}


class _Command(Struct, rename="camel", tag_field="action", forbid_unknown_fields=True, kw_only=True):
    request_id: RequestId


class Subscribe(_Command, tag="subscribe"):
    """Ask for what a filter matches. `interval`: milliseconds between frames. `since`: a cursor, for only what
    came after it. `signals`: patterns of signal names, `*` for one segment. What is told of the readings: `filter`,
    by pattern of signal names, `bbox`, `geofence`, `window`, `delta` (`wire.shaping`).

    `from`: epoch ms of storing, from where the log is played until it has come to the present; with `since`, from
    there. `speed`: how many times as fast as it was stored, 1 to 100 (without it, 1); 0 pauses."""

    topic: Filter
    strategy: Strategy = "latest"
    interval: Interval = 100
    signals: Signals | None = None
    snapshot: bool = True
    since: str | None = None
    meta: bool = False
    filter: Filters | None = None
    bbox: BoundingBox | None = None
    geofence: Geofence | None = None
    window: Window | None = None
    delta: bool = False
    from_: Milliseconds | None = msgspec.field(default=None, name="from")
    speed: Speed | None = None

    def __post_init__(self) -> None:
        if self.speed is not None and self.from_ is None:
            raise ValueError("speed is for a replay: it wants a from")
        if self.speed and self.speed < 1:
            raise ValueError(f"speed is 0, which pauses, or from 1 to 100, not {self.speed}")
        if self.bbox is not None and self.geofence is not None:
            raise ValueError("bbox and geofence can't be combined")
        if self.delta and self.strategy != "latest":
            raise ValueError("delta is for the strategy latest")
        if self.window is not None:
            if self.strategy != "latest" or not self.interval:
                raise ValueError("a window is for the strategy latest and an interval of at least 1 ms")
            if self.filter or self.geofence is not None or self.delta:
                raise ValueError("a window can't be combined with filter, geofence or delta")


class Update(_Command, tag="update"):
    """Change what a subscription asks for; what is left out stays, null takes it away. `subscriptionId` and what
    follows are as for a new subscription; nothing is missed or doubled in between. `from`: play the log from there,
    or anew; null goes live."""

    subscription_id: str
    strategy: Strategy | UnsetType = UNSET
    interval: Interval | UnsetType = UNSET
    signals: Signals | UnsetType | None = UNSET
    meta: bool | UnsetType = UNSET
    filter: Filters | UnsetType | None = UNSET
    bbox: BoundingBox | UnsetType | None = UNSET
    geofence: Geofence | UnsetType | None = UNSET
    window: Window | UnsetType | None = UNSET
    delta: bool | UnsetType = UNSET
    from_: Milliseconds | UnsetType | None = msgspec.field(default=UNSET, name="from")
    speed: Speed | UnsetType = UNSET

    def applied(self, asked: Subscribe) -> Subscribe:
        """What the subscription asks for from now on. Raises CommandError, reason `bad_request`, when that does not
        go together."""
        changes = {
            name: value
            for name in self.__struct_fields__
            if name not in ("request_id", "subscription_id") and (value := getattr(self, name)) is not UNSET
        }
        if self.from_ is None:
            changes.setdefault("speed", None)
        try:
            return msgspec.structs.replace(asked, request_id=self.request_id, since=None, **changes)
        except ValueError as error:
            raise CommandError("bad_request", str(error)) from None


class Unsubscribe(_Command, tag="unsubscribe"):
    """End a subscription."""

    subscription_id: str


class Publish(_Command, tag="publish"):
    """Say something in a room, or command a vehicle; the reply comes when Redis has it. `ttl`: of a command, ms."""

    topic: str
    data: Any
    ttl: Ttl | None = None


class Get(_Command, tag="get"):
    """The current state of what a filter matches."""

    topic: Filter
    meta: bool = False


class History(_Command, tag="history"):
    """Stored readings of what a filter matches, oldest first; `from`, `to`: epoch ms of storing, both included.
    `after`: a reply's cursor, for the next page. `signals`: as of a subscription. `window`: ms; instead of the
    readings what they come to in each such stretch of their own `ts`, topic by topic (`WindowItem`)."""

    topic: Filter
    from_: Milliseconds = msgspec.field(default=0, name="from")
    to: Milliseconds | None = None
    limit: Limit = 1_000
    after: str | None = None
    signals: Signals | None = None
    meta: bool = False
    window: Width | None = None

    def __post_init__(self) -> None:
        if self.window is not None and self.meta:
            raise ValueError("meta is of readings: a window has none")


class Authorize(_Command, tag="authorize"):
    """Show a token (JWT), first or anew."""

    authorization: str


class Ping(_Command, tag="ping"):
    """Ask for a sign of life, and for the node's name."""


Command = Subscribe | Update | Unsubscribe | Publish | Get | History | Authorize | Ping


class ReadingItem(Struct, omit_defaults=True):
    """A reading as clients see it. `points`: by signal, what a curve is drawn through, (ts, value). `event`: what it
    tells of a place: `enter`, `leave`, or `inside`. The fields after these come with `meta`; `received` by the
    bridge, `stored` in Redis and `read` by the node are epoch ms, as `ts` is."""

    topic: str
    id: str
    ts: int
    values: dict[str, Value]
    points: dict[str, list[tuple[int, Value]]] | None = None
    event: PlaceEvent | None = None
    seq: int | None = None
    historical: bool = False
    received: int | None = None
    clock: Clock = "device"
    stored: int | None = None
    read: int | None = None


class MessageItem(Struct, omit_defaults=True):
    """A message of a room, a command or a reply as clients see it. `ts`: epoch ms."""

    topic: str
    id: str
    ts: int
    data: Any
    sender: str | None = None


class Numbers(Struct):
    """What the numbers of a signal come to in a window."""

    min: float | int
    max: float | int
    mean: float


class Last(Struct):
    """The newest value of a signal that was never a number in a window."""

    last: Value


class WindowItem(Struct):
    """What `count` readings of a topic come to. `ts`: epoch ms, where the window begins."""

    topic: str
    ts: int
    count: int
    values: dict[str, Numbers | Last]


class SubscriptionEvent(Struct, rename="camel", tag_field="action", tag="subscription", omit_defaults=True):
    """Items of a subscription. `conflated`: readings that newer ones overtook. `more`: the
    snapshot goes on in the next frame."""

    subscription_id: str
    ts: int
    cursor: str
    data: list[Raw]  # encoded already
    snapshot: bool = False
    more: bool = False
    conflated: int = 0


class Replay(Struct, rename="camel", tag_field="action", tag="replay", omit_defaults=True):
    """Where a replay is: at each change, and each second while it plays. `position`: epoch ms of storing, which grows
    `speed` times as fast as time; both are left out when it has gone live."""

    subscription_id: str
    ts: int
    state: Literal["playing", "paused", "live"]
    position: int | None = None
    speed: float | None = None


class Gap(Struct, rename="camel", tag_field="action", tag="gap"):
    """What a `batch` subscription or a replay misses for good: some of what was stored after `from`, up to `to`
    (cursors)."""

    subscription_id: str
    ts: int
    from_: str = msgspec.field(name="from")
    to: str


class Reply(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """That a command was carried out."""

    action: str
    request_id: str
    ts: int


class SubscribeReply(Reply, kw_only=True):
    """The subscription that a subscribe or update got; the same for all who ask for the same. `signals`: patterns of
    those that it is limited to, where no signals were asked for and the token does not grant all."""

    subscription_id: str
    signals: tuple[str, ...] | None = None


class PublishReply(Reply, kw_only=True):
    """The id that a message was stored with; of a command, the correlation that replies to it have."""

    id: str


class ItemsReply(Reply, kw_only=True):
    """Items. Of history: `cursor`, to be given as `after`, when there is a next page; `trimmed`, when
    the log no longer has everything that was asked for, up to this id."""

    cursor: str | None = None
    trimmed: str | None = None
    data: list[Raw]  # encoded already


class PingReply(Reply, kw_only=True):
    """`node`: what the node calls itself."""

    node: str


class ErrorDetail(Struct):
    """`reason`: one of a table, which has its number. `description`: for people."""

    number: int
    reason: str
    description: str


class ErrorReply(Struct, rename="camel", omit_defaults=True):
    """Why a command was not carried out, with action and request id as far as they could be read; or, with the action
    `subscription` and its id, why a subscription has ended."""

    ts: int
    error: ErrorDetail
    action: str | None = None
    request_id: str | None = None
    subscription_id: str | None = None


_ENCODERS: dict[Format, Callable[[Any], bytes]] = {
    "json": msgspec.json.Encoder().encode,
    "msgpack": msgspec.msgpack.Encoder().encode,
}
_DECODERS: dict[Format, Any] = {
    "json": (msgspec.json.Decoder(Command), msgspec.json.Decoder()),
    "msgpack": (msgspec.msgpack.Decoder(Command), msgspec.msgpack.Decoder()),
}


def encode(message: Any, format: Format) -> bytes:
    """A reply, event or item in its wire format."""
    return _ENCODERS[format](message)


def decode_command(data: bytes | str, format: Format) -> Command:
    """The command in a client's frame. Raises CommandError, reason `bad_request` or `unknown_action`."""
    try:
        command: Command = _DECODERS[format][0].decode(data)
    except msgspec.ValidationError as error:
        reason = "unknown_action" if "Invalid value" in str(error) and "$.action" in str(error) else "bad_request"
        raise CommandError(reason, str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise CommandError("bad_request", f"not {format}: {error}") from None
    return command


def request_of(data: bytes | str, format: Format) -> tuple[str | None, str | None]:
    """Action and request id of a frame that is no valid command, as far as they can be read."""
    try:
        found = _DECODERS[format][1].decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None, None
    if not isinstance(found, dict):
        return None, None
    action, request_id = found.get("action"), found.get("requestId")
    return (
        action[:64] if isinstance(action, str) else None,
        request_id[:64] if isinstance(request_id, str) else None,
    )


def error_reply(
    error: CommandError,
    action: str | None = None,
    request_id: str | None = None,
    subscription_id: str | None = None,
) -> ErrorReply:
    """The reply that tells a client of an error."""
    detail = ErrorDetail(ERRORS[error.reason], error.reason, error.description)
    return ErrorReply(now_ms(), detail, action, request_id, subscription_id)

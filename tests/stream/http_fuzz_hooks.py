"""What schemathesis has to be told of our answers. It loads this module by itself."""

from __future__ import annotations

from typing import Any

import msgpack
import schemathesis
from schemathesis import Case, CheckContext, Response
from schemathesis.core.deserialization import DeserializationContext

__all__ = ["refused_with_the_error_map"]


@schemathesis.deserializer("application/msgpack")
def unpacked(context: DeserializationContext, response: Response) -> Any:
    """A page in MessagePack, to be looked at as one in JSON."""
    return msgpack.unpackb(response.content)


@schemathesis.check
def refused_with_the_error_map(context: CheckContext, response: Response, case: Case) -> None:
    """Whatever is refused has the error map, also a method that is not in the document; but for what is too large to
    be looked at."""
    if response.status_code in (414, 431):
        assert response.content == b""
    elif response.status_code >= 400 and case.path != "/readyz" and case.method != "HEAD":
        assert response.headers["content-type"] == ["application/json"]
        error = response.json()["error"]
        assert error["number"] == response.status_code
        assert error["reason"]
        assert error["description"]

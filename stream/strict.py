"""uvicorn's WebSocket protocol, and what RFC 6455, or a client that means no good, asks of it beyond.

Each is a case of `tests/stream/test_conformance.py`.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidHeader
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

__all__ = ["StrictProtocol"]

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class StrictProtocol(WebSocketsSansIOProtocol):
    """One connection, without extensions. While the client takes nothing, nothing is read of it either: else the
    answers to its pings would gather without end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.__class__ = _Frames  # to make another takes a twelfth of all that a connection's opening does
        self.conn.available_extensions = None
        self._full = False

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # uvicorn would let it wait for ever.
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport. What leads back to the parser goes: the garbage collector rests here."""
        super().connection_lost(exc)
        self.conn.events.clear()
        self.conn.parser.close()
        if (failed := self.conn.parser_exc) is not None:
            failed.__traceback__ = failed.__context__ = failed.__cause__ = None

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is not None:
            super().handle_parser_exception()
        else:  # frames, and bad ones, from one who did not wait for the handshake's end
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
            self.close_sent = True
            self.transport.close()

    def handle_cont(self, event: Any) -> None:
        # In one buffer: there may be any number of fragments of one byte, or of none, and a list of them would grow.
        begun = self.frames[0]
        buffer = begun if isinstance(begun, bytearray) else bytearray(begun)
        buffer += event.data
        self.frames[0] = buffer  # type: ignore[call-overload]
        if event.fin:
            self.frames[0] = bytes(buffer)
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:  # which uvicorn would log, with a traceback
                self.frames = []
                self.conn.send_close(1007, "not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def receive(self) -> Any:
        """As the server has it."""
        message = await super().receive()
        if self._full and not self.transport.is_closing():
            self.transport.pause_reading()
        return message

    def pause_writing(self) -> None:
        """Called by the transport."""
        super().pause_writing()
        self._full = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Called by the transport."""
        super().resume_writing()
        self._full = False
        if not (self.read_paused or self.transport.is_closing()):
            self.transport.resume_reading()


class _Frames(ServerProtocol):
    def accept(self, request: Request) -> Response:
        response = super().accept(request)
        why = self.handshake_exc
        if isinstance(why, InvalidHeader) and why.name == "Sec-WebSocket-Version":
            response.status_code, response.reason_phrase = 426, "Upgrade Required"
            response.headers["Sec-WebSocket-Version"] = "13"  # which must be said (section 4.4)
        return response

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # whoever closes in the middle of a message may do so (section 5.4)
        super().recv_frame(frame)

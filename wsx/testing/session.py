"""The server's side of one connection: the opening handshake, frames, and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionLost

from wsx._client.keepalive import is_keepalive_ping
from wsx.conn import Conn
from wsx.frames import NO_STATUS_RECEIVED, Ping, Pong
from wsx.testing.clock import MemoryReactor
from wsx.testing.inbox import Inbox
from wsx.testing.request import Request
from wsx.testing.transport import ClientTransport
from wsx.testing.wire import (
    AnyFrame,
    ClientDecoder,
    CloseFrame,
    Deflate,
    close_frame,
    encode,
)

__all__ = ["Session"]

_END_OF_HEAD = b"\r\n\r\n"


class Session:
    """One connection as the server sees it.

    Unless it is silent, the server answers pings and close frames, and closes the TCP connection
    after the closing handshake, as real servers do.

    Args:
        number: The number of the connection, from 1 on.
        conn: Where the client connects.
        reactor: The reactor.
        protocol: The client's protocol.
        requested: Called when the request of the opening handshake is complete.

    Attributes:
        number: The number of the connection.
        name: The name of the connection in messages.
        transport: The client's transport.
        inbox: The frames that were received.
        request: The request of the opening handshake; None until it is complete.
        is_answered: Whether the request was accepted or refused.
        is_open: Whether the request was accepted.
        is_silent: Whether the server does not answer by itself.
        ended: How the connection has ended, for messages; None while it exists.
        deflate: The negotiated compression, or None.
        arrived: Called after each frame.
    """

    def __init__(
        self,
        number: int,
        conn: Conn,
        reactor: MemoryReactor,
        protocol: Any,
        requested: Callable[[Session], None],
    ) -> None:
        self.number = number
        self.name = f"connection {number}"
        self.transport = ClientTransport(reactor, protocol)
        self.inbox = Inbox(self.name)
        self.request: Request | None = None
        self.is_answered = False
        self.is_open = False
        self.is_silent = False
        self.ended: str | None = None
        self.deflate: Deflate | None = None
        self.arrived: Callable[[], None] = lambda: None
        self._conn = conn
        self._reactor = reactor
        self._requested = requested
        self._head = b""
        self._decoder: ClientDecoder | None = None
        self._close_sent = False
        self._close_received = False
        self.transport.to_server.received = self._received
        self.transport.to_server.finished = self._client_ended

    # Sending

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.to_client.put(data)

    def open(self, response: bytes, deflate: Deflate | None) -> None:
        """Accept the opening handshake.

        Args:
            response: The response.
            deflate: The negotiated compression, or None.
        """
        self.is_answered = self.is_open = True
        self.deflate = deflate
        self._decoder = ClientDecoder(deflate)
        self.send(response)

    def close(self, code: int | None, message: str) -> None:
        """Send a close frame. The TCP connection is closed after the client's close frame."""
        self._close_sent = True
        self.send(close_frame(code, message))
        self._finish_closing()

    def drop(self, how: str) -> None:
        """Close the TCP connection, after what was sent."""
        self._end(how)
        self.transport.to_client.finish()

    def reset(self) -> None:
        """Reset the TCP connection. Bytes that the client has not read are lost."""
        self._end("the server has reset it")
        self.transport.to_client.discard()
        self._reactor.later(0, self.transport.end, ConnectionLost())

    def vanish(self) -> None:
        """Let nothing arrive in either direction, while the TCP connection seems to exist."""
        self.is_silent = True
        self.transport.to_client.discard()
        self.transport.to_server.discard()

    def _end(self, how: str) -> None:
        if self.ended is None:
            self.ended = how

    # Receiving

    def _received(self, data: bytes) -> None:
        if self.request is None:
            self._receive_request(data)
        elif self._decoder is not None and self.ended is None:
            for frame in self._decoder.feed(data):
                self._frame(frame)

    def _receive_request(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(_END_OF_HEAD):  # A client sends nothing before the response.
            head = self._head.removesuffix(_END_OF_HEAD)
            self.request = Request.parse(head, self._conn.url)
            self._requested(self)

    def _frame(self, frame: AnyFrame) -> None:
        keepalive = isinstance(frame, Ping) and is_keepalive_ping(frame)
        if not keepalive:
            # The client must answer a close frame, whatever its handler does.
            is_answer = isinstance(frame, CloseFrame) and self._close_sent
            self.inbox.add(frame, is_optional=is_answer)
        if isinstance(frame, CloseFrame):
            self._close_received = True
        if not self.is_silent:
            self._answer(frame)
        if not keepalive:
            self.arrived()

    def _answer(self, frame: AnyFrame) -> None:
        if isinstance(frame, Ping) and not self._close_sent:
            self.send(encode(Pong(frame.payload)))
        elif isinstance(frame, CloseFrame):
            if not self._close_sent:
                self._close_sent = True
                code = None if frame.code == NO_STATUS_RECEIVED else frame.code
                self.send(close_frame(code))
            self._finish_closing()

    def _finish_closing(self) -> None:
        """Close the TCP connection after both close frames (RFC 6455 section 7.1.1)."""
        if self._close_sent and self._close_received and not self.is_silent:
            self.drop("it was closed by a closing handshake")

    def _client_ended(self) -> None:
        aborted = self.transport.aborted
        self._end(f"the client has {'aborted' if aborted else 'closed'} the TCP connection")

"""The client side of the opening handshake on one connection (RFC 6455 section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsx._text import line
from wsx._transport.autobahn import DEFLATE, Deflate, offer_deflate
from wsx._version import __version__
from wsx._wire import handshake
from wsx._wire.http import BodyReader, NotHTTP, Response, ResponseReader
from wsx.conn import Conn
from wsx.errors import HandshakeError, RequestError

__all__ = ["Accepted", "OpeningHandshake"]

_PROBLEM_LIMIT: Final = 200  # characters
_USER_AGENT: Final = f"wsx/{__version__}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The result of a successful opening handshake.

    Attributes:
        response: The response with status 101.
        subprotocol: The subprotocol that the server selected, or None.
        extensions: The extensions that the server accepted, as in the response.
        deflate: The negotiated compression, or None.
        rest: The bytes after the response: the server's first frames.
    """

    response: Response
    subprotocol: str | None
    extensions: tuple[str, ...]
    deflate: Deflate | None
    rest: bytes


class OpeningHandshake:
    """Format the request and read the response of one opening handshake.

    Args:
        conn: Where and how to connect.

    Attributes:
        answered: Whether any byte of the response was received.
    """

    __slots__ = (
        "_body",
        "_conn",
        "_key",
        "_reader",
        "answered",
    )

    def __init__(self, conn: Conn) -> None:
        self._conn = conn
        self._key = handshake.make_key()
        self._reader = ResponseReader(conn.max_header_size, "; did you mean wss://?")
        self._body: BodyReader | None = None  # Of a refusal.
        self.answered = False

    def request(self) -> bytes:
        """Return the request as bytes."""
        offer = offer_deflate() if self._conn.compression else None
        return handshake.format_opening_request(self._conn, self._key, offer, _USER_AGENT)

    def feed(self, data: bytes) -> Accepted | None:
        """Add bytes of the response.

        Args:
            data: The next bytes.

        Returns:
            The result of the handshake once the response is complete, otherwise None.

        Raises:
            RequestError: The server refused the handshake, and its response is complete.
            HandshakeError: The response is not valid.
        """
        self.answered = True
        if self._body is not None:
            self._read_refusal(self._body, data)
            return None
        try:
            response = self._reader.feed(data)
        except NotHTTP as error:
            raise self._error(error.reason, error.received) from None
        if response is None:
            return None
        if response.status != 101:
            self._body = BodyReader(response, conn=self._conn)
            self._read_refusal(self._body, self._reader.rest)
            return None
        return self._accept(response)

    def refusal(self) -> RequestError | None:
        """Return the refusal with the part of its body received so far, or None."""
        return None if self._body is None else self._body.error()

    def _read_refusal(self, body: BodyReader, data: bytes) -> None:
        body.feed(data)
        if body.complete:
            raise body.error()

    def _accept(self, response: Response) -> Accepted:
        subprotocol = handshake.validate(response, self._conn, self._key)
        extensions, deflate = self._accept_extensions(response)
        return Accepted(response, subprotocol, extensions, deflate, self._reader.rest)

    def _accept_extensions(self, response: Response) -> tuple[tuple[str, ...], Deflate | None]:
        header = ", ".join(response.values("sec-websocket-extensions"))
        if not header:
            return (), None
        try:
            extensions = handshake.parse_extensions(header)
        except ValueError as error:
            problem = self._shown(error)
            raise self._error(f"Sec-WebSocket-Extensions header: {problem}", header) from None
        if [name for name, _ in extensions] != [DEFLATE] or not self._conn.compression:
            raise self._error("the server accepted an extension that was not offered", header)
        try:
            return (header,), Deflate(extensions[0][1])
        except ValueError as error:
            problem = self._shown(error)
            raise self._error(f"the extension's parameters are wrong: {problem}", header) from None

    def _shown(self, error: ValueError) -> str:
        """Return the text of an error that may repeat a header of the response."""
        return line(self._conn.redactor().text(str(error)), _PROBLEM_LIMIT)

    def _error(self, reason: str, received: str) -> HandshakeError:
        return HandshakeError(handshake.accept_value(self._key), received, reason)

"""The opening handshake (RFC 6455 section 4.1): the request, and what the response says. Pure.

Autobahn's own cannot be used here: its Host header is wrong for IPv6 and default ports, one byte
outside ASCII in a response makes it raise, it buffers a header without limit, and of a refusal it
keeps one line of text.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from typing import Final

from wsx.conn import Conn, Headers
from wsx.errors import HandshakeError, RequestError

__all__ = ["HeaderReader", "Response", "accept_value", "make_key", "request"]

MAX_BODY: Final = 64 * 1024  # of a refusal
_MAX_CHUNK_LINE: Final = 4096
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_END_OF_HEADER: Final = b"\r\n\r\n"
_NO_BODY: Final = frozenset({204, 304})
_SPACE: Final = " \t"  # RFC 9110 section 5.6.3; str.strip() knows more, which are letters here
_CONTROLS: Final = str.maketrans("\r\n\0", "   ")  # section 5.5


def make_key() -> str:
    """Gives a fresh ``Sec-WebSocket-Key``."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


def accept_value(key: str) -> str:
    """Gives the ``Sec-WebSocket-Accept`` that answers a key."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii") + _GUID).digest()).decode("ascii")


def request(conn: Conn, key: str, extensions: str | None, user_agent: str) -> bytes:
    """Gives the request of the opening handshake.

    Headers of ``conn.extra_headers`` take the place of ours of the same name.
    """
    url = conn.parsed
    given = {name.lower() for name, _ in conn.extra_headers}
    ours = [("Host", url.host_header), ("User-Agent", user_agent)]
    if url.username is not None:
        ours.append(("Authorization", basic_credentials(url.username, url.password or "")))
    headers = [pair for pair in ours if pair[0].lower() not in given]
    headers += [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
    ]
    if conn.subprotocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(conn.subprotocols)))
    if extensions is not None:
        headers.append(("Sec-WebSocket-Extensions", extensions))
    return request_bytes(f"GET {url.resource} HTTP/1.1", [*headers, *conn.extra_headers])


def request_bytes(line: str, headers: list[tuple[str, str]]) -> bytes:
    """Gives an HTTP request without a body."""
    lines = [line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def basic_credentials(username: str, password: str) -> str:
    """Gives the value of a Basic Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Response:
    """The header of an HTTP response; its bytes were read as ISO-8859-1."""

    status: int
    reason: str
    headers: Headers
    version: str = "HTTP/1.1"

    def values(self, name: str) -> list[str]:
        """Gives the values of a header, in order; ``name`` in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def elements(self, name: str) -> list[str]:
        """Gives the elements of a header that is a list (RFC 9110 section 5.6.1)."""
        parts = ",".join(self.values(name)).split(",")
        return [part.strip() for part in parts if part.strip()]


class NotHTTP(Exception):
    """What came is no HTTP response, or one whose header is too long."""

    def __init__(self, reason: str, received: bytes) -> None:
        super().__init__(reason)
        self.reason = reason
        self.received = received[:200].decode("latin-1")


class HeaderReader:
    """Collects bytes until a response's header is whole.

    Args:
        limit: how many bytes it may have.

    Attributes:
        rest: what came after the header.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self.rest = b""

    def feed(self, data: bytes) -> Response | None:
        """Takes bytes; gives the response once its header is whole.

        Raises:
            NotHTTP: it is none, or its header is too long.
        """
        seen = max(0, len(self._buffer) - len(_END_OF_HEADER))
        self._buffer += data
        if not b"HTTP/".startswith(self._buffer[:5]):
            raise NotHTTP("the response is not HTTP", bytes(self._buffer))
        end = self._buffer.find(_END_OF_HEADER, seen)
        size = len(self._buffer) if end < 0 else end + len(_END_OF_HEADER)
        if size > self._limit:
            raise NotHTTP(f"the header is over {self._limit} bytes", bytes(self._buffer))
        if end < 0:
            return None
        self.rest = bytes(self._buffer[end + len(_END_OF_HEADER) :])
        return parse_header(bytes(self._buffer[:end]))


def parse_header(header: bytes) -> Response:
    """Reads a status line and header fields (RFC 9112 sections 4 and 5).

    Raises:
        NotHTTP: it cannot be read.
    """
    lines = header.decode("latin-1").split("\r\n")
    status_line, *fields = (line.translate(_CONTROLS) for line in lines)
    version, _, rest = status_line.partition(" ")
    code, _, reason = rest.strip(_SPACE).partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (len(code) == 3 and code.isdecimal()):
        raise NotHTTP("the status line is not HTTP/1.1", header)
    headers: list[tuple[str, str]] = []
    for line in fields:
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t") and headers:  # obsolete line folding, section 5.2
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line.strip(_SPACE)}")
        elif colon and name and name == name.strip(_SPACE):
            headers.append((name, value.strip(_SPACE)))
        else:
            raise NotHTTP("a header line has no name", header)
    return Response(int(code), reason.strip(_SPACE), tuple(headers), version)


def check(response: Response, conn: Conn, key: str) -> str | None:
    """Applies RFC 6455 section 4.1 to a response with status 101, extensions apart.

    Returns:
        the chosen subprotocol.

    Raises:
        HandshakeError: it is no right answer; the text says which check failed.
    """
    challenge = accept_value(key)

    def refuse(reason: str, name: str) -> HandshakeError:
        values = response.values(name)
        return HandshakeError(challenge, ", ".join(values) if values else None, reason)

    if response.version != "HTTP/1.1":
        raise HandshakeError(challenge, response.version, "the response is not HTTP/1.1")
    if [value.lower() for value in response.elements("upgrade")] != ["websocket"]:
        raise refuse("the Upgrade header is missing or not websocket", "upgrade")
    if "upgrade" not in [value.lower() for value in response.elements("connection")]:
        raise refuse("the Connection header is missing or has no Upgrade", "connection")
    accepts = response.values("sec-websocket-accept")
    if accepts != [challenge]:
        what = "is wrong" if accepts else "is missing"
        raise refuse(f"the Sec-WebSocket-Accept header {what}", "sec-websocket-accept")
    chosen = response.values("sec-websocket-protocol")
    if len(chosen) > 1 or (chosen and chosen[0] not in conn.subprotocols):
        raise refuse("the subprotocol was not offered", "sec-websocket-protocol")
    return chosen[0] if chosen else None


class BodyReader:
    """Collects the beginning of the body of a refusal (RFC 9112 section 6)."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._body = bytearray()
        self._chunks: _Chunks | None = None
        self._length = _body_length(response)
        if "chunked" in [coding.lower() for coding in response.elements("transfer-encoding")]:
            self._chunks = _Chunks()

    def feed(self, data: bytes) -> None:
        """Takes bytes; no more than we keep."""
        if self._chunks is not None:
            data = self._chunks.feed(data)
        self._body += data[: self._length - len(self._body)]

    @property
    def complete(self) -> bool:
        """Whether the whole body, or as much as we keep of it, is here."""
        ended = self._chunks is not None and self._chunks.ended
        return ended or len(self._body) >= self._length

    def error(self) -> RequestError:
        """Gives the refusal with what of the body is here."""
        response = self._response
        return RequestError(response.status, response.reason, response.headers, bytes(self._body))


def _has_body(response: Response) -> bool:
    return response.status >= 200 and response.status not in _NO_BODY


def _body_length(response: Response) -> int:
    """How much of the body to wait for: what Content-Length says, up to what we keep."""
    if not _has_body(response):
        return 0
    lengths = response.values("content-length")
    chunked = response.values("transfer-encoding")
    if chunked or not lengths or not lengths[0].isdecimal():
        return MAX_BODY
    return min(int(lengths[0].lstrip("0")[:12] or "0"), MAX_BODY)


class _Chunks:
    """Takes the framing off a chunked body (RFC 9112 section 7.1).

    Attributes:
        ended: the last chunk was here, or something that is no chunk.
    """

    def __init__(self) -> None:
        self.ended = False
        self._line = b""  # of a chunk's size, not whole yet
        self._left = 0  # of a chunk's data and the line end after it

    def feed(self, data: bytes) -> bytes:
        """Takes bytes; gives those of the body."""
        body = bytearray()
        data, self._line = self._line + data, b""
        pos = 0
        while pos < len(data) and not self.ended:
            if self._left:
                part = data[pos : pos + self._left]
                body += part[: max(0, self._left - 2)]
                self._left -= len(part)
                pos += len(part)
                continue
            line_end = data.find(b"\r\n", pos)
            if line_end < 0:
                self._line = data[pos:]
                self.ended = len(self._line) > _MAX_CHUNK_LINE
                break
            self._begin_chunk(data[pos:line_end])
            pos = line_end + 2
        return bytes(body)

    def _begin_chunk(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]+", size) or int(size, 16) == 0:
            self.ended = True
        else:
            self._left = int(size, 16) + 2

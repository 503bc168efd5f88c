"""HTTP/1.1 requests and responses (RFC 9112), as far as a WebSocket client needs them. Pure.

The opening handshake (RFC 6455 section 4) and CONNECT requests to a proxy use this module.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wsx.conn import TOKEN, Conn, Headers
from wsx.errors import RequestError

__all__ = [
    "BodyReader",
    "NotHTTP",
    "Response",
    "ResponseReader",
    "basic_credentials",
    "format_request",
    "parse_head",
]

MAX_BODY: Final = 64 * 1024  # bytes of a refusal's body that are kept
MAX_INTERIM_RESPONSES: Final = 16
_MAX_CHUNK_LINE: Final = 4096
# RFC 9112 section 2.2 allows a client to accept a single LF as a line terminator.
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_MAX_END_OF_HEAD: Final = 4  # bytes
_NO_BODY: Final = frozenset({204, 304})
# RFC 9110 section 5.6.3. str.strip() would also remove characters that are part of a value.
_WHITESPACE: Final = " \t"
_FORBIDDEN: Final = re.compile("[\\r\\0]")  # RFC 9110 section 5.5; line ends are removed before.


def format_request(line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return an HTTP request without a body."""
    lines = [line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def basic_credentials(username: str, password: str) -> str:
    """Return the value of a Basic Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Response:
    """The status line and headers of an HTTP response, decoded as ISO-8859-1.

    Attributes:
        status: The status code.
        reason: The reason phrase.
        headers: Pairs of names and values, in order.
        version: ``"HTTP/1.1"`` (default) or ``"HTTP/1.0"``.
    """

    status: int
    reason: str
    headers: Headers
    version: str = "HTTP/1.1"

    def values(self, name: str) -> list[str]:
        """Return the values of a header, in order.

        Args:
            name: The header's name in lower case.
        """
        return [value for key, value in self.headers if key.lower() == name]

    def elements(self, name: str) -> list[str]:
        """Return the elements of a header that is a list (RFC 9110 section 5.6.1)."""
        parts = ",".join(self.values(name)).split(",")
        stripped = (part.strip(_WHITESPACE) for part in parts)
        return [part for part in stripped if part]

    @property
    def is_interim(self) -> bool:
        """Whether a final response follows (RFC 9110 section 15.2).

        A response with status 101 is final, because it ends HTTP on this connection.
        """
        return 100 <= self.status < 200 and self.status != 101


class NotHTTP(Exception):
    """The received bytes are not an HTTP response, or exceed a limit.

    Attributes:
        reason: What is wrong.
        received: The first 200 bytes that were received, decoded as ISO-8859-1.
    """

    def __init__(self, reason: str, received: bytes) -> None:
        super().__init__(reason)
        self.reason = reason
        self.received = received[:200].decode("latin-1")


class ResponseReader:
    """Read the head of the final response, and skip interim (1xx) responses before it.

    Args:
        limit: The maximum size of the head of each response in bytes.
        hint: Text to append to the error if the response is TLS instead of HTTP. Default empty.

    Attributes:
        rest: The bytes after the head of the final response.
    """

    __slots__ = (
        "_buffer",
        "_hint",
        "_interim",
        "_limit",
        "_searched",
        "rest",
    )

    def __init__(self, limit: int, hint: str = "") -> None:
        self.rest = b""
        self._limit = limit
        self._hint = hint
        self._buffer = bytearray()
        self._searched = 0  # Bytes of the buffer in which no end of the head was found.
        self._interim = 0  # Number of interim responses so far.

    def feed(self, data: bytes) -> Response | None:
        """Add bytes of the response.

        Args:
            data: The next bytes.

        Returns:
            The final response once its head is complete, otherwise None.

        Raises:
            NotHTTP: The response is not HTTP, its head is too long, or there are too many interim
                responses.
        """
        self._buffer += data
        while (head := self._take_head()) is not None:
            response = parse_head(head)
            if not response.is_interim:
                self.rest = bytes(self._buffer)
                return response
            self._interim += 1
            if self._interim > MAX_INTERIM_RESPONSES:
                raise NotHTTP(f"more than {MAX_INTERIM_RESPONSES} interim responses", head)
        return None

    def _take_head(self) -> bytes | None:
        """Remove and return the head of one response, or return None if it is incomplete."""
        if not b"HTTP/".startswith(self._buffer[:5]):
            raise NotHTTP(self._describe_other_protocol(), bytes(self._buffer))
        end = _END_OF_HEAD.search(self._buffer, self._searched)
        size = len(self._buffer) if end is None else end.end()
        if size > self._limit:
            reason = f"the response's head is longer than {self._limit} bytes"
            raise NotHTTP(reason, bytes(self._buffer[:200]))
        if end is None:
            self._searched = max(0, len(self._buffer) - _MAX_END_OF_HEAD)
            return None
        head = bytes(self._buffer[: end.start()])
        del self._buffer[:size]
        self._searched = 0
        return head

    def _describe_other_protocol(self) -> str:
        if self._buffer[:2] == b"\x15\x03":  # a TLS alert record, RFC 8446 section 5.1
            return f"the response is not HTTP but TLS{self._hint}"
        return "the response is not HTTP"


def parse_head(head: bytes) -> Response:
    """Parse a status line and header fields (RFC 9112 sections 4 and 5).

    Args:
        head: The bytes before the empty line.

    Raises:
        NotHTTP: The status line or a header field is malformed.
    """
    text = head.decode("latin-1").replace("\r\n", "\n")
    if _FORBIDDEN.search(text):
        raise NotHTTP("the response's head contains NUL, or CR without LF", head)
    status_line, *fields = text.split("\n")
    version, _, rest = status_line.partition(" ")
    code, _, reason = rest.strip(_WHITESPACE).partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (len(code) == 3 and code.isdecimal()):
        raise NotHTTP("the status line is not HTTP/1.1", head)
    headers: list[tuple[str, str]] = []
    for line in fields:
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t") and headers:  # obsolete line folding, RFC 9112 section 5.2
            last, folded = headers[-1]
            headers[-1] = (last, f"{folded} {line.strip(_WHITESPACE)}".strip(_WHITESPACE))
        elif colon and TOKEN.fullmatch(name):  # RFC 9110 section 5.1
            headers.append((name, value.strip(_WHITESPACE)))
        else:
            raise NotHTTP("a header field has no valid name", head)
    return Response(int(code), reason.strip(_WHITESPACE), tuple(headers), version)


class BodyReader:
    """Collect the first 64 KiB of the body of a refusal (RFC 9112 section 6).

    Args:
        response: The head of the refusal.
        who: Who sent the refusal, for the error: ``"server"`` (default) or ``"proxy"``.
        conn: The Conn of the request, whose secrets the text of the error hides, or None (default).
    """

    def __init__(self, response: Response, who: str = "server", conn: Conn | None = None) -> None:
        self._response = response
        self._conn = conn
        self._who = who
        self._body = bytearray()
        self._length = _expected_length(response)
        self._chunks: _ChunkReader | None = None
        if "chunked" in [coding.lower() for coding in response.elements("transfer-encoding")]:
            self._chunks = _ChunkReader()

    def feed(self, data: bytes) -> None:
        """Add bytes; those beyond the first 64 KiB of the body are dropped."""
        if self._chunks is not None:
            data = self._chunks.feed(data)
        self._body += data[: self._length - len(self._body)]

    @property
    def complete(self) -> bool:
        """Whether the whole body, or the first 64 KiB of it, has been received."""
        ended = self._chunks is not None and self._chunks.ended
        return ended or len(self._body) >= self._length

    def error(self) -> RequestError:
        """Return the refusal with the part of the body that has been received."""
        response = self._response
        body, who = bytes(self._body), f"the {self._who}"
        redactor = None if self._conn is None else self._conn.redactor()
        return RequestError(response.status, response.reason, response.headers, body, who, redactor)


def _expected_length(response: Response) -> int:
    """Return the number of bytes of the body to wait for, at most ``MAX_BODY``."""
    if response.status < 200 or response.status in _NO_BODY:
        return 0
    lengths = response.values("content-length")
    chunked = response.values("transfer-encoding")
    if chunked or not lengths or not lengths[0].isdecimal():
        return MAX_BODY
    return min(int(lengths[0].lstrip("0")[:12] or "0"), MAX_BODY)


class _ChunkReader:
    """Decode a chunked body (RFC 9112 section 7.1).

    Attributes:
        ended: Whether the last chunk, or a malformed one, has been received.
    """

    def __init__(self) -> None:
        self.ended = False
        self._line = b""  # An incomplete line with the size of a chunk.
        self._left = 0  # Missing bytes of the current chunk and the line end after it.

    def feed(self, data: bytes) -> bytes:
        """Add bytes of the chunked body and return the bytes of its content."""
        body = bytearray()
        data, self._line = self._line + data, b""
        pos = 0
        while pos < len(data) and not self.ended:
            if self._left:
                part = data[pos : pos + self._left]
                body += part[: max(0, self._left - 2)]
                self._left -= len(part)
                pos += len(part)
            else:
                pos = self._read_size(data, pos)
        return bytes(body)

    def _read_size(self, data: bytes, pos: int) -> int:
        """Read the line with the size of a chunk, and return the position after it."""
        line_end = data.find(b"\r\n", pos)
        end = len(data.removesuffix(b"\r")) if line_end < 0 else line_end
        if end - pos > _MAX_CHUNK_LINE:
            self.ended = True
        elif line_end < 0:
            self._line = data[pos:]
        else:
            self._begin_chunk(data[pos:line_end])
            return line_end + 2
        return len(data)

    def _begin_chunk(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip(b" \t")
        if not re.fullmatch(rb"[0-9A-Fa-f]+", size) or int(size, 16) == 0:
            self.ended = True
        else:
            self._left = int(size, 16) + 2

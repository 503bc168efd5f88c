"""The request of a client's opening handshake, and the responses to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from wsx._text import expected
from wsx._wire.handshake import accept_value

__all__ = ["GivenHeaders", "Request", "RequestHeaders", "format_acceptance", "format_refusal"]

GivenHeaders: TypeAlias = Mapping[str, str | None] | Iterable[tuple[str, str | None]]


class RequestHeaders(Mapping[str, str]):
    """The headers of a request. Their names are case-insensitive.

    The values of a header that occurs several times are joined with commas (RFC 9110 section 5.3).

    Attributes:
        pairs: Pairs of names and values, in order, with duplicates.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)

    def __getitem__(self, name: str) -> str:
        values = [value for key, value in self.pairs if key.lower() == name.lower()]
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key.lower() for key, _ in self.pairs))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"RequestHeaders({list(self.pairs)!r})"


@dataclass(frozen=True)
class Request:
    """The request of an opening handshake.

    Attributes:
        path: The path with the query, as in the request line.
        headers: The headers, a mapping with case-insensitive names.
        url: The URL of the attempt, with its scheme.
    """

    path: str
    headers: RequestHeaders
    url: str

    @classmethod
    def parse(cls, head: bytes, url: str) -> Request:
        """Parse the bytes of a request up to its empty line.

        Args:
            head: The bytes.
            url: The URL of the attempt.
        """
        line, *fields = head.decode("latin-1").split("\r\n")
        pairs = [(name, value.strip(" ")) for name, _, value in (f.partition(":") for f in fields)]
        return cls(line.split(" ")[1], RequestHeaders(pairs), url)


def format_acceptance(
    request: Request,
    headers: GivenHeaders = (),
    subprotocol: str | None = None,
    extensions: str | None = None,
) -> bytes:
    """Return a response with status 101.

    Args:
        request: The request.
        headers: Headers to add. One of the response's own names replaces that header, or removes
            it if the value is None.
        subprotocol: The subprotocol to select, or None (default).
        extensions: The extensions to accept, or None (default).
    """
    own: dict[str, str | None] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_value(request.headers["Sec-WebSocket-Key"]),
        "Sec-WebSocket-Protocol": subprotocol,
        "Sec-WebSocket-Extensions": extensions,
    }
    return _format(HTTPStatus.SWITCHING_PROTOCOLS, own, headers)


def format_refusal(status: int, headers: GivenHeaders = (), body: bytes | str = b"") -> bytes:
    """Return a response that refuses the opening handshake.

    Args:
        status: The status code, such as 503.
        headers: Headers to add. One with the name ``Content-Length`` replaces it, or removes it if
            the value is None.
        body: The body. Default empty.

    Raises:
        ValueError: The status has not three digits, or it is 101.
    """
    if not 100 <= status <= 999 or status == HTTPStatus.SWITCHING_PROTOCOLS:
        raise ValueError(expected("status", "a status code other than 101, such as 503", status))
    content = body.encode() if isinstance(body, str) else body
    return _format(status, {"Content-Length": str(len(content))}, headers) + content


def _format(status: int, own: dict[str, str | None], given: GivenHeaders) -> bytes:
    pairs = list(given.items() if isinstance(given, Mapping) else given)
    replaced = {name.lower() for name, _ in pairs}
    fields = [(name, value) for name, value in own.items() if name.lower() not in replaced]
    lines = [f"{name}: {value}" for name, value in [*fields, *pairs] if value is not None]
    head = [f"HTTP/1.1 {int(status)} {_reason_phrase(status)}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1")


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

"""The request of the opening handshake and the validation of its response. Pure.

RFC 6455 section 4 specifies both.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from functools import partial
from typing import Final

from wsx._text import expected
from wsx._wire.http import Response, basic_credentials, format_request
from wsx.conn import TOKEN, Conn
from wsx.errors import HandshakeError

__all__ = ["accept_value", "format_opening_request", "make_key", "parse_extensions", "validate"]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_QUOTED: Final = re.compile('".*"', re.DOTALL)

Extension = tuple[str, dict[str, list[str | bool]]]


def make_key() -> str:
    """Return a new random ``Sec-WebSocket-Key``: 16 bytes in base64 (RFC 6455 section 4.1)."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


def accept_value(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` value for a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii") + _GUID).digest()).decode("ascii")


def format_opening_request(conn: Conn, key: str, extensions: str | None, user_agent: str) -> bytes:
    """Return the request of the opening handshake.

    A header in ``conn.extra_headers`` replaces the default header with the same name.

    Args:
        conn: Where and how to connect.
        key: The ``Sec-WebSocket-Key``.
        extensions: The value of ``Sec-WebSocket-Extensions``, or None to offer no extension.
        user_agent: The default value of ``User-Agent``.
    """
    url = conn.parsed
    given = {name.lower() for name, _ in conn.extra_headers}
    defaults = [("Host", url.host_header), ("User-Agent", user_agent)]
    if url.username is not None:
        defaults.append(("Authorization", basic_credentials(url.username, url.password or "")))
    headers = [pair for pair in defaults if pair[0].lower() not in given]
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
    return format_request(f"GET {url.resource} HTTP/1.1", [*headers, *conn.extra_headers])


def validate(response: Response, conn: Conn, key: str) -> str | None:
    """Check a response with status 101, except its extensions (RFC 6455 section 4.1).

    Args:
        response: The response.
        conn: The Conn of the request, for the offered subprotocols.
        key: The ``Sec-WebSocket-Key`` of the request.

    Returns:
        The subprotocol that the server selected, or None.

    Raises:
        HandshakeError: A header is missing or wrong. The text names the header.
    """
    challenge = accept_value(key)
    error = partial(_header_error, response, conn, challenge)
    if response.version != "HTTP/1.1":
        reason = expected("HTTP version", "HTTP/1.1", response.version)
        raise HandshakeError(challenge, response.version, reason)
    if [value.lower() for value in response.elements("upgrade")] != ["websocket"]:
        raise error("Upgrade", "websocket", may_show=True)
    if "upgrade" not in [value.lower() for value in response.elements("connection")]:
        raise error("Connection", "Upgrade", may_show=True)
    if response.values("sec-websocket-accept") != [challenge]:
        expectation = "the value that belongs to Sec-WebSocket-Key"
        raise error("Sec-WebSocket-Accept", expectation, may_show=False)
    chosen = response.values("sec-websocket-protocol")
    if len(chosen) > 1 or (chosen and chosen[0] not in conn.subprotocols):
        raise error("Sec-WebSocket-Protocol", "a subprotocol that was offered", may_show=False)
    for name in ("Content-Length", "Transfer-Encoding"):
        # RFC 9110 section 8.6 and RFC 9112 section 6.1 forbid these headers in a 1xx response.
        if response.values(name.lower()):
            raise error(name, "no such header in a response with status 101", may_show=True)
    return chosen[0] if chosen else None


def _header_error(
    response: Response, conn: Conn, challenge: str, header: str, expectation: str, *, may_show: bool
) -> HandshakeError:
    """Return the error for a header that is missing or wrong; show its value only if allowed."""
    values = response.values(header.lower())
    received = ", ".join(values) if values else None
    if received is None:
        reason = f"{expected(f'{header} header', expectation)}, but it is missing"
    elif may_show:
        shown = conn.redactor().text(received)
        reason = expected(f"{header} header", expectation, shown)
    else:  # The value may be a secret.
        reason = f"{expected(f'{header} header', expectation)}, got another value"
    return HandshakeError(challenge, received, reason)


def parse_extensions(header: str) -> list[Extension]:
    """Parse a ``Sec-WebSocket-Extensions`` header (RFC 6455 section 9.1).

    Returns:
        A pair of the name and the parameters for each extension. Each parameter has a list of
        values, because it may be repeated. The value of a parameter without ``=`` is True.

    Raises:
        ValueError: A name or value is not a token.
    """
    extensions: list[Extension] = []
    for element in header.split(","):
        name, *parameters = [part.strip(" \t") for part in element.split(";")]
        if name or parameters:
            _check_token(name)
            extensions.append((name.lower(), _parse_parameters(parameters)))
    return extensions


def _parse_parameters(parameters: list[str]) -> dict[str, list[str | bool]]:
    parsed: dict[str, list[str | bool]] = {}
    for parameter in parameters:
        name, equals, value = (part.strip(" \t") for part in parameter.partition("="))
        _check_token(name)
        if equals:
            value = value[1:-1] if _QUOTED.fullmatch(value) else value
            _check_token(value)
        parsed.setdefault(name.lower(), []).append(value if equals else True)
    return parsed


def _check_token(text: str) -> None:
    """Check a name or value; RFC 6455 section 9.1 allows only tokens, also between quotes."""
    if not TOKEN.fullmatch(text):
        raise ValueError(expected("names and values", "tokens (RFC 9110 section 5.6.2)", text))

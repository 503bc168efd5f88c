"""Check that the HTTP parser's result does not depend on the reads; compare it with h11."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import h11

from wsx._wire.http import BodyReader, NotHTTP, Response, ResponseReader
from wsx.test.fuzz.disagreement import Disagreement
from wsx.test.fuzz.streams import MAX_BYTEWISE
from wsx.test.support.streams import cut_at

_REQUEST_HEADERS = (("Host", "example.com"), ("Upgrade", "websocket"), ("Connection", "Upgrade"))
_LIMITS = (50, 200, 16384, 16384, 16384)
_LINE_ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n")
_STATUS_LINES = (
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 503 ",
    b"HTTP/1.1 204",
    b"HTTP/1.0 400 Bad Request",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 103 Early Hints",
)
_HEADERS = (
    b"Upgrade: websocket",
    b"Connection: Upgrade, keep-alive",
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    b"Set-Cookie: a=b; Path=/",
    b"X-Empty:",
    b"X-Spaces: \t a  b \t",
    b"X-Latin: caf\xe9",
    b"Retry-After: 120",
    b"X-Long: " + b"x" * 300,
)
_BROKEN_HEADERS = (
    b" folded",
    b"no colon",
    b": no name",
    b"Name : value",
    b"X-Null: a\0b",
    b"X-Return: a\rb",
    b"Content-Length: 5, 5",
    b"Content-Length: -1",
    b"Content-Length: \xb2",
    b"Content-Length: 99999999999999999999",
)


class Result(NamedTuple):
    """The result of parsing the bytes.

    Attributes:
        response: The head, or None.
        error: The reason of ``NotHTTP``, or an empty str.
        body: The body, or what follows the head of a 101 response.
        is_complete: Whether the body was complete.
    """

    response: Response | None = None
    error: str = ""
    body: bytes = b""
    is_complete: bool = False


class Case(NamedTuple):
    """A response, and the limit for its head in bytes."""

    limit: int
    reads: list[bytes]


def check_random(rng: random.Random) -> None:
    """Check a random response in random reads."""
    data = random_responses(rng)
    places = [rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 1, 3, 20)))]
    check(Case(rng.choice(_LIMITS), cut_at(data, places)))


def check(case: Case) -> None:
    """Check one response.

    Raises:
        Disagreement: The result depends on the reads, or h11 parses another response.
    """
    data = b"".join(case.reads)
    whole = parse([data], case.limit)
    ways = [case.reads]
    if len(data) <= MAX_BYTEWISE:
        ways.append([bytes([byte]) for byte in data])
    for reads in ways:
        result = parse(reads, case.limit)
        if result != whole:
            raise Disagreement(f"{len(reads)} reads: {result}\nnot: {whole}", case)
    problem = compare_with_h11(data, whole)
    if problem:
        raise Disagreement(problem, case)


def parse(reads: Sequence[bytes], limit: int) -> Result:
    """Parse a response as a connection does."""
    reader = ResponseReader(limit)
    body: BodyReader | None = None
    response: Response | None = None
    rest = b""
    for data in reads:
        if response is None:
            try:
                response = reader.feed(data)
            except NotHTTP as error:
                return Result(error=without_guess(error.reason))
            if response is None:
                continue
            data = reader.rest
            body = None if response.status == 101 else BodyReader(response)
        rest += data
        if body is not None and not body.complete:
            body.feed(data)
    if body is None:
        return Result(response, body=rest)
    return Result(response, body=body.error().body, is_complete=body.complete)


def without_guess(reason: str) -> str:
    """Return a reason without the guess that it is TLS, which needs the first two bytes."""
    return reason.removesuffix(" but TLS")


def compare_with_h11(data: bytes, ours: Result) -> str | None:
    """Return how a complete head differs for h11, or None. h11 may reject what wsx accepts."""
    theirs = parse_with_h11(data)
    if theirs is None:
        return None
    if ours.response is None:
        return None if "longer than" in ours.error else f"h11 accepts {theirs}, wsx: {ours.error}"
    got = ours.response
    headers = [(name.lower(), value) for name, value in got.headers]
    if (got.status, comparable(headers)) != theirs:
        return f"wsx parses {(got.status, headers)}, h11 {theirs}"
    return None


def comparable(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers without two that h11 normalizes, and with single spaces.

    RFC 9112 section 5.2 does not say how many spaces replace a line folding.
    """
    framing = ("content-length", "transfer-encoding")
    spaces = re.compile("[ \t]+")
    return [(name, spaces.sub(" ", value)) for name, value in headers if name not in framing]


def parse_with_h11(data: bytes) -> tuple[int, list[tuple[str, str]]] | None:
    """Return the status and headers of the final response, or None if h11 has none."""
    connection = h11.Connection(our_role=h11.CLIENT)
    connection.send(
        h11.Request(method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "b")])
    )
    connection.receive_data(data)
    try:
        event: Any = connection.next_event()
        versions = {getattr(event, "http_version", b"")}
        while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            event = connection.next_event()
            versions.add(getattr(event, "http_version", b""))
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, (h11.Response, h11.InformationalResponse)):
        return None
    if not versions <= {b"1.0", b"1.1"}:  # wsx rejects versions that do not exist.
        return None
    headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
    return event.status_code, comparable(headers)


def random_responses(rng: random.Random) -> bytes:
    """Return one response, sometimes after interim ones, sometimes broken."""
    data = b"".join(random_response(rng) for _ in range(rng.choice((1, 1, 1, 2, 5, 20))))
    for _ in range(rng.choice((0, 0, 1, 3))):
        at = rng.randrange(len(data) + 1)
        part = rng.choice((b"\r", b"\n", b"\r\n", b"\0", b":", b" ", b"HTTP/", rng.randbytes(2)))
        data = data[:at] + part + data[at + rng.choice((0, 1, 5)) :]
    return data


def random_response(rng: random.Random) -> bytes:
    """Return a head and a body."""
    lines = [rng.choice(_STATUS_LINES), *rng.choices(_HEADERS, k=rng.randrange(6))]
    if rng.random() < 0.2:
        lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(_BROKEN_HEADERS))
    header, body = random_body(rng)
    lines += header
    return b"".join(line + rng.choice(_LINE_ENDS) for line in [*lines, b""]) + body


def random_body(rng: random.Random) -> tuple[list[bytes], bytes]:
    """Return headers that describe a body, and the body."""
    body = rng.randbytes(rng.choice((0, 1, 50)))
    kind = rng.choice(("none", "length", "chunked", "until close", "long"))
    if kind == "none":
        return [], b""
    if kind == "length":
        return [b"Content-Length: %d" % (len(body) + rng.choice((0, 0, 0, 1, -1)))], body
    if kind == "chunked":
        return [b"Transfer-Encoding: " + rng.choice((b"chunked", b"Chunked"))], chunked(rng, body)
    return [], body if kind == "until close" else b"0123456789abcdef" * 5000


def chunked(rng: random.Random, body: bytes) -> bytes:
    """Return a chunked body, often with extensions or with a wrong size."""
    places = [rng.randrange(len(body) + 1) for _ in range(3)]
    extensions = (
        b"",
        b"",
        b";a=b",
        b" ;x",
        b";" + b"y" * rng.choice((100, 4093, 4094, 4095, 5000)),
    )
    parts = [
        b"%x%b\r\n%b\r\n" % (len(part) + rng.choice((0,) * 9 + (1,)), rng.choice(extensions), part)
        for part in cut_at(body, places)
        if part
    ]
    return b"".join(parts) + rng.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"00\r\nTrailer: x\r\n\r\n", b"zz\r\n")
    )

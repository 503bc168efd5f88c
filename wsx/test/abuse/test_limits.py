"""Limits of the opening handshake: how much a client accepts and keeps of an endless response."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import repeat

from wsx import HandshakeError, RequestError
from wsx._wire.http import MAX_BODY, MAX_INTERIM_RESPONSES
from wsx.test.support.abuse import AbuseCase, Chain, Script, Step, respond
from wsx.test.support.each import each

KIB = 1024
READ = 64 * KIB  # bytes, Twisted's size of a read
CHUNKED = respond(b"HTTP/1.1 403 No", b"Transfer-Encoding: chunked")
INTERIM = respond(b"HTTP/1.1 103 Hints", b"Link: " + b"x" * (64 * KIB - 30))

# Name, script, expected error, and the number of bytes after which the client gives up.
ENDLESS: list[tuple[str, Script, type[Exception], int]] = [
    ("status_line", Chain([b"HTTP/1.1 "], repeat(b"x" * 999)), HandshakeError, 64 * KIB),
    ("fields", Chain([b"HTTP/1.1 101 OK\r\n"], repeat(b"X: y\r\n")), HandshakeError, 64 * KIB),
    (
        "folded_field",
        Chain([b"HTTP/1.1 101 OK\r\nX: y"], repeat(b"\r\n z")),
        HandshakeError,
        64 * KIB,
    ),
    ("interim", repeat(INTERIM), HandshakeError, (MAX_INTERIM_RESPONSES + 1) * 64 * KIB),
    ("body", Chain([respond(b"HTTP/1.1 403 No")], repeat(b"x" * 999)), RequestError, MAX_BODY),
    ("chunk_line", Chain([CHUNKED], repeat(b"1" * 99)), RequestError, 4 * KIB),
    ("chunks", Chain([CHUNKED], repeat(b"1\r\nx\r\n" * 99)), RequestError, 6 * MAX_BODY),
    ("chunk", Chain([CHUNKED + b"ffffffff\r\n"], repeat(b"x" * 999)), RequestError, MAX_BODY),
    ("trailers", Chain([CHUNKED + b"0\r\n"], repeat(b"X: y\r\n")), RequestError, 0),
]


class EndlessTests(AbuseCase):
    """Responses without end."""

    @each(ENDLESS)
    def test_bytes(self, label: str, script: Script, kind: type[Exception], limit: int) -> None:
        """The client gives up with the read that exceeds the limit."""
        self.sent = 0
        self.play(self.counted(script))
        self.assertIsInstance(self.error, kind)
        self.assertGreaterEqual(self.sent, limit)
        self.assertLess(self.sent, limit + 2 * KIB + len(INTERIM) * (label == "interim"))

    def counted(self, script: Script) -> Iterator[Step]:
        """Count the bytes of a script."""
        for step in script:
            assert isinstance(step, bytes)
            self.sent += len(step)
            yield step


class MemoryTests(AbuseCase):
    """The memory for a response."""

    @each(
        [
            ("head", [b"HTTP/1.1 101 " + b"x" * READ]),
            ("fields", [b"HTTP/1.1 101 OK\r\n" + b"a:\r\n" * 16_300 + b"\r\n"]),
            ("interim", [INTERIM] * 17),
            ("body", [respond(b"HTTP/1.1 403 No"), *[b"x" * READ] * 3]),
            ("chunks", [CHUNKED, *[b"1\r\nx\r\n" * (READ // 6)] * 7]),
            ("chunk_line", [CHUNKED, b"1" * READ]),
        ]
    )
    def test_peak(self, label: str, script: list[bytes]) -> None:
        """A response needs less than 4 MiB at any time, and a failed client keeps none of it."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.play(script)
        _, peak = tracemalloc.get_traced_memory()
        self.assertIsNotNone(self.error)
        self.assertLess(peak, 4 * KIB * KIB)

"""Responses that are split or cut at every position."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost

from wsx import ConnError, Reconnect, RequestError, Text
from wsx._wire import handshake
from wsx.test.support import MemoryCase, Recorder, text
from wsx.test.support.abuse import (
    ACCEPT,
    FIN,
    RESET,
    AbuseCase,
    Failed,
    Opened,
    Outcome,
    Refused,
    Step,
    respond,
    switching,
)
from wsx.test.support.each import each

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
ACCEPT_VALUE = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
PROXY = "http://proxy.test:3128"
REFUSAL = respond(b"HTTP/1.1 403 Forbidden", b"X: y", b"Content-Length: 2", body=b"no")
CHUNKED = respond(
    b"HTTP/1.1 403 Forbidden",
    b"Transfer-Encoding: chunked",
    body=b"1\r\nn\r\n1;x\r\no\r\n0\r\n\r\n",
)
INTERIM = respond(b"HTTP/1.1 103 Early Hints", b"Link: x")
TUNNEL = respond(b"HTTP/1.1 200 Connection established", b"Via: x")
FRAME = text("hi")

RESPONSES: list[tuple[str, bytes, Outcome, dict[str, Any]]] = [
    ("101", switching(), Opened(), {}),
    ("101_with_lf", switching().replace(b"\r\n", b"\n"), Opened(), {}),
    ("101_and_frame", switching(rest=FRAME), Opened((Text("hi"),)), {}),
    ("interim_and_101", INTERIM * 2 + switching(), Opened(), {}),
    ("refusal", REFUSAL, Refused(403, b"no"), {}),
    ("chunked_refusal", CHUNKED, Refused(403, b"no"), {}),
    ("proxy", TUNNEL + REFUSAL, Refused(403, b"no"), {"proxy": PROXY}),
]


class SplitTests(AbuseCase):
    """A response in several reads has the outcome of one read."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(handshake, "make_key", lambda: KEY)

    @each(RESPONSES)
    def test_two_reads(
        self, label: str, response: bytes, expected: Outcome, options: dict[str, Any]
    ) -> None:
        """Two reads, split at every position, for one client each."""
        whole = response.replace(ACCEPT, ACCEPT_VALUE)
        for position in range(len(whole) + 1):
            self.begin()
            self.assert_outcome([whole[:position], whole[position:]], expected, **options)

    @each(RESPONSES)
    def test_byte_by_byte(
        self, label: str, response: bytes, expected: Outcome, options: dict[str, Any]
    ) -> None:
        """Each byte in a read of its own."""
        whole = response.replace(ACCEPT, ACCEPT_VALUE)
        self.assert_outcome([bytes([byte]) for byte in whole], expected, **options)


class CutTests(AbuseCase):
    """TCP ends at every position of a response."""

    @each([("fin", FIN, ConnectionDone), ("reset", RESET, ConnectionLost)])
    def test_101(self, label: str, end: Step, kind: type[BaseException]) -> None:
        """An incomplete 101 is a ConnError at once."""
        response = switching().replace(ACCEPT, ACCEPT_VALUE)
        for position in range(1, len(response)):
            self.begin()
            expected = Failed(kind, "within its response", at=1.0)
            self.assert_outcome([response[:position], 1.0, end], expected)

    @each([("fin", FIN), ("reset", RESET)])
    def test_refusal(self, label: str, end: Step) -> None:
        """A refusal is reported once its head is complete, with the part of its body."""
        for position in range(len(REFUSAL)):
            self.begin()
            self.play([REFUSAL[:position], end])
            has_head = position >= len(REFUSAL) - 2
            self.assertIsInstance(self.error, RequestError if has_head else ConnError, position)
            if has_head:
                self.assertEqual(self.error.body, REFUSAL[-2:position] if position else b"")
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silence(self) -> None:
        """Silence at any position is a timeout, or the refusal, after ``socket_recv_timeout``."""
        for position in range(len(REFUSAL)):
            self.begin()
            has_head = position >= len(REFUSAL) - 2
            body = REFUSAL[len(REFUSAL) - 2 : position]
            expected = Refused(403, body, at=5.0) if has_head else Failed(at=5.0)
            self.assert_outcome([REFUSAL[:position]], expected)


class ReconnectTests(MemoryCase):
    """Failed attempts do not affect the next one."""

    def test_head_of_the_last_attempt(self) -> None:
        """The bytes of an attempt that was cut are not part of the next response."""
        recorder = Recorder(handle_disconnect=lambda status, state: Reconnect(state, after=0.0))
        started = self.start(recorder, handle_initial_conn_failure=True)
        for position in range(0, 40, 3):
            self.peer.send(REFUSAL[:position])
            self.peer.drop()
            self.step()
        self.peer.answer()
        self.step()
        client = self.successResultOf(started)
        self.assertEqual(client.status, "open")
        client.stop()
        self.peer.drop()
        self.step()

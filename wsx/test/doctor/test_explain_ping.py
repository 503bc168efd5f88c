"""Tests of wsx._doctor.explain_ping: after the opening handshake."""

from __future__ import annotations

from typing import Any

from wsx.test.support.doctor import DoctorCase
from wsx.test.support.each import each
from wsx.test.support.wire import close


class PingTests(DoctorCase):
    """The end of the connection before a pong, and a missing pong."""

    def open(self, **options: Any) -> None:
        """Complete the opening handshake."""
        self.examine(**options)
        self.peer.answer()

    def test_no_pong(self) -> None:
        """The server does not answer the ping."""
        self.open(ping_timeout=3.0)
        self.reactor.advance(3)
        self.step()
        self.assert_problem("ping", "no_pong", "a ping within 3 s", "--ping-interval none")

    @each(
        [
            (1000, "the log of the server"),
            (1008, "credentials"),
            (1011, "it has failed"),
            (1012, "try again"),
            (1013, "try again later"),
            (4001, "the log of the server"),
        ]
    )
    def test_closed(self, code: int, suggestion: str) -> None:
        """The server closes the connection at once, with a code and a message."""
        self.open()
        self.peer.send(close(code, "told so"))
        self.assert_problem("ping", "closed_at_once", f'close code {code} "told so"', suggestion)

    def test_no_code(self) -> None:
        """The close frame has no code."""
        self.open()
        self.peer.send(close())
        self.assert_problem("ping", "closed_at_once", "1005 (no close code)")

    def test_secret_in_the_message(self) -> None:
        """A secret of the request that the close message repeats is hidden."""
        self.open(extra_headers={"Authorization": "Bearer hushhush"})
        self.peer.send(close(1008, "bad token hushhush"))
        self.assert_problem("ping", "closed_at_once", '"bad token ..."')
        self.assertNotIn("hushhush", str(self.report()))

    def test_dropped(self) -> None:
        """TCP ends without a close frame."""
        self.open()
        self.peer.drop()
        self.assert_problem("ping", "dropped", "right after the opening handshake", "credentials")

    def test_protocol_error(self) -> None:
        """The server violates RFC 6455."""
        self.open()
        self.peer.send(b"\xff\xff")
        self.assert_problem("ping", "protocol_error", "frame from server rejected", "operator")

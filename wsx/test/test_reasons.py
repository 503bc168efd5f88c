"""Tests of wsx.reasons: why a connection or a client ended."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost, TCPTimedOutError
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._text import describe
from wsx.reasons import is_normal
from wsx.test.support import case
from wsx.test.support.each import each


class ReasonTests(SynchronousTestCase):
    """Close reasons, and which of them are normal."""

    def test_defaults(self) -> None:
        """The defaults are the normal code, 1005 for a close without a code, and no detail."""
        self.assertEqual(wsx.LocalClose(), wsx.LocalClose(1000, ""))
        self.assertEqual(wsx.RemoteClose(), wsx.RemoteClose(1005, ""))
        self.assertEqual(wsx.Shutdown(), wsx.Shutdown(""))

    def test_values(self) -> None:
        """Reasons of the same class with the same values are equal, others are not."""
        self.assertEqual(wsx.RemoteClose(1001, "x"), wsx.RemoteClose(1001, "x"))
        self.assertNotEqual(wsx.RemoteClose(1001, "x"), wsx.RemoteClose(1001, "y"))
        self.assertNotEqual(wsx.RemoteClose(1000, ""), wsx.LocalClose(1000, ""))

    def test_immutable(self) -> None:
        """Reasons and statuses are immutable."""
        with self.assertRaises(AttributeError):
            wsx.LocalClose().code = 1001  # type: ignore[misc]
        with self.assertRaises(AttributeError):
            wsx.Disconnect(None, 1, None).reason = 1  # type: ignore[misc, arg-type]

    def test_normal(self) -> None:
        """Closes with code 1000 or without a code, and Shutdown, are normal."""
        normal: list[Any] = [wsx.LocalClose(), wsx.LocalClose(1000, "bye")]
        normal += [wsx.RemoteClose(1000), wsx.RemoteClose(1000, "x")]
        normal += [wsx.RemoteClose(), wsx.RemoteClose(1005, "")]
        normal += [wsx.Shutdown(), wsx.Shutdown("stopped")]
        for reason in normal:
            with case(reason):
                self.assertIs(reason.normal, True)
                self.assertTrue(is_normal(reason))

    def test_abnormal(self) -> None:
        """Any other code and a dropped connection are abnormal, and so is LocalClose(1005)."""
        abnormal: list[Any] = [wsx.LocalClose(1001), wsx.LocalClose(4000, "x")]
        abnormal += [wsx.LocalClose(1005), wsx.RemoteClose(1001), wsx.RemoteClose(3000)]
        abnormal += [wsx.ConnectionDropped(None), wsx.ConnectionDropped(OSError())]
        for reason in abnormal:
            with case(reason):
                self.assertIs(reason.normal, False)
                self.assertFalse(is_normal(reason))

    def test_reason_without_normal_is_abnormal(self) -> None:
        """Errors, and user-defined reasons without ``normal``, are abnormal."""
        for reason in (None, "crash", ValueError(), wsx.PingTimeout(), wsx.ConnError(OSError())):
            with case(reason):
                self.assertFalse(is_normal(reason))

    def test_own_reason_may_be_normal(self) -> None:
        """A user-defined reason is normal if its ``normal`` is true."""

        class Done:
            normal = True

        class Not:
            normal = False

        self.assertTrue(is_normal(Done()))
        self.assertFalse(is_normal(Not()))

    def test_dropped_has_its_original(self) -> None:
        """ConnectionDropped has the transport's original error."""
        error = OSError()
        self.assertIs(wsx.ConnectionDropped(error).original, error)

    def test_disconnect(self) -> None:
        """Disconnect has reason, attempt number and Conn, in this order."""
        conn = wsx.Conn("ws://h")
        status = wsx.Disconnect(wsx.RemoteClose(), 3, conn)
        self.assertEqual(status.reason, wsx.RemoteClose())
        self.assertEqual(status.attempt_number, 3)
        self.assertIs(status.conn, conn)


class TextTests(SynchronousTestCase):
    """The text of each reason."""

    @each(
        [
            ("local", wsx.LocalClose(), "closed by this client: 1000"),
            ("local with a message", wsx.LocalClose(1001, "x"), 'closed by this client: 1001 "x"'),
            ("remote", wsx.RemoteClose(1012, "restart"), 'closed by server: 1012 "restart"'),
            ("no code", wsx.RemoteClose(), "closed by server: 1005 (no close code)"),
            (
                "dropped",
                wsx.ConnectionDropped(ConnectionDone()),
                "server closed the TCP connection without a close frame",
            ),
            (
                "lost",
                wsx.ConnectionDropped(ConnectionLost()),
                "TCP connection broken without a close frame",
            ),
            (
                "timeout",
                wsx.ConnectionDropped(TCPTimedOutError()),
                "TCP connection broken without a close frame: TCPTimedOutError: TCP connection "
                "timed out",
            ),
            ("no cause", wsx.ConnectionDropped(), "TCP connection broken without a close frame"),
            ("stopped", wsx.Shutdown(), "stopped"),
            ("stopped with a detail", wsx.Shutdown("reload"), "stopped: reload"),
        ]
    )
    def test_text(self, label: str, reason: object, text: str) -> None:
        """The text says who ended the connection, with the close code and the quoted message."""
        self.assertEqual(str(reason), text)

    def test_message_is_escaped(self) -> None:
        """Control characters in a message are escaped; a message of valid length is complete."""
        text = str(wsx.RemoteClose(4000, "\x1b[2J\n\u202e" + "x" * 117))
        self.assertTrue(text.isprintable(), text)
        self.assertEqual(
            str(wsx.RemoteClose(4000, "x" * 123)), f'closed by server: 4000 "{"x" * 123}"'
        )

    @each([("hostile", "\x1b[31m\x07\x9b\u202e\u2028\ud800"), ("long", "x" * 60_000)])
    def test_foreign_text(self, label: str, text: str) -> None:
        """``str`` and ``repr`` are printable and have at most 400 characters."""
        for reason in (
            wsx.RemoteClose(4000, text),
            wsx.LocalClose(4000, text),
            wsx.ConnectionDropped(ValueError(text)),
            wsx.Shutdown(text),
        ):
            for shown in (str(reason), describe(reason)):
                self.assertTrue(shown.isprintable(), shown[:300])
                self.assertLess(len(shown), 400, shown[:300])
        for reason in (wsx.RemoteClose(4000, text), wsx.ConnectionDropped(ValueError(text))):
            self.assertTrue(repr(reason).isprintable())
            self.assertLess(len(repr(reason)), 400)

    def test_repr(self) -> None:
        """``repr`` shows the values."""
        for reason, shown in (
            (wsx.LocalClose(), "LocalClose(code=1000, message='')"),
            (wsx.RemoteClose(4000, "x"), "RemoteClose(code=4000, message='x')"),
            (wsx.ConnectionDropped(), "ConnectionDropped(original=None)"),
            (wsx.ConnectionDropped(OSError(1)), "ConnectionDropped(original=OSError(1))"),
        ):
            self.assertEqual(repr(reason), shown)

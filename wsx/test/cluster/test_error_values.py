"""Tests of wsx._cluster.error_values: errors arrive as the same errors, and without secrets."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from wsx import (
    ClusterError,
    ConnError,
    FrameEncodeError,
    InvalidFrameError,
    MailboxFullError,
    NotConnectedError,
    PingTimeout,
    ProviderError,
    RemoteError,
    SendTimeout,
    Text,
    UnknownNameError,
)
from wsx._cluster.error_values import error_from_value, error_to_value
from wsx._cluster.values import check_value
from wsx.test.support.each import each

KNOWN = {"name": "feed", "frame": "a", "frame_payload": "a"}

SAME = [
    ClusterError("not connected to NATS"),
    FrameEncodeError("too long", "ping", "a"),
    FrameEncodeError("wrong code", "close", "a", 5),
    InvalidFrameError("a"),
    MailboxFullError(10_000),
    NotConnectedError("disconnected"),
    SendTimeout(5.0),
    SendTimeout(5),
    SendTimeout(None, "it waits for something else"),
    UnknownNameError("feed"),
    ConnError(RemoteError("ConnectionDone", "closed")),
    ConnError(RemoteError("ConnectionDone", "closed"), "closed by server: 1012"),
    RemoteError("KeyError", "'a'"),
    TypeError('message["a"]: expected a str, got int'),
    ValueError("timeout: expected a number above 0, got 0"),
]


def sent(error: BaseException) -> Exception:
    """Return the exception that arrives."""
    value = error_to_value(error)
    check_value(value, "error")
    return error_from_value(value, KNOWN)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError


class SameTests(SynchronousTestCase):
    """The errors of calls arrive as the same errors."""

    @each([(repr(error), error) for error in SAME])
    def test_same(self, _: str, error: Any) -> None:
        """The class, the attributes and the text are the same."""
        arrived = sent(error)
        self.assertIs(type(arrived), type(error))
        self.assertEqual(str(arrived), str(error))
        self.assertEqual(repr(vars(arrived)), repr(vars(error)))

    def test_original(self) -> None:
        """The original exception of a ConnError becomes a RemoteError."""
        arrived: Any = sent(ConnError(ConnectionDone("x"), "closed by server: 1012"))
        self.assertEqual(str(arrived), "connection failed: closed by server: 1012")
        self.assertIsInstance(arrived.original, RemoteError)
        self.assertEqual(arrived.original.kind, "ConnectionDone")

    def test_known_attributes(self) -> None:
        """What the caller knows is not sent: the frame may be large."""
        frame = Text("x" * 1000)
        value = error_to_value(InvalidFrameError(frame))
        self.assertLess(len(repr(value)), 100)
        arrived: Any = error_from_value(value, {"frame": frame})
        self.assertIs(arrived.frame, frame)


class OtherTests(SynchronousTestCase):
    """All other exceptions."""

    @each([KeyError("a"), PingTimeout(20.0), ProviderError(KeyError("a"))])
    def test_remote_error(self, error: Any) -> None:
        """An exception that calls do not fail with arrives with its class name and text."""
        arrived: Any = sent(error)
        self.assertIsInstance(arrived, RemoteError)
        self.assertEqual((arrived.kind, arrived.text), (type(error).__name__, str(error)))

    def test_secrets(self) -> None:
        """Text of an exception that is none of wsx is redacted, escaped and shortened."""
        text = "GET https://user:hunter2@host/?token=s3cret failed\n" + "x" * 1000
        for error in (KeyError(text), ConnError(OSError(text)), ValueError(text)):
            value = repr(error_to_value(error))
            self.assertNotIn("hunter2", value)
            self.assertNotIn("s3cret", value)
            self.assertNotIn("\n", value)
            self.assertLess(len(value), 400)

    def test_unprintable(self) -> None:
        """An exception without a text has a substitute."""
        self.assertIn("UnprintableError", str(sent(UnprintableError())))

    @each([MailboxFullError(10**30), FrameEncodeError("a", "close", "a", 1.5)])
    def test_attributes_of_other_types(self, error: Any) -> None:
        """If the attributes cannot be sent, the text is."""
        arrived: Any = sent(error)
        self.assertIsInstance(arrived, RemoteError)
        self.assertEqual((arrived.kind, arrived.text), (type(error).__name__, str(error)))


class HostileTests(SynchronousTestCase):
    """Values that no process of wsx sends."""

    @each(
        [
            None,
            [],
            "ClusterError",
            ["ClusterError"],
            ["ClusterError", []],
            ["ClusterError", [5]],
            ["ClusterError", ["a", "b"]],
            ["ClusterError", ["a"], 1],
            [["a"], "b"],
            ["SystemExit", []],
            ["ConnError", ["a", "b"]],
            ["ConnError", [["ConnError", []], None]],
            ["MailboxFullError", [True]],
            ["SendTimeout", [None, None]],
            [5, "text"],
            {},
        ]
    )
    def test_malformed(self, value: Any) -> None:
        """A malformed value is a RemoteError."""
        error = error_from_value(value, KNOWN)
        self.assertIsInstance(error, RemoteError)
        self.assertIn("unknown form", str(error))

    @each(["SystemExit", "WsxError", "\x1b[0m", "x" * 10_000])
    def test_unknown_class(self, kind: str) -> None:
        """An unknown class is a RemoteError whose text is safe to log."""
        error = error_from_value([kind, "\x1b[0m" + "x" * 10_000], KNOWN)
        self.assertIsInstance(error, RemoteError)
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 500)

    def test_random(self) -> None:
        """Whatever is sent, the result is an exception whose text can be shown."""
        source = random.Random(14)
        names = ["ClusterError", "ConnError", "SendTimeout", "TypeError", "x"]
        parts: list[Any] = [None, 1, 1.5, "a", b"a", [], ["a", "b"], {}, True]
        for _ in range(5000):
            attributes = source.choices(parts, k=source.randrange(4))
            value: Any = [source.choice(names), source.choice([*parts, attributes])]
            error = error_from_value(value, KNOWN)
            self.assertIsInstance(error, Exception)
            self.assertTrue(str(error).isprintable())

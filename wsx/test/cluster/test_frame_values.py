"""Tests of wsx._cluster.frame_values."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx import Binary, FrameEncodeError, InvalidFrameError, Ping, Pong, Text
from wsx._cluster.frame_values import frame_from_value, frame_to_value
from wsx._cluster.values import check_value
from wsx.test.support.each import each


class Label(str):
    __slots__ = ()


class FrameTests(SynchronousTestCase):
    """Frames to values and back."""

    @each([Text("\xe9"), Text(""), Binary(b"\xff"), Ping(), Pong(b"a"), Text(Label("a"))])
    def test_round_trip(self, frame: Any) -> None:
        """Each frame arrives unchanged, and its form is a MessagePack value."""
        value = frame_to_value(frame)
        check_value(value, "frame")
        self.assertEqual(frame_from_value(value), frame)

    @each([Text(5), Binary("a"), "a", None])  # type: ignore[arg-type]
    def test_invalid(self, frame: Any) -> None:
        """What send_frame rejects is rejected by the sender, with the same error."""
        error: Any = self.assertRaises(InvalidFrameError, frame_to_value, frame)
        self.assertIs(error.frame, frame)

    @each([Text("\ud800"), Ping(b"a" * 126)])
    def test_not_allowed(self, frame: Any) -> None:
        """What RFC 6455 does not allow is rejected, too."""
        self.assertRaises(FrameEncodeError, frame_to_value, frame)

    @each(
        [[], ["text"], ["close", b""], ["text", 5], ["text", "a", "b"], "ab", None, [["text"], ""]]
    )
    def test_malformed(self, value: Any) -> None:
        """Any other value is no frame."""
        self.assertRaises(InvalidFrameError, frame_from_value, value)

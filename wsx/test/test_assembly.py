"""Tests of wsx._assembly: parts put together in memory that is used again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx import _assembly
from wsx._assembly import Assembly, assembly
from wsx.frames import BINARY, TEXT, Binary, Text


class AssemblyTests(SynchronousTestCase):
    """One message after another."""

    def setUp(self) -> None:
        self.put_aside = list(_assembly._spares)
        _assembly._spares.clear()

    def tearDown(self) -> None:
        _assembly._spares[:] = self.put_aside

    def assembled(self, *parts: bytes) -> Assembly:
        """One with these parts."""
        whole = assembly()
        for part in parts:
            whole.add(part)
        return whole

    def test_parts(self) -> None:
        """The parts in their order, as text or bytes."""
        self.assertEqual(self.assembled(b"gr\xc3", b"\xbc", b"n").frame(TEXT), Text("grün"))
        self.assertEqual(self.assembled(b"a", b"", b"\xff").frame(BINARY), Binary(b"a\xff"))

    def test_nothing(self) -> None:
        """A message may be empty."""
        self.assertEqual(self.assembled().frame(TEXT), Text(""))
        self.assertEqual(self.assembled(b"").frame(BINARY), Binary(b""))

    def test_nothing_is_left(self) -> None:
        """A shorter message has nothing of a longer one before it."""
        first = self.assembled(b"x" * 1000)
        first.frame(TEXT)
        second = self.assembled(b"y")
        self.assertIs(first, second)
        self.assertEqual(second.frame(TEXT), Text("y"))

    def test_frames_are_their_own(self) -> None:
        """What was given away does not change with the next message."""
        frame = self.assembled(b"first").frame(BINARY)
        self.assembled(b"other").frame(BINARY)
        self.assertEqual(frame, Binary(b"first"))

    def test_two_at_a_time(self) -> None:
        """Messages in progress at the same time do not meet."""
        one, other = self.assembled(b"a"), self.assembled(b"b")
        one.add(b"1")
        other.add(b"2")
        self.assertEqual((one.frame(TEXT), other.frame(TEXT)), (Text("a1"), Text("b2")))

    def test_many_small_parts(self) -> None:
        """Growing keeps what is there."""
        parts = [bytes([i % 251]) * (i % 7) for i in range(5000)]
        self.assertEqual(self.assembled(*parts).frame(BINARY), Binary(b"".join(parts)))

    def test_what_is_kept(self) -> None:
        """Little is kept: two of them, and none that is large."""
        large = self.assembled(bytes(5 * 1024 * 1024))
        several = [self.assembled(b"x") for _ in range(5)]
        large.frame(BINARY)
        self.assertEqual(_assembly._spares, [])
        for one in several:
            one.frame(TEXT)
        self.assertEqual(_assembly._spares, several[:2])

"""Tests of wsx._wire.buffer: parts put together in memory that is used again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire import buffer
from wsx._wire.buffer import Assembly, assembly
from wsx.frames import BINARY, TEXT, Binary, Text


class AssemblyTests(SynchronousTestCase):
    """One message after another."""

    def setUp(self) -> None:
        self.put_aside = list(buffer._spares)
        buffer._spares.clear()

    def tearDown(self) -> None:
        buffer._spares[:] = self.put_aside

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

    def test_room(self) -> None:
        """What is written to its room follows what was added, and is followed by more."""
        whole = self.assembled(b"one ")
        with whole.room(100) as room:
            self.assertEqual(len(room), 100)
            room[:4] = b"two "
        whole.filled(4)
        with whole.room(9) as room:
            self.assertEqual(len(room), 9)
            room[:9] = b"three ???"
        whole.filled(6)
        whole.add(b"four")
        self.assertEqual(whole.frame(TEXT), Text("one two three four"))

    def test_room_in_used_memory(self) -> None:
        """Room in the memory of an earlier message is as good."""
        self.assembled(b"x" * 1000).frame(TEXT)
        whole = assembly()
        with whole.room(500) as room:
            self.assertEqual(len(room), 500)
            room[:2] = b"ab"
        whole.filled(2)
        self.assertEqual(whole.frame(BINARY), Binary(b"ab"))

    def test_room_grows_in_pieces(self) -> None:
        """An announcement alone sets little memory aside; what is there already is given."""
        whole, sizes = assembly(), []
        for _ in range(3):
            with whole.room(1 << 40) as room:
                sizes.append(len(room))
            whole.filled(100)
        whole.frame(BINARY)
        with assembly().room(1 << 40) as room:
            sizes.append(len(room))
        self.assertEqual(sizes, [1 << 18] * 3 + [(1 << 18) + 200])

    def test_what_is_kept(self) -> None:
        """Little is kept: two of them, with 17 MiB together."""
        large = [self.assembled(bytes(size * 1024 * 1024)) for size in (18, 16, 2)]
        several = [self.assembled(b"x") for _ in range(5)]
        for one in large:
            one.frame(BINARY)
        self.assertEqual(buffer._spares, large[1:2])
        for one in several:
            one.frame(TEXT)
        self.assertEqual(buffer._spares, [large[1], several[0]])

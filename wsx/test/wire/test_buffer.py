"""Tests of ``wsx._wire.buffer``: join the parts of a message in memory that is reused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire import buffer
from wsx._wire.buffer import MessageBuffer, take_buffer
from wsx.frames import BINARY, TEXT, Binary, Text


class MessageBufferTests(SynchronousTestCase):
    """Messages one after another, and at the same time."""

    def setUp(self) -> None:
        self.put_aside = list(buffer._spares)
        buffer._spares.clear()

    def tearDown(self) -> None:
        buffer._spares[:] = self.put_aside

    def assembled(self, *parts: bytes) -> MessageBuffer:
        """Return a buffer with these parts."""
        whole = take_buffer()
        for part in parts:
            whole.add(part)
        return whole

    def test_parts(self) -> None:
        """The frame has the parts in order, as str or bytes."""
        self.assertEqual(self.assembled(b"gr\xc3", b"\xbc", b"n").frame(TEXT), Text("grün"))
        self.assertEqual(self.assembled(b"a", b"", b"\xff").frame(BINARY), Binary(b"a\xff"))

    def test_nothing(self) -> None:
        """A message may be empty."""
        self.assertEqual(self.assembled().frame(TEXT), Text(""))
        self.assertEqual(self.assembled(b"").frame(BINARY), Binary(b""))

    def test_nothing_is_left(self) -> None:
        """A shorter message has no bytes of a longer one before it in the same memory."""
        first = self.assembled(b"x" * 1000)
        first.frame(TEXT)
        second = self.assembled(b"y")
        self.assertIs(first, second)
        self.assertEqual(second.frame(TEXT), Text("y"))

    def test_frames_are_their_own(self) -> None:
        """A frame does not change when its memory is reused."""
        frame = self.assembled(b"first").frame(BINARY)
        self.assembled(b"other").frame(BINARY)
        self.assertEqual(frame, Binary(b"first"))

    def test_two_at_a_time(self) -> None:
        """Messages in progress at the same time use different memory."""
        one, other = self.assembled(b"a"), self.assembled(b"b")
        one.add(b"1")
        other.add(b"2")
        self.assertEqual((one.frame(TEXT), other.frame(TEXT)), (Text("a1"), Text("b2")))

    def test_many_small_parts(self) -> None:
        """The parts are kept when the memory grows."""
        parts = [bytes([i % 251]) * (i % 7) for i in range(5000)]
        self.assertEqual(self.assembled(*parts).frame(BINARY), Binary(b"".join(parts)))

    def test_view(self) -> None:
        """Bytes written to the view follow the parts that were added before."""
        whole = self.assembled(b"one ")
        with whole.get_buffer(100) as view:
            self.assertEqual(len(view), 100)
            view[:4] = b"two "
        whole.buffer_updated(4)
        with whole.get_buffer(9) as view:
            self.assertEqual(len(view), 9)
            view[:9] = b"three ???"
        whole.buffer_updated(6)
        whole.add(b"four")
        self.assertEqual(whole.frame(TEXT), Text("one two three four"))

    def test_view_of_reused_memory(self) -> None:
        """A view of reused memory has the requested size."""
        self.assembled(b"x" * 1000).frame(TEXT)
        whole = take_buffer()
        with whole.get_buffer(500) as view:
            self.assertEqual(len(view), 500)
            view[:2] = b"ab"
        whole.buffer_updated(2)
        self.assertEqual(whole.frame(BINARY), Binary(b"ab"))

    def test_memory_grows_in_steps(self) -> None:
        """The memory grows in steps of 256 KiB, whatever size the server announces."""
        whole, sizes = take_buffer(), []
        for _ in range(3):
            with whole.get_buffer(1 << 40) as view:
                sizes.append(len(view))
            whole.buffer_updated(100)
        whole.frame(BINARY)
        with take_buffer().get_buffer(1 << 40) as view:
            sizes.append(len(view))
        self.assertEqual(sizes, [1 << 18] * 3 + [(1 << 18) + 200])

    def test_what_is_kept(self) -> None:
        """At most two spare buffers with together 17 MiB are kept."""
        large = [self.assembled(bytes(size * 1024 * 1024)) for size in (18, 16, 2)]
        several = [self.assembled(b"x") for _ in range(5)]
        for one in large:
            one.frame(BINARY)
        self.assertEqual(buffer._spares, large[1:2])
        for one in several:
            one.frame(TEXT)
        self.assertEqual(buffer._spares, [large[1], several[0]])

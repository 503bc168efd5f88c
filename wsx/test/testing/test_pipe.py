"""Tests of one direction of a connection in memory; test_faults.py has those of its faults."""

from __future__ import annotations

from wsx.test.support.kit import KitCase
from wsx.testing.pipe import Pipe
from wsx.testing.server import MemoryServer


class PipeTests(KitCase):
    """A pipe."""

    def setUp(self) -> None:
        self.reactor = MemoryServer().reactor
        self.pipe = Pipe(self.reactor)
        self.events: list[object] = []
        self.pipe.received = self.events.append
        self.pipe.finished = lambda: self.events.append("end")
        self.pipe.drained = lambda: self.events.append("drained")

    def test_later(self) -> None:
        """Bytes arrive in a later reactor iteration, and the end after them."""
        self.pipe.put(b"ab")
        self.pipe.finish()
        self.pipe.put(b"too late")
        self.assertEqual((self.events, self.pipe.unread), ([], 2))
        self.reactor.settle()
        self.assertEqual((self.events, self.pipe.unread), ([b"ab", "drained", "end"], 0))

    def test_reads(self) -> None:
        """One read has at most 64 KiB, and there is one read in each iteration."""
        self.pipe.put(bytes(150_000))
        self.reactor.turn()
        self.assertEqual([len(one) for one in self.events], [65536])  # type: ignore[arg-type]
        self.reactor.settle()
        sizes = [len(one) for one in self.events if isinstance(one, bytes)]
        self.assertEqual(sizes, [65536, 65536, 150_000 - 2 * 65536])

    def test_hold(self) -> None:
        """What arrives while the reader does not read waits, and so does the end."""
        self.pipe.hold()
        self.pipe.put(b"a")
        self.pipe.put(b"b")
        self.pipe.finish()
        self.reactor.settle()
        self.assertEqual((self.events, self.pipe.unread), ([], 2))
        self.pipe.release()
        self.assertEqual(self.events, [])
        self.reactor.settle()
        self.assertEqual(self.events, [b"ab", "drained", "end"])

    def test_hold_in_a_read(self) -> None:
        """A reader that stops within a read gets no other one."""

        def read_once(data: bytes) -> None:
            self.events.append(len(data))
            self.pipe.hold()

        self.pipe.received = read_once
        self.pipe.put(bytes(100_000))
        self.reactor.settle()
        self.assertEqual(self.events, [65536])
        self.pipe.release()
        self.reactor.settle()
        self.assertEqual(self.events, [65536, 100_000 - 65536, "drained"])

    def test_discard(self) -> None:
        """After ``discard`` nothing arrives, not even what was on its way, and no end."""
        self.pipe.delay = 1.0
        self.pipe.put(b"a")
        self.pipe.discard()
        self.pipe.put(b"b")
        self.pipe.finish()
        self.reactor.advance(5.0)
        self.assertEqual((self.events, self.pipe.unread), ([], 2))

    def test_nothing(self) -> None:
        """Empty bytes are no read."""
        self.pipe.put(b"")
        self.reactor.settle()
        self.assertEqual(self.events, [])

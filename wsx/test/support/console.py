"""The console in memory: front ends for tests, and base classes."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import StringTransport

from wsx import Backoff, Client, LocalClose
from wsx._console import plain
from wsx._console.console import Console
from wsx._console.plain import Lines
from wsx._console.records import Record
from wsx.test.support import MemoryCase, close

NORMAL = (8, (1000).to_bytes(2, "big"))
POLICY = Backoff(initial=1.0, jitter=0.0, factor=1.0)


class Terminal(StringIO):
    """A standard stream that is a terminal."""

    def isatty(self) -> bool:
        return True


class FakeFrontend:
    """A front end that records what it shows.

    Attributes:
        records: The records that were shown.
        notices: The notices that were shown.
        full: Whether the front end asks to wait after each record.
        waiters: The Deferreds of records that were shown while it was full.
        paused: Whether reading is paused.
        ended: The arguments of ``end``.
    """

    def __init__(self, interactive: bool = True) -> None:
        self.interactive = interactive
        self.records: list[Record] = []
        self.notices: list[str] = []
        self.full = False
        self.waiters: list[Deferred[None]] = []
        self.paused = False
        self.begun = 0
        self.ended: list[bool] = []

    def begin(self, console: Any, reactor: Any) -> None:
        self.begun += 1

    def connected(self, console: Any, reactor: Any) -> None:
        """Do nothing."""

    def show(self, record: Record) -> Deferred[None] | None:
        self.records.append(record)
        if not self.full:
            return None
        self.waiters.append(Deferred())
        return self.waiters[-1]

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def end(self, wait: bool) -> Deferred[None]:
        self.ended.append(wait)
        return succeed(None)

    def kinds(self) -> list[tuple[str | None, str]]:
        """Return the direction and kind of each record since the last call."""
        records, self.records = self.records, []
        return [(record.direction, record.kind) for record in records]


class FakeStdio(StringTransport):
    """Standard input and output, in memory."""

    def __init__(self, lines: Lines, reactor: Any) -> None:
        super().__init__()
        self.lines = lines
        lines.makeConnection(self)

    def read(self, data: bytes) -> None:
        """Pass data to the console, even if reading is paused."""
        self.lines.dataReceived(data)

    def printed(self) -> bytes:
        """Return what was written since the last call."""
        data: bytes = self.value()
        self.clear()
        return data

    @property
    def reading(self) -> bool:
        """Whether the console reads."""
        return self.producerState == "producing"


class ConsoleCase(MemoryCase):
    """A console with a real client and an in-memory server."""

    def sent(self) -> list[str]:
        """Return the texts that the server got since the last call, and nothing else."""
        frames = self.peer.received()
        self.assertEqual({opcode for opcode, _ in frames} - {1}, set(), f"{frames}")
        return [payload.decode() for _, payload in frames]

    def reconnect(self) -> None:
        """Let the client connect again."""
        self.clock.advance(1)
        self.step()
        self.peer.answer()
        self.step()

    def drop(self) -> None:
        """End TCP."""
        self.peer.drop()
        self.step()

    def answer_close(self) -> None:
        """Let the server answer the client's close frame."""
        self.peer.send(close(1000))
        self.drop()

    def assert_closes(self) -> None:
        """Assert that the client has sent a normal close frame, and nothing after it."""
        self.assertEqual(self.peer.received(), [NORMAL])

    def assert_ends_normally(self, client: Client[Any]) -> None:
        """Assert that the client has ended, normally."""
        self.assertEqual(self.successResultOf(client.terminated()), LocalClose(1000, ""))


class PlainCase(ConsoleCase):
    """A console with an in-memory standard input and output."""

    def setUp(self) -> None:
        super().setUp()
        self.stdios: list[FakeStdio] = []
        self.patch(plain, "StandardIO", self._open_stdio)
        self.patch(plain, "has_reader", lambda descriptor: True)
        self.errors = StringIO()
        self.patch(sys, "__stderr__", self.errors)
        self.patch(sys, "__stdout__", StringIO())
        self.patch(sys, "__stdin__", StringIO())

    def _open_stdio(self, lines: Lines, reactor: Any) -> FakeStdio:
        self.assertIs(reactor, self.clock)
        self.stdios.append(FakeStdio(lines, reactor))
        return self.stdios[-1]

    @property
    def stdio(self) -> FakeStdio:
        """The one standard input and output of the process."""
        self.assertEqual(len(self.stdios), 1)
        return self.stdios[0]

    def console(self, handler: Any = Console, **options: Any) -> Client[Any]:
        """Open a console whose client reconnects after a second, unless told otherwise."""
        options = {"reconnect": POLICY, "handle_initial_conn_failure": True} | options
        return self.open(handler, **options)

    def read(self, data: bytes) -> None:
        """Type something."""
        self.stdio.read(data)
        self.step()

    def end_input(self) -> None:
        """End standard input."""
        self.stdio.lines.readConnectionLost()
        self.step()


class TypedCase(ConsoleCase):
    """A console at which a user types, with a front end that records what it shows."""

    def setUp(self) -> None:
        super().setUp()
        self.frontend = FakeFrontend()
        self.handler = Console(self.frontend)

    def console(self, handler: Console | None = None, **options: Any) -> Client[Any]:
        """Open a console whose client reconnects after a second, unless told otherwise."""
        options = {"reconnect": POLICY, "handle_initial_conn_failure": True} | options
        client = self.open(handler or self.handler, **options)
        self.frontend.kinds()
        return client

    def type(self, *lines: str) -> None:
        """Type lines."""
        for line in lines:
            self.handler.line(line)
            self.step()

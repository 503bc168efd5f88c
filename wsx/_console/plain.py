"""The console on standard input and output: pipes, files, and terminals without line editing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import IO, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from wsx._console import frontend
from wsx._console.limits import OutputFailed
from wsx._console.records import IN, Record, to_json, to_line
from wsx._console.rendering import render, render_text, to_ansi, to_plain
from wsx._console.streams import columns_of, has_reader, print_error

__all__ = ["Lines", "Plain", "is_terminal", "show_at_terminal", "uses_colours"]

Render = Callable[[Record], str]

_KEYS: Final = (
    "type a line and press Enter to send it; /help lists the commands; press Ctrl-D to close the "
    "connection"
)
_EXTRA: Final = 'for line editing and history: pip install "txwsx[console]"'


def is_terminal(file: IO[str] | None) -> bool:
    """Return whether a standard stream is a terminal. It is None if it is closed."""
    return file is not None and file.isatty()


def uses_colours() -> bool:
    """Return whether the user wants colours: see https://no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show_at_terminal(record: Record) -> str:
    """Return what a terminal shows for a record: only what was received.

    The terminal itself has shown what the user typed.
    """
    if record.direction != IN:
        return ""
    fragments = render(record, columns_of(1))
    return to_ansi(fragments) if uses_colours() else to_plain(fragments)


@implementer(IHalfCloseableProtocol)
class Lines(LineReceiver):
    """The protocol of standard input and output.

    Args:
        console: The console that receives the lines.
        output_error: The error if writing fails, or None (default) if a failure means that the
            reader of the output has closed it.
    """

    delimiter = b"\n"
    MAX_LENGTH = 16 * 1024 * 1024

    def __init__(
        self, console: frontend.LineReceiver, output_error: Exception | None = None
    ) -> None:
        self._console = console
        self._output_error = output_error
        self._pieces: list[bytes] = []  # Of an incomplete line.
        self._size = 0
        self._number = 0  # Of the line, from 1.
        self._output_ended = False
        self._flushed: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        """Collect the pieces of a line.

        ``LineReceiver`` copies what it has of a line for each piece: 16 MiB would take 20 seconds.
        """
        self._pieces.append(data)
        self._size += len(data)
        if self.delimiter in data or self._size > self.MAX_LENGTH:
            super().dataReceived(self._take_pieces())

    def _take_pieces(self) -> bytes:
        pieces, self._pieces, self._size = self._pieces, [], 0
        return b"".join(pieces)

    def lineReceived(self, line: bytes) -> None:
        """Pass a line to the console."""
        self._number += 1
        try:
            text = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            at = f"byte {error.start + 1}"
            self._console.bad_input(f"line {self._number} of the input is not UTF-8 ({at})")
        else:
            self._console.line(text)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long."""
        limit = f"{self.MAX_LENGTH // 1024 // 1024} MiB"
        self._console.bad_input(f"line {self._number + 1} of the input is longer than {limit}")

    def readConnectionLost(self) -> None:
        """Pass the text after the last newline to the console, then the end of the input."""
        rest = self.clearLineBuffer() + self._take_pieces()
        if rest:
            self.lineReceived(rest)
        self._console.end_of_input()

    def writeConnectionLost(self) -> None:
        """Pass the end of the output to the console."""
        self._output_ended = True
        self._console.end_of_output(self._output_error)

    def connectionLost(self, reason: Any = None) -> None:
        """Pass the end of the output to the console, unless the console has flushed it."""
        self._output_ended = True
        if self._flushed is None:
            self._console.end_of_output(self._output_error)
        elif not self._flushed.called:
            self._flushed.callback(None)

    def flush(self) -> Deferred[None]:
        """Return a Deferred that fires when everything is written; nothing can be written then."""
        if self._output_ended:
            return succeed(None)
        self._flushed = Deferred()
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()
        return self._flushed


@implementer(IPushProducer)
class _Gate:
    """Records whether standard output accepts more, as a producer of its transport."""

    def __init__(self) -> None:
        self._opened: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        if self._opened is None:
            self._opened = Deferred()

    def resumeProducing(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.callback(None)

    def stopProducing(self) -> None:
        self.resumeProducing()

    def when_open(self) -> Deferred[None] | None:
        """Return None if output is accepted now, otherwise a Deferred that fires when it is."""
        if self._opened is None:
            return None
        waiter: Deferred[None] = Deferred()
        self._opened.addCallback(lambda _: waiter.callback(None))
        return waiter


class Plain:
    """A front end that reads lines from standard input and writes to standard output.

    Standard output gets messages only; notices go to standard error.

    Args:
        as_json: Whether to write each record as a line of JSON. Default False.
        program: The name of the program in notices. Default ``"twistd wsx"``.
    """

    def __init__(self, as_json: bool = False, program: str = "twistd wsx") -> None:
        self.interactive = is_terminal(sys.__stdin__)
        self._program = program
        self._lines: Lines | None = None
        self._gate = _Gate()
        self._was_blocking: dict[int, bool] = {}  # The mode of each terminal, by descriptor.
        self._render: Render
        if as_json:
            self._render = to_json
        else:
            self._render = show_at_terminal if is_terminal(sys.__stdout__) else to_line

    def begin(self, console: frontend.LineReceiver, reactor: Any) -> None:
        """Read commands of a user at once. A pipe is not read before there is a connection."""
        if self.interactive:
            self.connected(console, reactor)

    def connected(self, console: frontend.LineReceiver, reactor: Any) -> None:
        """Start reading. The first call counts."""
        if self._lines is None:
            self._explain_keys()
            self._note_modes()
            self._lines = Lines(console, None if has_reader(1) else OutputFailed())
            transport: Any = StandardIO(self._lines, reactor=reactor)
            transport.registerProducer(self._gate, True)

    def show(self, record: Record) -> Deferred[None] | None:
        """Write a record, if it belongs on standard output.

        Returns:
            None, or a Deferred that fires when standard output accepts more.
        """
        text = self._render(record)
        if text and self._lines is not None and self._lines.transport is not None:
            self._lines.transport.write(text.encode("utf-8", "replace"))
        return self._gate.when_open()

    def notice(self, text: str) -> None:
        """Write a text for the user to standard error."""
        if self.interactive:
            print_error(to_plain(render_text(time.time(), "notice", text, columns_of(2))))
        else:
            print_error(f"{self._program}: {text}\n")

    def pause(self) -> None:
        """Stop reading a pipe for now. What a user types may be a command, so it is read."""
        if not self.interactive:
            self._call_transport("pauseProducing")

    def resume(self) -> None:
        """Read again."""
        self._call_transport("resumeProducing")

    def _call_transport(self, name: str) -> None:
        if self._lines is not None and self._lines.transport is not None:
            getattr(self._lines.transport, name)()

    def end(self, wait: bool) -> Deferred[None]:
        """Write what is left.

        Args:
            wait: Whether to wait for a reader of the output that is slow.

        Returns:
            A Deferred that fires when this is done.
        """
        flushed = succeed(None) if self._lines is None else self._lines.flush()
        if not wait:
            flushed = succeed(None)
        return flushed.addCallback(lambda _: self._restore_modes())

    def _note_modes(self) -> None:
        """Note how a terminal is read and written: StandardIO makes it non-blocking.

        The mode belongs to the terminal, so the shell and other programs would see the change.
        """
        for descriptor in (0, 1):
            if os.isatty(descriptor):
                self._was_blocking[descriptor] = os.get_blocking(descriptor)

    def _restore_modes(self) -> None:
        for descriptor, blocking in self._was_blocking.items():
            with suppress(OSError):  # The terminal is gone.
                os.set_blocking(descriptor, blocking)

    def _explain_keys(self) -> None:
        if self.interactive:
            self.notice(_KEYS if find_spec("prompt_toolkit") else f"{_KEYS}\n{_EXTRA}")

"""The console on a terminal: line editing, history and completion, with prompt_toolkit.

prompt_toolkit runs on the event loop of Twisted's asyncio reactor.
"""

from __future__ import annotations

import asyncio
import atexit
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.output import Output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._console.commands import complete, describe_completion
from wsx._console.frontend import LineReceiver
from wsx._console.plain import uses_colours
from wsx._console.records import Record
from wsx._console.rendering import Fragment, render, render_text
from wsx._failures import log_failure

__all__ = ["Terminal", "standard_output"]

_log = Logger("wsx")

_KEYS: Final = "/help lists the commands; Ctrl-D closes the connection and ends"
_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"  # of the spinner
_SPIN_SECONDS: Final = 0.1
_FLUSH_SECONDS: Final = 0.03  # between two updates of the screen
_MAX_WAITING: Final = 500  # entries that are not shown yet
_STYLE: Final = Style.from_dict(
    {
        "time": "ansibrightblack",
        "in": "ansigreen",
        "out": "ansicyan",
        "notice": "ansimagenta",
        "log": "ansibrightblack",
        "warning": "ansiyellow",
        "error": "ansired",
        "escape": "reverse",
        "spinner": "ansiyellow",
    }
)
_NO_STYLE: Final = Style([("escape", "reverse")])


def standard_output() -> Output:
    """Return the output of prompt_toolkit for the terminal.

    Cursor position requests are off: each update of the screen would wait for the terminal's
    answer, and a late answer would be read by the shell.
    """
    assert sys.__stdout__ is not None
    output = Vt100_Output.from_pty(sys.__stdout__)
    output.enable_cpr = False
    return output


def _insert_line_break(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text("\n")


class _Commands(Completer):
    """Completion of commands and their arguments."""

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Return the completions of the text before the cursor."""
        typed = document.text_before_cursor
        return [
            Completion(line, start_position=-len(typed), display=describe_completion(line))
            for line in complete(typed)
        ]


class Terminal:
    """A front end with a prompt below the messages.

    Args:
        history: The history of typed lines.
        input: The input of prompt_toolkit. Default: the terminal.
        output: The output of prompt_toolkit. Default: the terminal.
        interrupt: Called for Ctrl-C. Default: raise SIGINT.
    """

    interactive = True

    def __init__(
        self,
        history: History,
        input: Input | None = None,
        output: Output | None = None,
        interrupt: Callable[[], object] | None = None,
    ) -> None:
        self._history = history
        self._input = input
        self._output = output
        self._interrupt = interrupt or (lambda: signal.raise_signal(signal.SIGINT))
        self._style = _STYLE if uses_colours() else _NO_STYLE
        self._console: LineReceiver | None = None
        self._reactor: Any = None
        self._session: PromptSession[str] | None = None
        self._finished: Deferred[None] | None = None
        self._is_ending = False
        self._has_explained = False
        self._entries: list[list[Fragment]] = []
        self._shown: Deferred[None] | None = None  # Fires when there is space for entries.
        self._flush_timer: IDelayedCall | None = None
        self._spin_timer: IDelayedCall | None = None
        self._spin = 0
        self._was_waiting = True
        self._mode: Any = None  # Of the terminal, before the prompt.

    # The life of the prompt

    def begin(self, console: LineReceiver, reactor: Any) -> None:
        """Show the prompt as soon as the event loop runs."""
        self._console = console
        self._reactor = reactor
        reactor.callLater(0, self._start)

    def _start(self) -> None:
        if self._is_ending:
            return
        self._save_mode()
        self._session = self._make_session()
        running = self._session.prompt_async(set_exception_handler=False, handle_sigint=False)
        self._finished = Deferred.fromFuture(asyncio.ensure_future(running)).addBoth(self._ended)
        self._spin_on()

    def _make_session(self) -> PromptSession[str]:
        output = standard_output() if self._output is None else self._output
        session: PromptSession[str] = PromptSession(
            self._prompt,
            history=self._history,
            completer=_Commands(),
            complete_style=CompleteStyle.READLINE_LIKE,
            complete_while_typing=False,
            enable_suspend=True,
            reserve_space_for_menu=0,
            erase_when_done=True,
            style=self._style,
            key_bindings=self._key_bindings(),
            input=self._input,
            output=output,
        )
        session.default_buffer.accept_handler = self._accept
        return session

    def _key_bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("c-c", eager=True)
        def interrupt(event: KeyPressEvent) -> None:
            self._interrupt()

        is_empty = Condition(lambda: self._session is not None and not self._buffer.text)

        @bindings.add("c-d", filter=is_empty, eager=True)
        def end(event: KeyPressEvent) -> None:
            self._end_of_input()

        bindings.add("escape", "enter")(_insert_line_break)
        bindings.add("c-v")(get_by_name("quoted-insert"))
        return bindings

    @property
    def _buffer(self) -> Buffer:
        assert self._session is not None
        return self._session.default_buffer

    def _accept(self, buffer: Buffer) -> bool:
        """Pass a line to the console. The prompt stays."""
        assert self._console is not None
        self._console.line(buffer.text)
        return False  # Do not keep the text.

    def _end_of_input(self) -> None:
        if self._console is not None and not self._is_ending:
            self._console.end_of_input()

    def _ended(self, result: object) -> None:
        """Handle the end of the prompt: by :meth:`end`, or because the terminal was closed."""
        self._cancel_timers()
        self._open_gate()
        atexit.unregister(self._restore_mode)
        if isinstance(result, Failure) and not self._is_ending:
            if not result.check(EOFError):
                log_failure(_log, "the prompt failed", result)
            self._end_of_input()

    def end(self, wait: bool) -> Deferred[None]:
        """Show what is left, remove the prompt and restore the terminal.

        Args:
            wait: Not used: a terminal reads at once.

        Returns:
            A Deferred that fires when this is done.
        """
        self._is_ending = True
        self._flush()
        if self._finished is None or self._session is None:
            return succeed(None)
        if self._session.app.is_running:
            with suppress(Exception):  # The prompt has just ended.
                self._session.app.exit(result="")
        waiter: Deferred[None] = Deferred()
        self._finished.addBoth(waiter.callback)
        return waiter

    # The mode of the terminal

    def _save_mode(self) -> None:
        """Restore the mode of the terminal at the latest when the process ends."""
        if self._input is None:
            self._mode = termios.tcgetattr(0)
            atexit.register(self._restore_mode)

    def _restore_mode(self) -> None:
        with suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, self._mode)

    # The prompt

    def _prompt(self) -> StyleAndTextTuples:
        """Return the prompt, with a line above it while there is no connection."""
        assert self._console is not None
        what = self._console.waiting()
        if not what:
            return [("", "> ")]
        frame = _FRAMES[self._spin % len(_FRAMES)]
        return [("class:spinner", f"{frame} {what}\n"), ("", "> ")]

    def _spin_on(self) -> None:
        """Update the line above the prompt while there is no connection."""
        assert self._console is not None and self._session is not None
        self._spin_timer = self._reactor.callLater(_SPIN_SECONDS, self._spin_on)
        is_waiting = bool(self._console.waiting())
        if is_waiting or self._was_waiting:
            self._spin += 1
            self._session.app.invalidate()
        self._was_waiting = is_waiting

    # Showing

    def connected(self, console: LineReceiver, reactor: Any) -> None:
        """Show the most important keys, once."""
        if not self._has_explained:
            self._has_explained = True
            self.notice(_KEYS)

    def show(self, record: Record) -> Deferred[None] | None:
        """Show a record above the prompt.

        Returns:
            None, or a Deferred that fires when there is space for more.
        """
        return self._add(render(record, self._columns))

    def notice(self, text: str) -> None:
        """Show a text for the user above the prompt."""
        self._add(render_text(time.time(), "notice", text, self._columns))

    def log(self, when: float, style: str, text: str) -> None:
        """Show a log line above the prompt.

        Args:
            when: The time in seconds since the epoch.
            style: ``"log"``, ``"warning"`` or ``"error"``.
            text: The text.
        """
        self._add(render_text(when, style, text, self._columns))

    def _add(self, fragments: list[Fragment]) -> Deferred[None] | None:
        if not fragments:
            return None
        self._entries.append(fragments)
        if self._is_ending:
            self._flush()
            return None
        if self._reactor is None:
            return None  # Shown later, when the prompt begins.
        if self._flush_timer is None or not self._flush_timer.active():
            self._flush_timer = self._reactor.callLater(_FLUSH_SECONDS, self._flush)
        if len(self._entries) < _MAX_WAITING:
            return None
        if self._shown is None:
            self._shown = Deferred()
        waiter: Deferred[None] = Deferred()
        self._shown.addCallback(lambda _: waiter.callback(None))
        return waiter

    def _flush(self) -> None:
        """Show the waiting entries: remove the prompt, print them, draw the prompt again."""
        entries, self._entries = self._entries, []
        fragments: StyleAndTextTuples = [
            (f"class:{style}" if style else "", text) for entry in entries for style, text in entry
        ]
        if fragments:
            self._print(fragments)
        self._open_gate()

    def _print(self, fragments: StyleAndTextTuples) -> None:
        app = None if self._session is None else self._session.app
        is_running = app is not None and app.is_running
        if app is not None and is_running:
            app.renderer.erase()
        output = app.output if app is not None else self._output or standard_output()
        with suppress(OSError):  # The terminal is gone; the end of the input follows.
            print_formatted_text(output, fragments, self._style)
        if app is not None and is_running:
            app.invalidate()

    @property
    def _columns(self) -> int:
        output = self._output if self._session is None else self._session.app.output
        return (output or standard_output()).get_size().columns

    def _open_gate(self) -> None:
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.callback(None)

    def pause(self) -> None:
        """Do nothing: typed lines wait in the console."""

    def resume(self) -> None:
        """Do nothing."""

    def _cancel_timers(self) -> None:
        for timer in (self._flush_timer, self._spin_timer):
            if timer is not None and timer.active():
                timer.cancel()

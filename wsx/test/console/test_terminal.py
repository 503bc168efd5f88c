"""Tests of wsx._console.terminal: the prompt, on a terminal in memory."""

from __future__ import annotations

import asyncio
import io
import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx import Text
from wsx._console.records import IN, OUT, Record, frame_record
from wsx.test.support.extras import missing

SKIP = missing("prompt_toolkit", "pyte")
if SKIP is None:
    import pyte
    from prompt_toolkit.data_structures import Size
    from prompt_toolkit.history import InMemoryHistory
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output.vt100 import Vt100_Output

    from wsx._console.terminal import Terminal

COLUMNS, ROWS = 80, 20


class FakeConsole:
    """A console that records what is typed.

    Attributes:
        state: What the console waits for.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ends = 0
        self.state = ""

    def line(self, line: str) -> None:
        self.lines.append(line)

    def end_of_input(self) -> None:
        self.ends += 1

    def bad_input(self, problem: str) -> None:
        raise AssertionError("not called")

    def end_of_output(self, error: Exception | None = None) -> None:
        raise AssertionError("not called")

    def waiting(self) -> str:
        return self.state


class TerminalCase(SynchronousTestCase):
    """A prompt on a screen of pyte, with a clock and an event loop that the test drives."""

    skip = SKIP

    def setUp(self) -> None:
        self.patch(os, "environ", {"TERM": "xterm"})
        self.clock = Clock()
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        pipe = create_pipe_input()
        self.keys = pipe.__enter__()
        self.addCleanup(pipe.__exit__, None, None, None)
        self.written = io.StringIO()
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.screen.set_mode(pyte.modes.LNM)
        self.stream = pyte.Stream(self.screen)
        output = Vt100_Output(
            self.written, lambda: Size(ROWS, COLUMNS), term="xterm", enable_cpr=False
        )
        self.console = FakeConsole()
        self.interrupts: list[None] = []
        self.history = InMemoryHistory()
        self.terminal = Terminal(
            self.history, self.keys, output, lambda: self.interrupts.append(None)
        )
        self.begin(self.terminal)
        self.addCleanup(self.end)

    def begin(self, terminal: Terminal) -> None:
        """Show the prompt. It is drawn at once, not only when the event loop is idle."""
        terminal.begin(self.console, self.clock)
        self.turn()
        assert terminal._session is not None
        terminal._session.app.max_render_postpone_time = None
        self.turn()

    def end(self) -> Deferred[None]:
        """End the terminal."""
        ended = self.terminal.end(True)
        self.turn()
        return ended

    def turn(self, seconds: float = 0.05) -> None:
        """Let time pass, and everything happen that is due."""

        async def run() -> None:
            self.clock.advance(seconds)
            for _ in range(20):
                await asyncio.sleep(0)
                self.clock.advance(0)

        self.loop.run_until_complete(run())

    def type(self, text: str) -> None:
        """Type something."""
        self.keys.send_text(text)
        self.turn()

    def shown(self) -> list[str]:
        """Return the lines of the screen, without the times and the empty lines at the end."""
        self.stream.feed(self.written.getvalue())
        self.written.seek(0)
        self.written.truncate()
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return [line[13:] if line[2:3] == ":" else line for line in lines]


class PromptTests(TerminalCase):
    """What a user types."""

    def test_prompt(self) -> None:
        """There is a prompt."""
        self.assertEqual(self.shown(), [">"])

    def test_line(self) -> None:
        """A line is passed to the console, and leaves the prompt."""
        self.type("hello\r")
        self.assertEqual(self.console.lines, ["hello"])
        self.assertEqual(self.shown(), [">"])

    def test_several(self) -> None:
        """The prompt stays: several lines can be typed, even at once."""
        self.type("one\rtwo\r\rthr")
        self.type("ee\r")
        self.assertEqual(self.console.lines, ["one", "two", "", "three"])

    def test_editing(self) -> None:
        """A line can be edited."""
        self.type("helo\x1b[D\x1b[Dl")  # two cursor keys to the left
        self.assertEqual(self.shown(), ["> hello"])
        self.type("\x01>\r")  # Ctrl-A
        self.assertEqual(self.console.lines, [">hello"])

    def test_history(self) -> None:
        """The cursor keys find earlier lines."""
        self.type("one\r")
        self.type("two\r")
        self.type("\x1b[A\x1b[A")
        self.assertEqual(self.shown(), ["> one"])
        self.assertEqual(self.history.get_strings(), ["one", "two"])

    def test_completion(self) -> None:
        """Tab completes commands."""
        self.type("/rec\t\r")
        self.assertEqual(self.console.lines, ["/reconnect"])

    def test_close_codes(self) -> None:
        """Several close codes are listed with their names."""
        self.type("/close 101\t")
        shown = "\n".join(self.shown())
        self.assertIn("1012 service restart", shown)
        self.assertIn("> /close 101", shown)

    def test_paste(self) -> None:
        """Several lines that are pasted are one message."""
        self.type("\x1b[200~one\ntwo\x1b[201~\r")
        self.assertEqual(self.console.lines, ["one\ntwo"])

    def test_line_break(self) -> None:
        """Alt-Enter begins another line of the same message."""
        self.type("one\x1b\rtwo\r")
        self.assertEqual(self.console.lines, ["one\ntwo"])

    def test_quoted_insert(self) -> None:
        """After Ctrl-V, a key such as Tab is text."""
        self.type("a\x16\tb\r")
        self.assertEqual(self.console.lines, ["a\tb"])

    def test_keys(self) -> None:
        """The first connection tells which keys there are; the next one does not."""
        self.terminal.connected(self.console, self.clock)
        self.terminal.connected(self.console, self.clock)
        self.turn()
        [line, _] = self.shown()
        self.assertIn("/help lists the commands; Ctrl-D", line)

    def test_end_of_input(self) -> None:
        """Ctrl-D ends the input on an empty line; otherwise it deletes a character."""
        self.type("ab\x01\x04")
        self.assertEqual((self.shown(), self.console.ends), (["> b"], 0))
        self.type("\x04\x04")
        self.assertEqual(self.console.ends, 1)

    def test_interrupt(self) -> None:
        """Ctrl-C is a signal."""
        self.type("ab\x03")
        self.assertEqual((self.interrupts, self.console.lines), ([None], []))

    def test_closed(self) -> None:
        """A terminal that was closed ends the input."""
        self.keys.close()
        self.turn()
        self.assertEqual(self.console.ends, 1)


class OutputTests(TerminalCase):
    """What is shown above the prompt."""

    def test_messages(self) -> None:
        """Messages of both directions are above the prompt, in order."""
        self.terminal.show(frame_record(0.0, OUT, Text("mine")))
        self.terminal.show(frame_record(0.0, IN, Text('{"a":1}')))
        self.terminal.show(Record(0.0, None, "open", "ws://host/"))
        self.turn()
        expected = ["> mine", '< {"a": 1}', ">"]
        self.assertEqual(self.shown(), expected)

    def test_typed_text(self) -> None:
        """A text that is being typed stays below log lines and messages, with its cursor."""
        self.type("hel")
        for number in range(3):
            self.terminal.log(0.0, "warning", f"line {number}")
            self.turn()
            self.type("lo!"[number])
        self.assertEqual(self.shown(), ["- line 0", "- line 1", "- line 2", "> hello!"])
        self.assertEqual((self.screen.cursor.x, self.screen.cursor.y), (8, 3))

    def test_long_typed_text(self) -> None:
        """This includes a text of several lines."""
        typed = "x" * 200
        self.type(typed)
        self.terminal.notice("a notice")
        self.turn()
        lines = self.shown()
        self.assertEqual(lines[0], "- a notice")
        self.assertEqual("".join(lines[1:]), f"> {typed}")
        self.type("\r")
        self.assertEqual(self.console.lines, [typed])

    def test_long_message(self) -> None:
        """A message that is longer than the screen is shown completely."""
        self.terminal.show(frame_record(0.0, IN, Text("\n".join(map(str, range(100))))))
        self.turn()
        self.assertEqual([line.strip() for line in self.shown()][-3:], ["98", "99", ">"])

    def test_escapes(self) -> None:
        """Escape sequences of a server do not reach the terminal."""
        self.terminal.show(frame_record(0.0, IN, Text("\x1b[2J\u202e")))
        self.turn()
        self.assertEqual(self.shown(), ["< \\x1b[2J\\u202e", ">"])

    def test_colours(self) -> None:
        """Received and sent messages have different colours."""
        self.terminal.show(frame_record(0.0, IN, Text("a")))
        self.terminal.show(frame_record(0.0, OUT, Text("b")))
        self.turn()
        self.shown()
        colours = [self.screen.buffer[row][13].fg for row in (0, 1)]
        self.assertEqual(colours, ["green", "cyan"])

    def test_before_the_prompt(self) -> None:
        """What is logged before the prompt is shown with it."""
        self.end()
        terminal = Terminal(InMemoryHistory(), self.keys, self.terminal._output)
        terminal.log(0.0, "log", "early")
        self.begin(terminal)
        terminal.log(0.0, "log", "late")
        self.turn()
        self.assertEqual(self.shown(), ["- early", "- late", ">"])
        terminal.end(True)
        self.turn()

    def test_after_the_end(self) -> None:
        """What is logged after the end is shown, without a prompt."""
        self.terminal.log(0.0, "log", "first")
        self.assertIsNone(self.successResultOf(self.end()))
        self.terminal.log(0.0, "log", "last")
        self.assertEqual(self.shown(), ["- first", "- last"])

    def test_flood(self) -> None:
        """With many messages waiting for the screen, ``show`` asks to wait."""
        record = frame_record(0.0, IN, Text("a"))
        waiters = [self.terminal.show(record) for _ in range(501)]
        self.assertEqual([waiter is not None for waiter in waiters[-3:]], [False, True, True])
        last: Any = waiters[-1]
        self.assertNoResult(last)
        self.turn()
        self.assertIsNone(self.successResultOf(last))
        self.assertIsNone(self.terminal.show(record))


class WaitingTests(TerminalCase):
    """The line above the prompt while there is no connection."""

    def test_countdown(self) -> None:
        """The line has a spinner and the time left; it goes when the connection is open."""
        frames = set()
        for left in (1.5, 1.4, 1.3):
            self.console.state = f"reconnecting in {left} s"
            self.turn(0.1)
            line, prompt = self.shown()
            self.assertEqual(line[1:], f" reconnecting in {left} s")
            self.assertEqual(prompt, ">")
            frames.add(line[0])
        self.assertEqual(len(frames), 3)
        self.console.state = "connecting to ws://host/"
        self.turn(0.1)
        self.assertEqual(self.shown()[0][1:], " connecting to ws://host/")
        self.console.state = ""
        self.turn(0.1)
        self.assertEqual(self.shown(), [">"])

    def test_typing(self) -> None:
        """Typed text stays below it."""
        self.console.state = "connecting to ws://host/"
        self.type("hello")
        self.turn(0.2)
        self.assertEqual(self.shown()[1:], ["> hello"])

    def test_quiet(self) -> None:
        """While there is a connection, nothing is drawn."""
        self.turn(0.3)
        self.shown()
        self.turn(5)
        self.assertEqual(self.written.getvalue(), "")


class EndTests(TerminalCase):
    """The end."""

    def test_end(self) -> None:
        """The prompt is removed, and no timer is left."""
        self.type("abc")
        self.assertIsNone(self.successResultOf(self.end()))
        self.assertEqual(self.shown(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.console.ends, 0)

    def test_twice(self) -> None:
        """A second end has no effect."""
        self.end()
        self.assertIsNone(self.successResultOf(self.end()))

    def test_before_the_start(self) -> None:
        """A terminal that ends before its prompt was shown shows none."""
        self.end()
        terminal = Terminal(InMemoryHistory(), self.keys, self.terminal._output)
        terminal.begin(self.console, self.clock)
        self.assertIsNone(self.successResultOf(terminal.end(True)))
        self.turn()
        self.assertEqual(self.shown(), [])

    def test_defect(self) -> None:
        """An exception in the prompt ends the input and is logged."""
        assert self.terminal._session is not None
        self.terminal._session.app.exit(exception=ZeroDivisionError())
        self.turn()
        self.assertEqual(self.console.ends, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

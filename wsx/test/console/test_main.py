"""Tests of wsx._console.main: ``python -m wsx URL``, also on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import sys
import termios
from typing import Any

from twisted.internet.defer import Deferred

from wsx._console.main import CommandLine
from wsx.test.support.each import each
from wsx.test.support.extras import missing
from wsx.test.support.sockets import global_reactor
from wsx.test.support.twistd import HANDLERS, REPOSITORY, RUN, OptionsCase, Twistd, TwistdCase

URL = "ws://127.0.0.1:1/"


class CommandLineTests(OptionsCase):
    """The command line."""

    def parse(self, *arguments: str) -> CommandLine:
        """Parse a command line."""
        options = CommandLine()
        options.parseOptions(list(arguments))
        return options

    def refusal_of(self, *arguments: str) -> str:
        """Return the one line with which a command line is refused."""
        line = str(self.assertRaises(SystemExit, self.parse, *arguments).code)
        self.assertEqual(len(line.splitlines()), 1, line)
        self.assertTrue(line.startswith("python -m wsx: "), line)
        return line

    @each(
        [
            ("alone", [URL]),
            ("after", ["--once", URL]),
            ("before", [URL, "--once"]),
            ("between", ["--name", "a", URL, "--timeout=5", "--header", "A: b"]),
            ("option", ["--url", URL]),
        ]
    )
    def test_url(self, _: str, arguments: list[str]) -> None:
        """The URL is before, between or after the options."""
        self.assertEqual(self.parse(*arguments)["conn"].url, URL)

    def test_options(self) -> None:
        """The options are those of ``twistd wsx``."""
        conn = self.parse(URL, "--header", "A: b", "--ping-interval", "none")["conn"]
        self.assertEqual((conn.extra_headers, conn.ping_interval), ((("A", "b"),), None))

    @each(
        [
            ("none", [], "URL: expected one URL, got none"),
            ("several", [URL, URL], "URL: expected one URL, got several"),
            ("both", [URL, "--url", URL], "URL: expected one URL, got several"),
            ("wrong", ["ftp://host/"], "URL: expected a WebSocket URL"),
            ("unknown", [URL, "--onse"], "did you mean --once?"),
            ("handler", [URL, "--handler", f"{HANDLERS}.Feed"], '"twistd wsx" has it'),
            ("config", [URL, "--config", "x"], '"twistd wsx" has it'),
            ("demo", ["--demo"], '--demo: expected no such option ("twistd wsx" has it)'),
            ("port", [URL, "--port", "1"], '"twistd wsx" has it'),
            ("doctor", [URL, "--doctor"], '"python -m wsx doctor URL" has it'),
            ("json", [URL, "--json"], '"python -m wsx doctor" has it'),
            ("combination", [URL, "--once", "--max-messages", "1"], "--once: expected no"),
        ]
    )
    def test_wrong(self, _: str, arguments: list[str], part: str) -> None:
        """A wrong command line is one line on standard error."""
        self.assertIn(part, self.refusal_of(*arguments))

    def test_secret_url(self) -> None:
        """A URL that is wrong is shown without its password."""
        self.assertNotIn("s3cr3t", self.refusal_of("ftp://me:s3cr3t@host/"))

    def test_help(self) -> None:
        """The help begins with how to call the program."""
        self.assertTrue(str(CommandLine()).startswith("Usage: python -m wsx [options] URL"))

    def test_options_in_help(self) -> None:
        """The help lists the options of the console, and none that it refuses."""
        shown = set(re.findall(r"--([a-z-]+)=? ", str(CommandLine())))
        self.assertLessEqual({"once", "header", "timeout"}, shown)
        refused = {"config", "demo", "demo-server", "doctor", "handler", "json", "port", "state"}
        self.assertEqual(shown & refused, set())


class WsxCase(TwistdCase):
    """Base class for tests with real processes that run ``python -m wsx``."""

    def environment(self) -> dict[str, str]:
        """Return the environment of the process."""
        path = os.pathsep.join(filter(None, [REPOSITORY, os.environ.get("PYTHONPATH")]))
        state = str(self.directory / "state")
        changes = {"PYTHONPATH": path, "TERM": "xterm", "XDG_STATE_HOME": state}
        return os.environ | changes | {"PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": ""}

    def wsx(self, *arguments: str, **options: Any) -> Twistd:
        """Run ``python -m wsx`` with these arguments."""
        process = Twistd()
        command = [sys.executable, "-m", "wsx", *arguments]
        options = {"childFDs": {0: "w", 1: "r", 2: "r"}} | options
        global_reactor().spawnProcess(
            process,
            sys.executable,
            command,
            env=self.environment(),
            path=str(self.directory),
            **options,
        )
        self.addCleanup(process.kill)
        return process

    def type(self, process: Twistd, text: str, end: bool = False) -> None:
        """Write to the standard input of a process."""
        transport: Any = process.transport
        transport.write(text.encode())
        if end:
            transport.closeStdin()


class PipeTests(WsxCase):
    """``python -m wsx`` between pipes."""

    async def test_echo(self) -> None:
        """Only messages are on standard output; the log is on standard error."""
        server = self.serve()
        process = self.wsx(server.url())
        self.type(process, "one\ntwo\n", end=True)
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(process.output, "one\ntwo\n")
        self.assertRegex(process.errors, r"(?m)^\d\d:[\d:.]+ - Console: connected to ws://")
        self.assertIn("wsx stops with exit status 0", process.errors)
        self.assertNotIn("Main loop", process.errors)

    async def test_once(self) -> None:
        """One message, then the end: status 0."""
        server = self.serve()
        process = self.wsx(server.url(), "--once")
        self.type(process, "one\ntwo\n")
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(process.output, "one\n")
        self.assertEqual(await server.closes.get(), 1000)

    async def test_expect_close(self) -> None:
        """The exit status says whether the server has closed with the expected code."""
        server = self.serve()
        for code, status in (("4001", 0), ("1000", 1)):
            process = self.wsx(server.url(), "--expect-close", code)
            self.type(process, "close 4001 bye\n", end=True)
            self.assertEqual(await process.ended(), status, process.errors)

    async def test_timeout(self) -> None:
        """A time limit ends the process with status 1 and one line that says why."""
        server = self.serve()
        process = self.wsx(server.url(), "--once", "--timeout", "0.2")
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertIn("not finished within 0.2 s (--timeout)", process.errors)
        self.assertEqual(await server.closes.get(), 1001)

    async def test_records(self) -> None:
        """With --jsonl, each line of standard output is a record."""
        server = self.serve()
        process = self.wsx(server.url(), "--jsonl")
        self.type(process, "one\n", end=True)
        self.assertEqual(await process.ended(), 0, process.errors)
        records = [json.loads(line) for line in process.output.splitlines()]
        self.assertEqual(
            [(record["direction"], record["kind"]) for record in records],
            [(None, "open"), ("out", "text"), ("in", "text"), ("out", "close")],
        )

    async def test_hangup(self) -> None:
        """SIGHUP, which a terminal sends when it is closed, ends it with 1001 and status 0."""
        server = self.serve()
        process = self.wsx(server.url())
        self.type(process, "one\n")
        await process.says("one\n")
        process.transport.signalProcess("HUP")
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(await server.closes.get(), 1001)

    async def test_slow_reader(self) -> None:
        """Nothing is lost if the reader of standard output is slow, even at the end."""
        server = self.serve()
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        process = self.wsx(
            server.url(), "--max-messages", "60", childFDs={0: "w", 1: write, 2: "r"}
        )
        os.close(write)
        line = "x" * 600
        self.type(process, f"{line}\n" * 60)
        await process.says("stops with exit status 0")
        with os.fdopen(read) as output:
            content = await _in_thread(output.read)
        self.assertEqual(content, f"{line}\n" * 60)
        self.assertEqual(await process.ended(), 0)

    async def test_full_disk(self) -> None:
        """Messages that cannot be written are status 1, and one line says so."""
        server = self.serve()
        with open("/dev/full", "wb") as output:
            process = self.wsx(server.url(), childFDs={0: "w", 1: output.fileno(), 2: "r"})
        self.type(process, "one\n")
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertIn("standard output cannot be written", process.errors)

    async def test_closed_streams(self) -> None:
        """Closed input has ended; closed output cannot be written; closed errors get nothing."""
        server = self.serve()
        process = self.wsx(server.url(), childFDs={1: "r", 2: "r"})
        self.assertEqual(await process.ended(), 0, process.errors)
        process = self.wsx(server.url(), childFDs={0: "w", 2: "r"})
        self.type(process, "one\n")
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertNotIn("Traceback", process.errors)
        process = self.wsx(server.url(), childFDs={0: "w", 1: "r"})
        self.type(process, "one\n", end=True)
        self.assertEqual(await process.ended(), 0)
        self.assertEqual(process.output, "one\n")

    async def test_bad_input(self) -> None:
        """Input that is not UTF-8 is status 1, after the answers to the lines before it."""
        server = self.serve()
        process = self.wsx(server.url())
        transport: Any = process.transport
        transport.write(b"one\n\xff\ntwo\n")
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertEqual(process.output, "one\n")
        self.assertIn("line 2 of the input is not UTF-8", process.errors)

    async def test_secrets(self) -> None:
        """A header from a variable reaches the server, and not the command line."""
        server = self.serve()
        self.patch(os, "environ", os.environ | {"WSX_TEST_TOKEN": "opensesame"})
        process = self.wsx(server.url(), "--once", "--header-env", "X-Token=WSX_TEST_TOKEN")
        self.type(process, "header X-Token\n")
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(process.output, "opensesame\n")
        self.assertNotIn("opensesame", process.errors)

    async def test_wrong(self) -> None:
        """A wrong command line is one line on standard error, and status 2."""
        process = self.wsx("ws://127.0.0.1:1/", "--once", "--max-messages", "2")
        self.assertEqual(await process.ended(), 2)
        self.assertEqual(process.output, "")
        self.assertEqual(process.errors, "python -m wsx: --once: expected no --max-messages\n")


def _in_thread(function: Any) -> Deferred[Any]:
    from twisted.internet.threads import deferToThread

    return deferToThread(function)


class TerminalProcess(Twistd):
    """A process on a pseudo-terminal.

    Attributes:
        mode: The mode of the terminal after the end of the process.
        blocking: Whether reads of the terminal wait then.
    """

    def __init__(self, slave: int) -> None:
        super().__init__()
        self.mode: list[Any] = []
        self.blocking: bool | None = None
        self._slave: int | None = slave

    def hang_up(self) -> None:
        """Close the terminal, as the end of an SSH session does."""
        assert self._slave is not None
        os.close(self._slave)
        self._slave = None
        self.transport.loseConnection()

    def processExited(self, reason: Any) -> None:
        if self._slave is None:
            return
        self.mode = termios.tcgetattr(self._slave)
        self.blocking = os.get_blocking(self._slave)
        os.close(self._slave)  # Now Twisted reads the end of the terminal's output.


class PtyCase(WsxCase):
    """Base class for tests on a pseudo-terminal."""

    def terminal(self, *command: str) -> TerminalProcess:
        """Run a Python command on a new pseudo-terminal."""
        master, slave = pty.openpty()
        self.slave = os.dup(slave)
        self.mode = termios.tcgetattr(self.slave)
        process = TerminalProcess(self.slave)
        global_reactor().spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-P", *command],
            env=self.environment(),
            path=str(self.directory),
            usePTY=(master, slave, os.ttyname(slave)),
            childFDs=None,
        )
        self.addCleanup(process.kill)
        return process

    def wsx_on_terminal(self, *arguments: str) -> TerminalProcess:
        """Run ``python -m wsx`` on a new pseudo-terminal."""
        return self.terminal("-m", "wsx", *arguments)

    def assert_restored(self, process: TerminalProcess) -> None:
        """Assert that the terminal has the mode that it had before."""
        self.assertEqual(process.mode, self.mode)
        self.assertIs(process.blocking, True)

    def plain(self, process: Twistd) -> str:
        """Return what was written, without escape sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", process.output).replace("\r", "")


class TerminalTests(PtyCase):
    """``python -m wsx`` on a terminal, with prompt_toolkit."""

    skip = missing("prompt_toolkit")

    async def connected(self, process: Twistd) -> None:
        """Wait until the console is connected."""
        await process.says("connected to ws://")

    async def test_session(self) -> None:
        """Messages are sent and shown, commands work, and Ctrl-D ends the session."""
        server = self.serve()
        process = self.wsx_on_terminal(server.url())
        await self.connected(process)
        self.assertNotEqual(termios.tcgetattr(self.slave), self.mode)
        self.type(process, 'hello\r{"a":1}\r')
        await process.until(lambda: '"a": 1' in self.plain(process).partition("<")[2])
        self.type(process, "/ping\r")
        await process.says("round trip")
        self.type(process, "\x04")
        self.assertEqual(await process.ended(), 0, process.output)
        self.assertEqual(await server.closes.get(), 1000)
        text = self.plain(process)
        for part in (" > hello\n", " < hello\n", "close 1000 (normal closure)"):
            self.assertIn(part, text)
        self.assert_restored(process)
        history = self.directory / "state" / "wsx" / "history"
        self.assertIn("+hello", history.read_text())

    @each([("interrupt", "\x03", None), ("sigterm", "", "TERM"), ("sigint", "", "INT")])
    async def test_signals(self, _: str, keys: str, signal: str | None) -> None:
        """Ctrl-C, SIGTERM and SIGINT end it with 1001 and status 0; the terminal is restored."""
        server = self.serve()
        process = self.wsx_on_terminal(server.url())
        await self.connected(process)
        self.type(process, "half a line" + keys)
        if signal is not None:
            await process.says("half a line")
            process.transport.signalProcess(signal)
        self.assertEqual(await process.ended(), 0, process.output)
        self.assertEqual(await server.closes.get(), 1001)
        self.assert_restored(process)

    async def test_hangup(self) -> None:
        """A terminal that is closed ends it."""
        server = self.serve()
        process = self.wsx_on_terminal(server.url())
        await self.connected(process)
        process.hang_up()
        # The end of the input and SIGHUP arrive at the same time.
        self.assertIn(await server.closes.get(), (1000, 1001))
        self.assertEqual(await process.ended(), 0)

    async def test_reconnecting(self) -> None:
        """While it reconnects, a line shows the time left; Ctrl-D ends it."""
        process = self.wsx_on_terminal(f"ws://127.0.0.1:{self.unused_port()}/")
        await process.until(
            lambda: bool(re.search(r"reconnecting in \d\.\d s .* to ws://", self.plain(process)))
        )
        self.type(process, "\x04")
        self.assertEqual(await process.ended(), 0, process.output)
        self.assert_restored(process)

    async def test_error(self) -> None:
        """A server that refuses ends it with status 1, and the terminal is restored."""
        server = self.serve()
        process = self.wsx_on_terminal(server.url("/404"))
        self.assertEqual(await process.ended(), 1)
        words = " ".join(self.plain(process).split())  # The line is longer than the terminal.
        self.assertIn("the server answered 404", words)
        self.assert_restored(process)

    async def test_twistd(self) -> None:
        """``twistd -n wsx`` on a terminal is the same console."""
        server = self.serve()
        arguments = ["-n", "--pidfile=", "wsx", "--url", server.url()]
        process = self.terminal("-c", RUN, *arguments)
        await self.connected(process)
        self.type(process, "/close 4001 bye\r")
        self.assertEqual(await process.ended(), 0, process.output)
        self.assertEqual(await server.closes.get(), 4001)
        self.assertNotIn("Main loop", process.output)
        self.assert_restored(process)


class PlainTerminalTests(PtyCase):
    """A terminal without line editing."""

    async def test_without_connection(self) -> None:
        """Commands work and Ctrl-D ends the session while there is no connection."""
        process = self.wsx_on_terminal(f"ws://127.0.0.1:{self.unused_port()}/")
        await process.says("reconnecting in")
        self.type(process, "hello\n/status\n")
        await process.says("waiting to be sent 1")
        self.assertIn('not connected: "hello" is sent after', self.plain(process))
        self.type(process, "\x04")
        self.assertEqual(await process.ended(), 0, process.output)
        self.assert_restored(process)

    async def test_session(self) -> None:
        """Lines are sent, commands work, and Ctrl-D ends the session."""
        server = self.serve()
        process = self.wsx_on_terminal(server.url())
        await process.says("type a line")
        self.type(process, "hello\n")
        await process.says("< hello")
        self.type(process, "/status\n")
        await process.says("received 1 message")
        self.type(process, "\x04")
        self.assertEqual(await process.ended(), 0, process.output)
        self.assertIn(" < hello\n", self.plain(process))
        self.assert_restored(process)

    def environment(self) -> dict[str, str]:
        """Return an environment with a dumb terminal, which cannot move its cursor."""
        return super().environment() | {"TERM": "dumb"}

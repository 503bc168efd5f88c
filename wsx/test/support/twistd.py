"""``twistd wsx`` in memory and as a process: handlers, a reactor, and base classes for tests."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import twisted
import twisted.plugins
import wsx
from wsx import tap
from wsx.test.support import URL, MemoryCase, close, text
from wsx.test.support.sockets import HOST, SocketCase, global_reactor

HANDLERS = "wsx.test.support.twistd"
REPOSITORY = str(Path(wsx.__file__).parents[1])
RUN = "from twisted.scripts.twistd import run; run()"
PROBE = """
import atexit
import sys
import wsx

atexit.register(print, "probe is cleaned up", file=sys.__stdout__)

class Probe(wsx.Handler):
    def handle_connect(self, conn, state):
        print("probe connected with", state)

    def handle_frame(self, frame, state):
        if frame == wsx.Text("crash"):
            raise ValueError("as told")
        print("probe received", frame)
        if frame == wsx.Text("bye"):
            return wsx.Close(state)

    def handle_disconnect(self, status, state):
        print("probe lost", status.reason)
        return super().handle_disconnect(status, state)

    def terminate(self, reason, state):
        print(f"probe terminated with {reason!r}")

class Patient(Probe):
    def handle_connect(self, conn, state):
        super().handle_connect(conn, state)
        return wsx.Reply(wsx.Text("drop"), state)

    def handle_disconnect(self, status, state):
        print("probe waits")
        return wsx.Reconnect(state, after=600)

class Talker(Probe):
    said = "bye"

    def handle_connect(self, conn, state):
        super().handle_connect(conn, state)
        return wsx.Reply(wsx.Text(self.said), state)

class Crasher(Talker):
    said = "crash"
"""


class Feed(wsx.Handler[Any]):
    """A handler for ``--handler`` that records its calls in a class attribute."""

    calls: ClassVar[list[tuple[str, Any]]] = []

    def handle_connect(self, conn: wsx.Conn, state: Any) -> None:
        self.calls.append(("handle_connect", state))

    def handle_frame(self, frame: wsx.Frame, state: Any) -> Any:
        if frame == wsx.Text("crash"):
            raise ValueError("as told")
        return wsx.Close(state)

    def terminate(self, reason: object, state: Any) -> None:
        self.calls.append(("terminate", reason))


class Stubborn(Feed):
    """A handler with its own ``handle_disconnect``."""

    def handle_disconnect(self, status: wsx.Disconnect, state: Any) -> Any:
        return wsx.Reconnect(state, after=7)


class Demanding(wsx.Handler[None]):
    """A handler whose constructor requires an argument."""

    def __init__(self, argument: object) -> None:
        self.argument = argument


def provide(attempt: wsx.Attempt) -> str:
    """Return a URL: a connection provider for a configuration file."""
    return f"{URL}?attempt={attempt.number}"


class NoHandler:
    """A class that is not a subclass of Handler."""


AN_INSTANCE = Feed()


def parse(*arguments: str) -> tap.Options:
    """Parse the arguments of ``twistd wsx``."""
    options = tap.Options()
    options.parseOptions(list(arguments))
    return options


class FakeReactor(Clock):
    """A clock that can be run and stopped like a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.running = False
        self.stops = 0
        self._hooks: list[Callable[[], object]] = []

    def callWhenRunning(self, function: Callable[[], object]) -> None:
        if self.running:
            function()
        else:
            self._hooks.append(function)

    def callFromThread(self, function: Callable[[], object]) -> None:
        self.callLater(0, function)

    def run(self) -> None:
        self.running = True
        for hook in self._hooks:
            hook()

    def stop(self) -> None:
        self.stops += 1


class OptionsCase(SynchronousTestCase):
    """Base class for tests of the command line, each in its own directory."""

    def setUp(self) -> None:
        self.output, self.errors = StringIO(), StringIO()
        self.patch(sys, "stdout", self.output)
        self.patch(sys, "stderr", self.errors)
        self.patch(sys, "path", [path for path in sys.path if path not in ("", os.getcwd())])
        self.addCleanup(os.chdir, os.getcwd())
        directory = self.mktemp()
        os.makedirs(directory)
        os.chdir(directory)
        modules = set(sys.modules)
        self.addCleanup(lambda: [sys.modules.pop(name) for name in set(sys.modules) - modules])

    def refusal(self, *arguments: str) -> str:
        """Return the one line with which a command line is refused."""
        error = self.assertRaises(SystemExit, parse, *arguments)
        line = error.code
        self.assertIsInstance(line, str, f"{arguments}: Python would exit with {line!r}")
        assert isinstance(line, str)
        self.assertEqual(len(line.splitlines()), 1, line)
        self.assertTrue(line.startswith("twistd wsx: "), line)
        self.assertEqual(self.output.getvalue() + self.errors.getvalue(), "")
        return line

    def assert_refused(self, table: list[tuple[list[str], str]]) -> None:
        """Assert that each list of arguments is refused with a line that contains this part."""
        for arguments, part in table:
            self.assertIn(part, self.refusal(*arguments), f"{arguments}")

    def write(self, name: str, content: str) -> str:
        """Write a file into the current directory and return its name."""
        Path(name).write_text(content)
        return name


class RunCase(MemoryCase):
    """Base class for tests that run the service in memory, without twistd."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = FakeReactor()
        self.clock = self.reactor
        self.server._clock = self.reactor
        global_reactor()  # Import the reactor now, so that it can be replaced.
        self.patch(twisted.internet, "reactor", self.reactor)
        self.signals: dict[int, Callable[..., object]] = {}
        self.patch(signal, "signal", self.signals.__setitem__)
        self.exits: list[object] = []
        self.patch(atexit, "register", self.exits.append)
        Feed.calls.clear()

    def run_service(self, *arguments: str, handler: str = "Feed") -> Any:
        """Start the service of ``twistd wsx`` with these arguments and in-memory connections."""
        options = parse("--url", URL, "--handler", f"{HANDLERS}.{handler}", *arguments)
        options["conn"] = options["conn"].replace(endpoint=self.server, ping_interval=None)
        service = tap.makeService(options)
        service.startService()
        self.reactor.run()
        self.step()
        return service

    def serve(self, *data: bytes) -> None:
        """Complete the handshake of the last connection, and send this data."""
        self.peer.answer()
        self.step()
        for piece in data:
            self.peer.send(piece)
            self.step()

    def crash(self) -> None:
        """Let the handler raise on the last connection."""
        self.serve(text("crash"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.finish()

    def finish(self) -> None:
        """Answer the client's close frame, and end TCP."""
        self.peer.send(close(1000))
        self.peer.drop()
        self.step()

    def pass_time(self, seconds: int) -> None:
        """Advance the clock in steps of one second."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.step()

    def assert_running(self, attempts: int) -> None:
        """Assert that twistd goes on, after this number of attempts to connect."""
        self.assertEqual((self.reactor.stops, self.server.attempts), (0, attempts))

    def assert_ended(self, normally: bool) -> None:
        """Assert that twistd was stopped once, with the right exit status."""
        self.assertEqual((self.reactor.stops, len(self.exits)), (1, 0 if normally else 1))
        attempts = self.server.attempts
        self.pass_time(200)
        self.assertEqual(self.server.attempts, attempts)


# Real processes


class Twistd(ProcessProtocol):
    """A process that runs twistd or an example.

    Attributes:
        status: The exit status, the negative number of the signal that killed the process, or None
            while it runs.
    """

    transport: IProcessTransport

    def __init__(self) -> None:
        self.status: int | None = None
        self._read = {1: b"", 2: b""}
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    @property
    def output(self) -> str:
        """The standard output so far."""
        return self._read[1].decode(errors="replace")

    @property
    def errors(self) -> str:
        """The standard error so far."""
        return self._read[2].decode(errors="replace")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._read[childFD] += data
        self._look()

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.status = ended.exitCode if ended.signal is None else -ended.signal
        self._look()

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Return a Deferred that fires when the condition is true.

        It fails if the process ends first.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.append((condition, waiter))
        self._look()
        return waiter

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for condition, waiter in waiting:
            if condition():
                waiter.callback(None)
            elif self.status is not None:
                written = f"\n{self.output}\n{self.errors}"
                waiter.errback(AssertionError(f"twistd ended with {self.status}: {written}"))
            else:
                self._waiting.append((condition, waiter))

    def says(self, part: str, times: int = 1) -> Deferred[None]:
        """Wait until the part was written this number of times, to either output."""
        return self.until(lambda: (self.output + self.errors).count(part) >= times)

    def ended(self) -> Deferred[int | None]:
        """Return a Deferred that fires with the exit status when the process has ended."""
        return self.until(lambda: self.status is not None).addCallback(lambda _: self.status)

    def kill(self) -> Deferred[int | None]:
        """Kill the process if it still runs, and wait for its end."""
        if self.status is None:
            self.transport.signalProcess("KILL")
        return self.ended()


class TwistdCase(SocketCase):
    """Base class for tests with real processes in a directory that has a module ``probe``."""

    timeout = 60

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        (self.directory / "probe.py").write_text(PROBE)

    def twistd(self, *arguments: str, **options: Any) -> Twistd:
        """Run ``twistd -n wsx`` with these arguments."""
        return self.run_twistd("-n", "--pidfile=", "wsx", *arguments, **options)

    def run_twistd(self, *arguments: str, stdin: Any = "w", stdout: Any = "r") -> Twistd:
        """Run twistd like the installed script, whose directory is not in the path."""
        process = Twistd()
        path = os.pathsep.join(filter(None, [REPOSITORY, os.environ.get("PYTHONPATH")]))
        global_reactor().spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-P", "-c", RUN, *arguments],
            env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            path=str(self.directory),
            childFDs={0: stdin, 1: stdout, 2: "r"},
        )
        self.addCleanup(process.kill)
        return process

    def unused_port(self) -> int:
        """Return a port on which no server listens."""
        with socket.create_server((HOST, 0)) as server:
            return int(server.getsockname()[1])

"""``twistd wsx`` in memory and as a process: handlers, a reactor, and base classes of tests."""

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
    """A handler for ``--handler``; its calls are noted at the class."""

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
    """A handler with a ``handle_disconnect`` of its own."""

    def handle_disconnect(self, status: wsx.Disconnect, state: Any) -> Any:
        return wsx.Reconnect(state, after=7)


class Demanding(wsx.Handler[None]):
    """A handler that wants an argument."""

    def __init__(self, argument: object) -> None:
        self.argument = argument


class NoHandler:
    """Not a subclass of Handler."""


AN_INSTANCE = Feed()


def parse(*arguments: str) -> tap.Options:
    """Parses the arguments of ``twistd wsx``."""
    options = tap.Options()
    options.parseOptions(list(arguments))
    return options


class FakeReactor(Clock):
    """A clock that can be run and stopped like the reactor."""

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
    """Tests of the command line, in a directory of their own."""

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
        """Gives the one line with which a command line is refused."""
        error = self.assertRaises(SystemExit, parse, *arguments)
        line = error.code
        self.assertIsInstance(line, str, f"{arguments}: Python would exit with {line!r}")
        assert isinstance(line, str)
        self.assertEqual(len(line.splitlines()), 1, line)
        self.assertTrue(line.startswith("twistd wsx: "), line)
        self.assertEqual(self.output.getvalue() + self.errors.getvalue(), "")
        return line

    def assert_refused(self, table: list[tuple[list[str], str]]) -> None:
        """Each list of arguments is refused, with a line that has this part."""
        for arguments, part in table:
            self.assertIn(part, self.refusal(*arguments), f"{arguments}")

    def write(self, name: str, content: str) -> str:
        """Writes a file into the current directory; gives its name."""
        Path(name).write_text(content)
        return name


class RunCase(MemoryCase):
    """Runs the service in memory; what twistd would do is done by hand."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = FakeReactor()
        self.clock = self.reactor
        self.server._clock = self.reactor
        global_reactor()  # installed now, so that there is one to be replaced
        self.patch(twisted.internet, "reactor", self.reactor)
        self.signals: dict[int, Callable[..., object]] = {}
        self.patch(signal, "signal", self.signals.__setitem__)
        self.exits: list[object] = []
        self.patch(atexit, "register", self.exits.append)
        Feed.calls.clear()

    def run_service(self, *arguments: str, handler: str = "Feed") -> Any:
        """Starts what ``twistd wsx`` with these arguments would; connections are in memory."""
        options = parse("--url", URL, "--handler", f"{HANDLERS}.{handler}", *arguments)
        options["conn"] = options["conn"].replace(endpoint=self.server, ping_interval=None)
        service = tap.makeService(options)
        service.startService()
        self.reactor.run()
        self.step()
        return service

    def serve(self, *data: bytes) -> None:
        """Answers the handshake of the last connection, and sends something."""
        self.peer.answer()
        self.step()
        for piece in data:
            self.peer.send(piece)
            self.step()

    def crash(self) -> None:
        """Lets the handler raise on the last connection."""
        self.serve(text("crash"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.finish()

    def finish(self) -> None:
        """Answers the client's close frame, and ends TCP."""
        self.peer.send(close(1000))
        self.peer.drop()
        self.step()

    def pass_time(self, seconds: int) -> None:
        """Lets time pass in steps of a second."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.step()

    def assert_running(self, attempts: int) -> None:
        """twistd goes on, after so many attempts to connect."""
        self.assertEqual((self.reactor.stops, self.server.attempts), (0, attempts))

    def assert_ended(self, normally: bool) -> None:
        """twistd was stopped once, and its exit status is what it should be."""
        self.assertEqual((self.reactor.stops, len(self.exits)), (1, 0 if normally else 1))
        attempts = self.server.attempts
        self.pass_time(200)
        self.assertEqual(self.server.attempts, attempts)


# Real processes


class Twistd(ProcessProtocol):
    """A twistd in a process of its own: what it writes, and how it ends.

    Attributes:
        status: its exit status; minus the signal that killed it; None while it runs.
    """

    transport: IProcessTransport

    def __init__(self) -> None:
        self.status: int | None = None
        self._read = {1: b"", 2: b""}
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    @property
    def output(self) -> str:
        """Its standard output so far."""
        return self._read[1].decode(errors="replace")

    @property
    def errors(self) -> str:
        """Its standard error so far."""
        return self._read[2].decode(errors="replace")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._read[childFD] += data
        self._look()

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.status = ended.exitCode if ended.signal is None else -ended.signal
        self._look()

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Waits; it is an error when the process ends before."""
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
        """Waits until this was written so many times, wherever to."""
        return self.until(lambda: (self.output + self.errors).count(part) >= times)

    def ended(self) -> Deferred[int | None]:
        """Waits for the end; gives the exit status."""
        return self.until(lambda: self.status is not None).addCallback(lambda _: self.status)

    def kill(self) -> Deferred[int | None]:
        """Ends it if it still runs."""
        if self.status is None:
            self.transport.signalProcess("KILL")
        return self.ended()


class TwistdCase(SocketCase):
    """Tests with real processes, in a directory of their own, with a module ``probe`` in it."""

    timeout = 60

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        (self.directory / "probe.py").write_text(PROBE)

    def twistd(self, *arguments: str, **options: Any) -> Twistd:
        """Runs ``twistd -n wsx`` with these arguments."""
        return self.run_twistd("-n", "--pidfile=", "wsx", *arguments, **options)

    def run_twistd(self, *arguments: str, stdin: Any = "w", stdout: Any = "r") -> Twistd:
        """Runs twistd; without the script's directory in the path, as the installed script."""
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
        """Gives a port where nobody listens."""
        with socket.create_server((HOST, 0)) as server:
            return int(server.getsockname()[1])

"""A configuration file that runs in memory, with a server for each client."""

from __future__ import annotations

import contextlib
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.internet.endpoints import clientFromString
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher

import wsx
from wsx import tap
from wsx._transport import endpoints
from wsx.test.support import MemoryServer, Peer, case, close, text
from wsx.test.support.twistd import RunCase, parse

HANDLERS = "wsx.test.support.twistd_runner"
SHUTDOWN = (8, (1001).to_bytes(2, "big"))
STEADY = "{ initial = 2, maximum = 2, jitter = 0 }"  # A delay of whole seconds.


class Member(wsx.Handler[Any]):
    """A handler that records its calls by the client's name and obeys its messages."""

    calls: ClassVar[dict[str, list[tuple[str, Any]]]] = defaultdict(list)

    def note(self, callback: str, argument: Any) -> None:
        self.calls[str(self.client.name)].append((callback, argument))

    def handle_connect(self, conn: wsx.Conn, state: Any) -> None:
        self.note("handle_connect", state)

    def handle_frame(self, frame: wsx.Frame, state: Any) -> Any:
        self.note("handle_frame", frame)
        if frame == wsx.Text("crash"):
            raise ValueError("as told")
        if frame == wsx.Text("bye"):
            return wsx.Close(state)
        if frame == wsx.Text("fail"):
            raise wsx.Exit(wsx.ConnectionDropped(None))
        state["seen"] = state.get("seen", 0) + 1
        return wsx.Ok(state)

    def terminate(self, reason: object, state: Any) -> None:
        self.note("terminate", reason)


class Fragile(Member):
    """A handler whose constructor can be made to raise."""

    broken: ClassVar[bool] = False

    def __init__(self) -> None:
        if self.broken:
            raise LookupError("no database")


class ConfigRunCase(RunCase):
    """Base class: ``endpoint = "memory:NAME"`` leads to an in-memory server of the test."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        self.path = directory / "clients.toml"
        self.servers: dict[str, MemoryServer] = defaultdict(lambda: MemoryServer(self.clock))

        def from_string(reactor: Any, description: str) -> Any:
            kind, _, name = description.partition(":")
            return (
                self.servers[name] if kind == "memory" else clientFromString(reactor, description)
            )

        self.patch(endpoints, "clientFromString", from_string)
        Member.calls.clear()
        self.patch(Fragile, "broken", False)
        self.logged: list[LogEvent] = []
        observer = cast(ILogObserver, self.logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.service: Any = None

    # Configuration file and service

    def write(self, top: str = "", /, **clients: dict[str, str]) -> None:
        """Write the file: lines at its top, and a table of options for each client."""
        lines = [top]
        for name, keys in clients.items():
            needed = {
                "url": f'"ws://{name}.test"',
                "handler": f'"{HANDLERS}.Member"',
                "endpoint": f'"memory:{name}"',
                "state": "{}",
                "reconnect": STEADY,
            }
            lines.append(f"[clients.{name}]")
            lines += [f"{key} = {value}" for key, value in (needed | keys).items() if value]
        self.path.write_text("\n".join([*lines, ""]))

    def run_config(self, top: str = "", /, **clients: dict[str, str]) -> None:
        """Start the service of ``twistd wsx --config`` with this file."""
        self.write(top, **clients)
        self.service = tap.makeService(parse("--config", str(self.path)))
        self.service.startService()
        self.addCleanup(self.end)
        self.reactor.run()
        self.step()

    def run_open(self, top: str = "", /, **clients: dict[str, str]) -> None:
        """Start the service and complete the handshakes of all clients."""
        self.run_config(top, **clients)
        for name in clients:
            self.open_client(name)

    def end(self) -> None:
        """Stop the service as twistd does, and assert that it stops."""
        stopped = self.service.stopService()
        self.pass_time(30)
        self.successResultOf(stopped)

    def hang_up(self) -> None:
        """Deliver SIGHUP; the service handles it in a later reactor iteration."""
        self.signals[signal.SIGHUP](signal.SIGHUP, None)

    def reread(self, top: str = "", /, **clients: dict[str, str]) -> None:
        """Write the file again, send SIGHUP, and run what is due."""
        self.write(top, **clients)
        self.hang_up()
        self.step()

    # Servers

    def last(self, name: str) -> Peer:
        """Return the last connection of a client."""
        return self.servers[name].peer

    def open_client(self, name: str) -> Peer:
        """Complete the handshake of a client's last connection."""
        peer = self.last(name)
        peer.answer()
        self.step()
        return peer

    def tell(self, name: str, message: str) -> None:
        """Send a message to a client."""
        self.last(name).send(text(message))
        self.step()

    def part(self, name: str) -> None:
        """Answer a client's close frame, and end TCP."""
        self.last(name).send(close(1000))
        self.last(name).drop()
        self.step()

    def crash_client(self, name: str) -> None:
        """Let a client's handler raise."""
        self.tell(name, "crash")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.part(name)

    def attempts(self, *names: str) -> list[int]:
        """Return the number of each client's attempts to connect."""
        return [self.servers[name].attempts for name in names]

    def called(self, name: str) -> list[str]:
        """Return the names of a client's callbacks so far."""
        return [callback for callback, _ in Member.calls[name]]

    @contextlib.contextmanager
    def untouched(self, *names: str) -> Iterator[None]:
        """Assert that these clients keep their connections and nothing happens to them."""
        before = {name: (self.last(name), self.called(name)) for name in names}
        clients = {name: wsx.whereis(name) for name in names}
        for name in names:
            self.last(name).received()
        yield
        for name in names:
            with case(name):
                peer, called = before[name]
                self.assertIs(self.last(name), peer)
                self.assertEqual(peer.received(), [])
                self.assertEqual(self.called(name), called)
                self.assertIs(wsx.whereis(name), clients[name])
                client = wsx.whereis(name)
                assert client is not None
                self.assertEqual(client.status, "open")

    # Log

    def lines(self, level: Any = LogLevel.info) -> list[str]:
        """Return the lines logged at this level or above, and clear the list."""
        chosen = [
            formatEvent(event)
            for event in self.logged
            if event.get("log_namespace", "").startswith("wsx") and event["log_level"] >= level
        ]
        self.logged.clear()
        return chosen

    def assert_one_line(self, *parts: str) -> str:
        """Assert that one line with these parts was logged, and return it."""
        lines = self.lines()
        self.assertEqual(len(lines), 1, lines)
        self.assertEqual(len(lines[0].splitlines()), 1, lines)
        for part in parts:
            self.assertIn(part, lines[0])
        return lines[0]

    def assert_goes_on(self) -> None:
        """Assert that twistd runs."""
        self.assertEqual((self.reactor.stops, self.exits), (0, []))

    def assert_over(self, normally: bool) -> None:
        """Assert that twistd was stopped once and exits with the right status."""
        self.assertEqual((self.reactor.stops, len(self.exits)), (1, 0 if normally else 1))

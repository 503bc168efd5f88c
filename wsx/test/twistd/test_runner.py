"""Tests of wsx._twistd.runner: a tree of clients under twistd, SIGHUP, and served metrics."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.web.client import Agent, readBody

import wsx
from wsx import tap
from wsx._transport import endpoints
from wsx.test.support import MemoryServer, Peer, case, close, text
from wsx.test.test_loopback import HOST, AiohttpServer, WebsocketsServer, global_reactor
from wsx.test.test_tap import RunCase, TwistdCase, parse

HERE = "wsx.test.twistd.test_runner"
SHUTDOWN = (8, (1001).to_bytes(2, "big"))
STEADY = "{ initial = 2, maximum = 2, jitter = 0 }"  # seconds that a test can count


class Member(wsx.Handler[Any]):
    """A handler that notes its calls by the client's name, and does as it is told."""

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
    """A handler that cannot always be made."""

    broken: ClassVar[bool] = False

    def __init__(self) -> None:
        if self.broken:
            raise LookupError("no database")


class ConfigRunCase(RunCase):
    """Runs a file in memory: ``endpoint = "memory:NAME"`` is a server of ours."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        self.path = directory / "clients.toml"
        self.servers: dict[str, MemoryServer] = defaultdict(lambda: MemoryServer(self.clock))
        original = endpoints.clientFromString

        def from_string(reactor: Any, description: str) -> Any:
            kind, _, name = description.partition(":")
            return self.servers[name] if kind == "memory" else original(reactor, description)

        self.patch(endpoints, "clientFromString", from_string)
        Member.calls.clear()
        self.patch(Fragile, "broken", False)
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        self.service: Any = None

    # The file, and the run

    def write(self, top: str = "", /, **clients: dict[str, str]) -> None:
        """Writes the file: the lines at its top, and a table of options for each client."""
        lines = [top]
        for name, keys in clients.items():
            needed = {
                "url": f'"ws://{name}.test"',
                "handler": f'"{HERE}.Member"',
                "endpoint": f'"memory:{name}"',
                "state": "{}",
                "reconnect": STEADY,
            }
            lines.append(f"[clients.{name}]")
            lines += [f"{key} = {value}" for key, value in (needed | keys).items() if value]
        self.path.write_text("\n".join([*lines, ""]))

    def run_config(self, top: str = "", /, **clients: dict[str, str]) -> None:
        """Starts what ``twistd wsx --config`` with this file would."""
        self.write(top, **clients)
        self.service = tap.makeService(parse("--config", str(self.path)))
        self.service.startService()
        self.addCleanup(self.end)
        self.reactor.run()
        self.step()

    def run_open(self, top: str = "", /, **clients: dict[str, str]) -> None:
        """The same, and all clients are connected."""
        self.run_config(top, **clients)
        for name in clients:
            self.open_client(name)

    def end(self) -> None:
        """Stops what runs, as twistd would; all is down after that."""
        stopped = self.service.stopService()
        self.pass_time(30)
        self.successResultOf(stopped)

    def hang_up(self) -> None:
        """SIGHUP, as it comes in a process: in a step of the reactor's own."""
        self.signals[signal.SIGHUP](signal.SIGHUP, None)

    def reread(self, top: str = "", /, **clients: dict[str, str]) -> None:
        """Writes the file anew, sends SIGHUP, and lets follow what needs no time."""
        self.write(top, **clients)
        self.hang_up()
        self.step()

    # The servers

    def last(self, name: str) -> Peer:
        """The last connection of a client."""
        return self.servers[name].peer

    def open_client(self, name: str) -> Peer:
        """Answers the handshake of a client's last connection."""
        peer = self.last(name)
        peer.answer()
        self.step()
        return peer

    def tell(self, name: str, message: str) -> None:
        """Sends a message to a client."""
        self.last(name).send(text(message))
        self.step()

    def part(self, name: str) -> None:
        """Answers a client's close frame, and ends TCP."""
        self.last(name).send(close(1000))
        self.last(name).drop()
        self.step()

    def crash_client(self, name: str) -> None:
        """Lets a client's handler raise."""
        self.tell(name, "crash")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.part(name)

    def attempts(self, *names: str) -> list[int]:
        """How often each client tried to connect."""
        return [self.servers[name].attempts for name in names]

    def called(self, name: str) -> list[str]:
        """The names of a client's callbacks so far."""
        return [callback for callback, _ in Member.calls[name]]

    @contextlib.contextmanager
    def untouched(self, *names: str) -> Iterator[None]:
        """Nothing happens to these: the same open connection, nothing sent, no callback."""
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

    # The log

    def lines(self, level: Any = LogLevel.info) -> list[str]:
        """What was logged at this level or above, and takes it from the list."""
        chosen = [
            formatEvent(event)
            for event in self.logged
            if event.get("log_namespace", "").startswith("wsx") and event["log_level"] >= level
        ]
        self.logged.clear()
        return chosen

    def assert_one_line(self, *parts: str) -> str:
        """One line was logged, with these parts; gives it."""
        lines = self.lines()
        self.assertEqual(len(lines), 1, lines)
        self.assertEqual(len(lines[0].splitlines()), 1, lines)
        for part in parts:
            self.assertIn(part, lines[0])
        return lines[0]

    def assert_goes_on(self) -> None:
        """twistd runs."""
        self.assertEqual((self.reactor.stops, self.exits), (0, []))

    def assert_over(self, normally: bool) -> None:
        """twistd was stopped, once, and will exit with the status it should have."""
        self.assertEqual((self.reactor.stops, len(self.exits)), (1, 0 if normally else 1))


class TreeTests(ConfigRunCase):
    """A tree of clients, before any SIGHUP."""

    def test_all_run(self) -> None:
        """[S11] Each client connects with its name, its state and its headers."""
        self.run_open(
            feed={"state": '{ n = "a" }', "extra_headers": '{ X-Token = "1" }'},
            orders={"state": "{ n = 2 }", "subprotocols": '["x"]'},
        )
        self.assertEqual(Member.calls["feed"], [("handle_connect", {"n": "a"})])
        self.assertEqual(Member.calls["orders"], [("handle_connect", {"n": 2})])
        for name in ("feed", "orders"):
            client = wsx.whereis(name)
            assert client is not None
            self.assertEqual((client.name, client.status), (name, "open"))
        self.assert_goes_on()

    def test_request(self) -> None:
        """[S15] Headers and subprotocols of a table are in the request."""
        self.run_config(
            feed={"extra_headers": '[["X-A", "1"], ["X-B", "2"]]', "subprotocols": '["x", "y"]'}
        )
        headers = self.last("feed").request[1]
        self.assertEqual((headers["x-a"], headers["x-b"]), ("1", "2"))
        self.assertEqual(headers["sec-websocket-protocol"].replace(" ", ""), "x,y")

    def test_odd_names_run(self) -> None:
        """[S11] Clients of odd names are started like others."""
        for number, name in enumerate(("a.b", "two words", "\u043a\u043b\u044e\u0447", "{x}")):
            self.path.write_text(
                f'[clients."{name}"]\nurl = "ws://a.test"\nhandler = "{HERE}.Member"\n'
                f'endpoint = "memory:{number}"\n'
            )
            service: Any = tap.makeService(parse("--config", str(self.path)))
            service.startService()
            self.reactor.running = True
            self.step()
            with case(name):
                self.assertIsNot(wsx.whereis(name), None)
            service.stopService()
            self.pass_time(10)

    def test_servers_that_are_down(self) -> None:
        """[D4] A run comes up while servers are down, and connects when they are up."""
        self.servers["feed"].refusal = ConnectionRefusedError()
        self.run_config(feed={}, orders={})
        self.open_client("orders")
        self.assertEqual(self.called("orders"), ["handle_connect"])
        self.servers["feed"].refusal = None
        self.pass_time(2)
        self.open_client("feed")
        self.assertEqual(self.called("feed"), ["handle_connect"])

    def test_state_after_a_restart(self) -> None:
        """[V2] A restarted client has the first state again, whatever was done to its copy."""
        self.run_open(feed={"state": "{ n = 1 }"})
        self.tell("feed", "count")
        self.crash_client("feed")
        self.pass_time(2)
        self.open_client("feed")
        states = [argument for name, argument in Member.calls["feed"] if name == "handle_connect"]
        self.assertEqual(states[-1], {"n": 1})

    def test_one_for_one(self) -> None:
        """By default the end of one client leaves the others alone."""
        self.run_open(a={}, b={}, c={})
        with self.untouched("a", "c"):
            self.crash_client("b")
            self.pass_time(2)
        self.assertEqual(self.attempts("a", "b", "c"), [1, 2, 1])

    def test_one_for_all(self) -> None:
        """With one_for_all all are stopped, and started again."""
        self.run_open('strategy = "one_for_all"', a={}, b={}, c={})
        self.crash_client("b")
        self.assertEqual(self.last("c").received(), [SHUTDOWN])
        self.part("c")
        self.assertEqual(self.last("a").received(), [SHUTDOWN])
        self.part("a")
        self.pass_time(2)
        self.assertEqual(self.attempts("a", "b", "c"), [2, 2, 2])

    def test_rest_for_one(self) -> None:
        """With rest_for_one those after it, in the order of the file."""
        self.run_open('strategy = "rest_for_one"', a={}, b={}, c={})
        with self.untouched("a"):
            self.crash_client("b")
            self.part("c")
            self.pass_time(2)
        self.assertEqual(self.attempts("a", "b", "c"), [1, 2, 2])

    def test_max_restarts(self) -> None:
        """[V3] More than max_restarts, of all clients together: status 1."""
        self.run_open("max_restarts = 1\nmax_seconds = 100", a={}, b={})
        self.crash_client("a")
        self.pass_time(2)
        self.assert_goes_on()
        self.crash_client("b")
        self.part("b")
        self.pass_time(10)
        self.assert_over(normally=False)

    def test_permanent(self) -> None:
        """[V2] A permanent client is started again after a normal end, others are not."""
        self.run_open(a={"restart": '"permanent"'}, b={})
        for name in ("a", "b"):
            self.tell(name, "bye")
            self.part(name)
        self.pass_time(5)
        self.assertEqual(self.attempts("a", "b"), [2, 1])
        self.assert_goes_on()

    def test_shutdown(self) -> None:
        """[V4] A client is cut off after its shutdown."""
        self.run_open(a={"shutdown": "2", "close_timeout": "20"})
        stopped = self.service.stopService()
        self.pass_time(1)
        self.assertNoResult(stopped)
        self.pass_time(2)
        self.successResultOf(stopped)
        self.assertEqual(self.called("a")[-1], "terminate")

    def test_ends_with_the_last(self) -> None:
        """The run ends when all clients have ended for good; normal ends are status 0."""
        self.run_open(a={}, b={})
        self.tell("a", "bye")
        self.part("a")
        self.assert_goes_on()
        self.tell("b", "bye")
        self.part("b")
        self.assert_over(normally=True)

    def test_ends_abnormally(self) -> None:
        """One abnormal end among them is status 1."""
        self.run_open(a={"restart": '"temporary"'}, b={})
        self.crash_client("a")
        self.assert_goes_on()
        self.tell("b", "bye")
        self.part("b")
        self.assert_over(normally=False)

    def test_signals(self) -> None:
        """[V4] SIGTERM: close frame 1001 to each, terminate, status 0."""
        self.run_open(a={}, b={})
        self.assertEqual(set(self.signals), {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        self.signals[signal.SIGTERM](signal.SIGTERM, None)
        self.step()
        self.assertEqual(self.reactor.stops, 1)
        stopped = self.service.stopService()
        for name in ("b", "a"):
            self.assertEqual(self.last(name).received(), [SHUTDOWN])
            self.part(name)
            self.assertEqual(Member.calls[name][-1], ("terminate", wsx.Shutdown("")))
        self.successResultOf(stopped)
        self.assertEqual(self.exits, [])

    def test_sighup_of_one_client(self) -> None:
        """Without --config SIGHUP is left alone."""
        self.run_service()
        self.assertNotIn(signal.SIGHUP, self.signals)


class RereadTests(ConfigRunCase):
    """SIGHUP: what is new, gone, changed and untouched."""

    def test_in_a_step_of_its_own(self) -> None:
        """The file is not read inside the signal's handler."""
        self.run_open(a={})
        self.write(a={}, b={})
        self.hang_up()
        self.assertEqual(self.attempts("b"), [0])
        self.step()
        self.assertEqual(self.attempts("b"), [1])

    def test_nothing_changed(self) -> None:
        """A file that says the same leaves every connection as it is; one line says so."""
        self.run_open(a={}, b={"state": "{ n = [1, 2.5, 2026-01-02] }"})
        self.lines()
        with self.untouched("a", "b"):
            self.reread(a={}, b={"state": "{ n = [1, 2.5, 2026-01-02] }"})
        self.assert_one_line(str(self.path), "reread")

    def test_other_words(self) -> None:
        """Nor do remarks, another order of keys, and other ways to write the same."""
        self.run_open(a={"extra_headers": '{ A = "1", B = "2" }', "ping_timeout": "7"})
        _, *keys = self.path.read_text().strip().split("\n")[1:]
        with self.untouched("a"):
            self.path.write_text("\n".join(["# a remark", "[clients.'a']", *reversed(keys), ""]))
            self.hang_up()
            self.step()

    def test_a_number_that_is_none(self) -> None:
        """Nor does a nan in the state, which equals nothing, not even itself."""
        self.run_open(a={"state": "{ limit = nan }"})
        with self.untouched("a"):
            self.reread(a={"state": "{ limit = nan }"})

    def test_new(self) -> None:
        """A new client is started; the others are untouched."""
        self.run_open(a={})
        with self.untouched("a"):
            self.reread(a={}, b={"state": "{ n = 1 }"})
            self.open_client("b")
        self.assertEqual(Member.calls["b"], [("handle_connect", {"n": 1})])
        self.assert_goes_on()

    def test_removed(self) -> None:
        """One that is gone is stopped: close frame 1001, terminate, and no attempt after that."""
        self.run_open(a={}, b={})
        with self.untouched("a"):
            self.reread(a={})
            self.assertEqual(self.last("b").received(), [SHUTDOWN])
            self.part("b")
        self.assertEqual(Member.calls["b"][-1], ("terminate", wsx.Shutdown("")))
        self.pass_time(100)
        self.assertEqual(self.attempts("b"), [1])
        self.assertIs(wsx.whereis("b"), None)
        self.assert_goes_on()

    def test_changed(self) -> None:
        """A changed one is stopped first, then started anew with its first state."""
        self.run_open(a={}, b={"state": "{ n = 1 }"})
        self.tell("b", "count")
        with self.untouched("a"):
            self.reread(a={}, b={"state": "{ n = 1 }", "close_timeout": "3"})
            self.assertEqual(self.last("b").received(), [SHUTDOWN])
            self.assertEqual(self.attempts("b"), [1])
            self.part("b")
            self.open_client("b")
        self.assertEqual(self.called("b")[-2:], ["terminate", "handle_connect"])
        self.assertEqual(Member.calls["b"][-1], ("handle_connect", {"n": 1}))
        self.assertEqual(self.attempts("b"), [2])

    def test_every_kind_of_change(self) -> None:
        """Each key counts: one that is there, is not, or has another value."""
        first = {"ping_interval": "20", "debug": '["log"]'}
        for change in (
            {"url": '"ws://other.test"'},
            {"handler": f'"{HERE}.Fragile"'},
            {"state": "{ n = 1 }"},
            {"ping_interval": "21"},
            {"ping_interval": "false"},
            {"debug": ""},
            {"restart": '"permanent"'},
            {"shutdown": "6"},
            {"extra_headers": '{ A = "1" }'},
            {"reconnect": "{ initial = 3 }"},
            {"reconnect": "false"},
        ):
            with case(change):
                self.setUp_again()
                self.run_open(a=first)
                self.reread(a=first | change)
                self.assertEqual(self.last("a").received(), [SHUTDOWN])
                self.part("a")
                self.assertEqual(self.attempts("a"), [2])
                self.end()

    def setUp_again(self) -> None:
        """Begins anew, within one test."""
        self.servers.clear()
        self.reactor.running = False
        self.reactor._hooks.clear()

    def test_changed_type(self) -> None:
        """1, 1.0 and true are three values."""
        values = ("1", "1.0", "true")
        for before in values:
            for after in values:
                with case((before, after)):
                    self.setUp_again()
                    self.run_open(a={"state": f"{{ n = {before} }}"})
                    self.reread(a={"state": f"{{ n = {after} }}"})
                    frames = self.last("a").received()
                    self.assertEqual(frames, [] if before == after else [SHUTDOWN])
                    self.end()

    def test_all_at_once(self) -> None:
        """New, gone, changed and untouched ones in one file; one line counts them."""
        self.run_open(a={}, b={}, c={})
        self.lines()
        with self.untouched("a"):
            self.reread(a={}, b={"ping_timeout": "3"}, d={})
            for name in ("c", "b"):
                self.part(name)
        self.assertEqual(self.attempts("a", "b", "c", "d"), [1, 2, 1, 1])
        lines = [line for line in self.lines() if "reread" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("1 new, 1 gone, 1 changed, 1 kept", lines[0])

    def test_all_replaced(self) -> None:
        """No client of before needs to be there after; the run goes on."""
        self.run_open(a={}, b={})
        self.reread(c={})
        for name in ("b", "a"):
            self.part(name)
        self.open_client("c")
        self.assertEqual(self.called("c"), ["handle_connect"])
        self.assert_goes_on()

    def test_renamed(self) -> None:
        """A table of another name is another client."""
        self.run_open(a={})
        self.reread(b={"endpoint": '"memory:a"'})
        self.part("a")
        self.assertIs(wsx.whereis("a"), None)
        self.assertIsNot(wsx.whereis("b"), None)

    def test_back_again(self) -> None:
        """What was removed can come back."""
        self.run_open(a={}, b={})
        self.reread(a={})
        self.part("b")
        self.reread(a={}, b={})
        self.open_client("b")
        self.assertEqual(self.attempts("a", "b"), [1, 2])
        self.assertEqual(self.called("b"), ["handle_connect", "terminate", "handle_connect"])

    def test_many_times(self) -> None:
        """Nothing piles up over many of them."""
        self.run_open(a={}, b={})
        supervisor = list(self.service)[-1]
        for number in range(20):
            with self.untouched("a"):
                self.reread(a={}, b={"state": f"{{ n = {number} }}"})
                self.part("b")
                self.open_client("b")
        self.assertEqual(len(supervisor.which_children()), 2)
        self.assertEqual(self.attempts("a", "b"), [1, 21])

    def test_stubborn_peer(self) -> None:
        """A peer that does not answer the close frame does not hold the others up for ever."""
        self.run_open(a={}, b={})
        self.reread(a={}, c={})
        self.pass_time(6)
        self.assertEqual(self.attempts("a", "b", "c"), [1, 1, 1])
        self.assertEqual(self.called("b")[-1], "terminate")

    def test_new_order(self) -> None:
        """Another order replaces nobody, and counts from then on: for rest_for_one..."""
        rest = 'strategy = "rest_for_one"'
        self.run_open(rest, a={}, b={}, c={})
        with self.untouched("a", "b", "c"):
            self.reread(rest, c={}, a={}, b={})
        with self.untouched("c"):
            self.crash_client("a")
            self.part("b")
            self.pass_time(2)
        self.assertEqual(self.attempts("a", "b", "c"), [2, 2, 1])

    def test_order_of_stopping(self) -> None:
        """...and for the end, which is in reverse."""
        self.run_open(a={}, b={})
        self.reread(b={}, c={}, a={})
        self.open_client("c")
        stopped = self.service.stopService()
        for name in ("a", "c", "b"):
            self.assertEqual(self.last(name).received(), [SHUTDOWN], name)
            self.part(name)
        self.successResultOf(stopped)

    def test_new_strategy(self) -> None:
        """Another strategy touches no connection, and counts from then on."""
        self.run_open(a={}, b={})
        with self.untouched("a", "b"):
            self.reread('strategy = "one_for_all"', a={}, b={})
        self.crash_client("b")
        self.part("a")
        self.pass_time(2)
        self.assertEqual(self.attempts("a", "b"), [2, 2])

    def test_new_limits(self) -> None:
        """[V3] So do max_restarts and max_seconds."""
        self.run_open("max_restarts = 0", a={}, b={})
        with self.untouched("a", "b"):
            self.reread("max_restarts = 1\nmax_seconds = 100", a={}, b={})
        self.crash_client("b")
        self.pass_time(2)
        self.assert_goes_on()
        self.open_client("b")
        self.crash_client("b")
        self.part("a")
        self.assert_over(normally=False)

    def test_restarts_so_far(self) -> None:
        """[V3] Restarts before a SIGHUP that leaves the limits alone still count."""
        limits = "max_restarts = 1\nmax_seconds = 100"
        self.run_open(limits, a={}, b={})
        self.crash_client("b")
        self.pass_time(2)
        self.open_client("b")
        self.reread(limits, a={}, b={})
        self.crash_client("b")
        self.part("a")
        self.assert_over(normally=False)


class WrongFileTests(ConfigRunCase):
    """SIGHUP with a wrong file: one line in the log, and nothing changes."""

    def assert_not_taken(self, content: str, part: str) -> str:
        """This content is one line in the log, and nothing changes; gives the line."""
        with self.untouched("a", "b"):
            self.lines()
            self.path.write_text(content)
            self.hang_up()
            self.step()
            line = self.assert_one_line(str(self.path), part)
        self.assert_goes_on()
        return line

    def test_wrong_files(self) -> None:
        """Whatever is wrong with it."""
        self.run_open(a={}, b={})
        good = self.path.read_text()
        for content, part in (
            ("", "clients"),
            ("nonsense", "TOML"),
            ("[clients]\n", "clients"),
            ("strategy = 'often'\n" + good, "strategy"),
            (good + "ulr = 1\n", "clients.b.ulr"),
            (good + "ping_interval = -1\n", "clients.b.ping_interval"),
            (good + '[clients.c]\nurl = "ws://c.test"\n', "clients.c.handler"),
            (good + f'[clients.c]\nurl = "x"\nhandler = "{HERE}.Member"\n', "clients.c.url"),
            (good + "[clients.a]\n", "TOML"),
        ):
            with case(content):
                self.assert_not_taken(content, part)
        self.assertEqual(self.attempts("c"), [0])

    def test_no_file(self) -> None:
        """Nor one that is gone, or is a directory now."""
        self.run_open(a={}, b={})
        with self.untouched("a", "b"):
            self.path.unlink()
            self.lines()
            self.hang_up()
            self.step()
            self.assert_one_line(str(self.path), "No such file")
            self.path.mkdir()
            self.hang_up()
            self.step()
            self.assert_one_line(str(self.path), "directory")

    def test_beyond_the_parser(self) -> None:
        """Nor what the parser itself fails at."""
        self.run_open(a={}, b={})
        good = self.path.read_text()
        for value in ("[" * 5000 + "]" * 5000, "1" * 5000):
            with case(value[:5]):
                self.assert_not_taken(f"max_restarts = {value}\n{good}", "TOML")

    def test_names_of_two_lines(self) -> None:
        """One line is one line also where a key has two."""
        self.run_open(a={}, b={})
        good = self.path.read_text()
        self.assert_not_taken(good + '"two\\nlines" = 1\n', "two")

    def test_binary(self) -> None:
        """Nor binary rubbish."""
        self.run_open(a={}, b={})
        with self.untouched("a", "b"):
            self.path.write_bytes(b"\xff\xfe\0")
            self.lines()
            self.hang_up()
            self.step()
            self.assert_one_line("TOML")

    def test_secrets(self) -> None:
        """No password is in the log."""
        self.run_open(a={}, b={})
        good = self.path.read_text()
        self.assert_not_taken(
            good.replace("ws://b.test", "ws://u:s3cr3t@b.test:x"), "clients.b.url"
        )
        self.assertNotIn("s3cr3t", " ".join(map(str, self.logged)))

    def test_all_removed(self) -> None:
        """Nor a file without clients: to stop all there is SIGTERM."""
        self.run_open(a={}, b={})
        self.assert_not_taken('strategy = "one_for_all"\n', "clients")

    def test_next_good_one(self) -> None:
        """After it the next good file is taken."""
        self.run_open(a={}, b={})
        self.assert_not_taken("nonsense", "TOML")
        with self.untouched("a"):
            self.reread(a={}, c={})
            self.part("b")
        self.assertEqual(self.attempts("a", "b", "c"), [1, 1, 1])

    def test_the_same_again(self) -> None:
        """After it the file of before replaces nobody."""
        self.run_open(a={}, b={})
        good = self.path.read_text()
        self.assert_not_taken("nonsense", "TOML")
        with self.untouched("a", "b"):
            self.path.write_text(good)
            self.hang_up()
            self.step()

    def test_no_log_file(self) -> None:
        """A wrong file makes no file to log to."""
        self.run_open(a={}, b={})
        good = self.path.read_text()
        wrong = 'debug = [["log_to_file", "events.log"]]\n[clients.c]\nurl = "x"\n'
        self.assert_not_taken(good + wrong, "clients.c")
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["clients.toml"])

    def test_constructor_that_raises(self) -> None:
        """A new client whose handler cannot be made is one line; the next SIGHUP tries again."""
        self.run_open(a={})
        fragile = {"handler": f'"{HERE}.Fragile"'}
        Fragile.broken = True
        with self.untouched("a"):
            self.lines()
            self.reread(a={}, b=fragile)
            lines = self.lines(LogLevel.error)
            self.assertEqual(len(lines), 1, lines)
            self.assertIn("'b'", lines[0])
            self.assertIn("no database", lines[0])
            self.assertEqual(self.attempts("b"), [0])
            self.reread(a={}, b=fragile)
            self.assertEqual(len(self.lines(LogLevel.error)), 1)
            Fragile.broken = False
            self.reread(a={}, b=fragile)
            self.assertEqual(self.attempts("b"), [1])
        self.assert_goes_on()

    def test_constructor_of_a_changed_one(self) -> None:
        """The same of a changed client: the others, and those after it, come up."""
        fragile = {"handler": f'"{HERE}.Fragile"'}
        self.run_open(a={}, b=fragile)
        Fragile.broken = True
        with self.untouched("a"):
            self.reread(a={}, b=fragile | {"state": "{ n = 1 }"}, c={})
            self.part("b")
            self.assertEqual(self.attempts("a", "b", "c"), [1, 1, 1])
            Fragile.broken = False
            self.reread(a={}, b=fragile | {"state": "{ n = 1 }"}, c={})
            self.open_client("b")
        self.assertEqual(Member.calls["b"][-1], ("handle_connect", {"n": 1}))
        self.assertEqual(self.attempts("a", "b", "c"), [1, 2, 1])


class TimingTests(ConfigRunCase):
    """SIGHUP at odd moments."""

    def test_twice_at_once(self) -> None:
        """Two in one step: what the file says last is what runs."""
        self.run_open(a={})
        self.write(a={}, b={})
        self.hang_up()
        self.hang_up()
        self.step()
        self.assertEqual(self.attempts("a", "b"), [1, 1])

    def test_twice_with_two_files(self) -> None:
        """Two with a file each, before anything could follow."""
        self.run_open(a={})
        self.write(a={}, b={})
        self.hang_up()
        self.write(a={}, c={})
        self.hang_up()
        self.step()
        for peer in self.servers["b"].peers:
            peer.send(close(1001))
            peer.drop()
        self.step()
        names = sorted(name for name in "abc" if wsx.whereis(name) is not None)
        self.assertEqual(names, ["a", "c"])

    def test_while_a_removed_one_closes(self) -> None:
        """One that comes while a removed client takes long to close is seen to after it."""
        self.run_open(a={}, b={})
        with self.untouched("a"):
            self.reread(a={})
            self.pass_time(1)
            self.reread(a={}, b={}, c={})
            self.pass_time(1)
            self.reread(a={}, b={}, d={})
            self.part("b")
            self.pass_time(1)
        self.assertEqual(self.attempts("a", "b", "d"), [1, 2, 1])
        self.assertIs(wsx.whereis("c"), None)

    def test_wrong_while_a_removed_one_closes(self) -> None:
        """If that one is wrong, the one before is what counts."""
        self.run_open(a={}, b={})
        with self.untouched("a"):
            self.reread(a={}, c={})
            self.lines()
            self.path.write_text("nonsense")
            self.hang_up()
            self.part("b")
            self.pass_time(1)
        self.assertEqual(self.attempts("a", "b", "c"), [1, 1, 1])
        self.assertEqual(len(self.lines(LogLevel.error)), 1)

    def test_others_end_meanwhile(self) -> None:
        """The run does not end while a changed client is between its old and its new self."""
        self.run_open(a={}, b={})
        self.reread(a={}, b={"state": "{ n = 1 }"})
        self.tell("a", "bye")
        self.part("a")
        self.assert_goes_on()
        self.part("b")
        self.assertEqual(self.attempts("a", "b"), [1, 2])
        self.assert_goes_on()

    def test_others_end_before_a_new_one(self) -> None:
        """Nor while a new client waits for a removed one to be down."""
        self.run_open(a={}, b={})
        self.reread(a={}, c={})
        self.tell("a", "bye")
        self.part("a")
        self.part("b")
        self.assertEqual(self.attempts("c"), [1])
        self.assert_goes_on()

    def test_others_crash_meanwhile(self) -> None:
        """[V2] A client that crashes while another is being replaced is restarted as ever."""
        self.run_open(a={}, b={})
        self.reread(a={}, b={"state": "{ n = 1 }"})
        self.crash_client("a")
        self.part("b")
        self.pass_time(2)
        self.assertEqual(self.attempts("a", "b"), [2, 2])

    def test_connecting(self) -> None:
        """While clients connect: removed and changed ones give up, others go on."""
        for name in "abc":
            self.servers[name].silent = True
        self.run_config(a={}, b={}, c={})
        self.reread(a={}, b={"state": "{ n = 1 }"})
        cancelled = [self.servers[name].cancelled for name in "abc"]
        self.assertEqual(cancelled, [0, 1, 1])
        self.assertEqual(self.attempts("a", "b", "c"), [1, 2, 1])
        self.assert_goes_on()

    def test_handshaking(self) -> None:
        """The same while their servers do not answer the handshake."""
        self.run_config(a={}, b={}, c={})
        self.reread(a={}, b={"state": "{ n = 1 }"})
        self.pass_time(1)
        self.assertEqual(self.attempts("a", "b", "c"), [1, 2, 1])
        self.open_client("a")
        self.open_client("b")
        self.assertEqual([self.called(name)[-1] for name in "ab"], ["handle_connect"] * 2)

    def test_waiting_to_reconnect(self) -> None:
        """While they wait to reconnect: untouched ones go on waiting, changed ones do not."""
        for name in "abc":
            self.servers[name].refusal = ConnectionRefusedError()
        self.run_config(a={}, b={}, c={})
        self.pass_time(1)
        self.reread(a={}, b={"state": "{ n = 1 }"})
        self.assertEqual(self.attempts("a", "b", "c"), [1, 2, 1])
        self.pass_time(1)
        self.assertEqual(self.attempts("a", "b", "c"), [2, 2, 1])
        self.pass_time(10)
        self.assertEqual(self.attempts("c"), [1])

    def test_waiting_for_a_restart(self) -> None:
        """While they wait for a restart's Backoff: likewise."""
        self.run_open("max_restarts = 10", a={}, b={}, c={})
        for name in "abc":
            self.crash_client(name)
        self.pass_time(1)
        self.reread("max_restarts = 10", a={}, b={"state": "{ n = 1 }"})
        self.assertEqual(self.attempts("a", "b", "c"), [1, 2, 1])
        self.open_client("b")
        self.pass_time(1)
        self.assertEqual(self.attempts("a", "b", "c"), [2, 2, 1])
        self.pass_time(10)
        self.assertEqual(self.attempts("b", "c"), [2, 1])
        self.assert_goes_on()

    def test_waiting_together(self) -> None:
        """Of those that wait together for one_for_all a removed one is left out."""
        all_of_them = 'strategy = "one_for_all"'
        self.run_open(all_of_them, a={}, b={}, c={})
        self.crash_client("a")
        for name in "cb":
            self.part(name)
        self.reread(all_of_them, a={}, b={})
        self.pass_time(3)
        self.assertEqual(self.attempts("a", "b", "c"), [2, 2, 1])

    def test_while_siblings_stop(self) -> None:
        """While one_for_all stops the others, also one that is temporary and leaves by that."""
        all_of_them = 'strategy = "one_for_all"'
        temporary = {"restart": '"temporary"'}
        self.run_open(all_of_them, a={}, b=temporary, c={})
        self.crash_client("a")
        self.reread(all_of_them, a={}, c={}, d={})
        for name in "cb":
            self.part(name)
        self.pass_time(3)
        self.assertEqual(self.attempts("a", "b", "c", "d"), [2, 1, 2, 1])

    def test_ended_for_good(self) -> None:
        """One that has ended for good stays so, unless it is changed: then it is started."""
        self.run_open(a={}, b={}, c={})
        for name in "bc":
            self.tell(name, "bye")
            self.part(name)
        with self.untouched("a"):
            self.reread(a={}, b={}, c={"state": "{ n = 1 }"})
            self.open_client("c")
            self.pass_time(10)
        self.assertEqual(self.attempts("a", "b", "c"), [1, 1, 2])

    def test_temporary_that_ended(self) -> None:
        """[V2] The same of temporary ones, which are not listed any more."""
        temporary = {"restart": '"temporary"'}
        self.run_open(a={}, b=temporary, c=temporary, d=temporary)
        for name in "bcd":
            self.tell(name, "bye")
            self.part(name)
        with self.untouched("a"):
            self.reread(a={}, b=temporary, c=temporary | {"state": "{ n = 1 }"})
            self.open_client("c")
            self.pass_time(10)
        self.assertEqual(self.attempts("a", "b", "c", "d"), [1, 1, 2, 1])

    def test_removed_after_its_end(self) -> None:
        """One that has ended for good can be removed, and come back."""
        self.run_open(a={}, b={})
        self.tell("b", "bye")
        self.part("b")
        with self.untouched("a"):
            self.reread(a={})
            self.reread(a={}, b={})
        self.assertEqual(self.attempts("b"), [2])
        self.assert_goes_on()

    def test_synchronous_start(self) -> None:
        """[S8] A new client that is to be connected at once, and is not, does not block SIGHUP."""
        self.servers["b"].refusal = ConnectionRefusedError()
        synchronous = {"async_": "false"}
        self.run_open(a={})
        with self.untouched("a"):
            self.reread(a={}, b=synchronous, c={})
            self.pass_time(5)
            self.reread(a={}, d={})
            self.pass_time(1)
        self.assertIs(wsx.whereis("b"), None)
        self.assertEqual(self.attempts("d"), [1])

    def test_synchronous_start_that_fails(self) -> None:
        """[S8] One whose start fails is one line in the log; the others go on."""
        self.servers["b"].refusal = ConnectionRefusedError()
        failing = {"async_": "false", "handle_initial_conn_failure": "false", "reconnect": "false"}
        self.run_open(a={})
        self.lines()
        with self.untouched("a"):
            self.reread(a={}, b=failing, c={})
        lines = self.lines(LogLevel.error)
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("'b'", lines[0])
        self.assertEqual(self.attempts("a", "b", "c"), [1, 1, 1])
        self.servers["b"].refusal = None
        self.reread(a={}, b=failing, c={})
        self.assertEqual(self.attempts("b"), [2])

    def test_before_all_are_up(self) -> None:
        """[S8] Nor does a client that is waited for at the start of the run."""
        self.servers["a"].refusal = ConnectionRefusedError()
        self.run_config(a={"async_": "false"}, b={})
        self.pass_time(3)
        self.assertEqual(self.attempts("b"), [0])
        self.reread(b={})
        self.pass_time(1)
        self.assertEqual(self.attempts("b"), [1])
        self.assertIs(wsx.whereis("a"), None)
        self.assert_goes_on()


class EndTests(ConfigRunCase):
    """How a run ends after, and during, a SIGHUP."""

    def test_last_end(self) -> None:
        """The run ends when the last client has ended for good, new ones included."""
        self.run_open(a={})
        self.reread(a={}, b={})
        self.open_client("b")
        self.tell("a", "bye")
        self.part("a")
        self.assert_goes_on()
        self.tell("b", "bye")
        self.part("b")
        self.assert_over(normally=True)

    def test_only_new_ones(self) -> None:
        """The same where no client of the first file is left."""
        self.run_open(a={})
        self.reread(b={})
        self.part("a")
        self.open_client("b")
        self.assert_goes_on()
        self.tell("b", "bye")
        self.part("b")
        self.assert_over(normally=True)

    def test_abnormal_end(self) -> None:
        """An abnormal end of a new client is status 1."""
        self.run_open(a={})
        self.reread(b={"restart": '"temporary"'})
        self.part("a")
        self.open_client("b")
        self.crash_client("b")
        self.assert_over(normally=False)

    def test_last_one_is_removed(self) -> None:
        """Where all that a file leaves have ended for good, the run ends with it."""
        self.run_open(a={}, b={})
        self.tell("a", "bye")
        self.part("a")
        self.reread(a={})
        self.part("b")
        self.pass_time(1)
        self.assert_over(normally=True)

    def test_stopping_is_no_end_for_good(self) -> None:
        """A removed client's stop is no abnormal end of the run."""
        self.run_open(a={}, b={})
        self.reread(a={})
        self.pass_time(10)
        self.tell("a", "bye")
        self.part("a")
        self.assert_over(normally=True)

    def terminate(self) -> Deferred[Any]:
        """SIGTERM, and what twistd does then."""
        self.signals[signal.SIGTERM](signal.SIGTERM, None)
        self.step()
        self.assertEqual(self.reactor.stops, 1)
        stopped: Deferred[Any] = self.service.stopService()
        self.step()
        return stopped

    def assert_terminates(self, names: str) -> None:
        """SIGTERM ends the run once these peers have parted, without an error, status 0."""
        stopped = self.terminate()
        for name in names:
            self.part(name)
        self.pass_time(1)
        self.successResultOf(stopped)
        self.assertEqual(self.lines(LogLevel.error), [])
        self.assertEqual(self.exits, [])

    def test_sigterm_during_a_reread(self) -> None:
        """[V4] SIGTERM while a removed client closes: all close, status 0, and no error is logged.

        What the file has new is not started any more.
        """
        self.run_open(a={}, b={})
        self.reread(a={}, c={})
        self.lines()
        self.assert_terminates("ba")
        self.assertEqual(self.attempts("a", "b", "c"), [1, 1, 0])
        for name in "ab":
            self.assertEqual(Member.calls[name][-1], ("terminate", wsx.Shutdown("")))

    def test_sigterm_with_two_to_remove(self) -> None:
        """[V4] The same where another one was still to be removed."""
        self.run_open(a={}, b={}, c={})
        self.reread(a={})
        self.lines()
        self.assert_terminates("cba")

    def test_sigterm_with_another_one_asked_for(self) -> None:
        """[V4] The same where a second SIGHUP came."""
        self.run_open(a={}, b={})
        self.reread(a={})
        self.hang_up()
        self.lines()
        self.assert_terminates("ba")

    def test_sighup_after_sigterm(self) -> None:
        """SIGHUP after SIGTERM starts nothing, and is no error."""
        self.run_open(a={}, b={})
        stopped = self.terminate()
        self.lines()
        self.reread(a={}, c={})
        for name in "ba":
            self.part(name)
        self.pass_time(10)
        self.successResultOf(stopped)
        self.assertEqual(self.lines(LogLevel.error), [])
        self.assertEqual(self.attempts("c"), [0])

    def test_sighup_after_the_end(self) -> None:
        """Nor after the run has ended by itself."""
        self.run_open(a={})
        self.tell("a", "bye")
        self.part("a")
        self.assert_over(normally=True)
        self.lines()
        self.reread(a={}, c={})
        self.pass_time(1)
        self.assertEqual(self.lines(LogLevel.error), [])
        self.assertEqual(self.attempts("c"), [0])
        self.assert_over(normally=True)

    def test_giving_up_during_a_reread(self) -> None:
        """[V3] Too many restarts while a removed client closes: status 1."""
        self.run_open("max_restarts = 0", a={}, b={})
        self.reread("max_restarts = 0", a={}, c={})
        self.crash_client("a")
        self.part("b")
        self.pass_time(10)
        self.assert_over(normally=False)
        self.assertEqual(self.attempts("c"), [0])


# Real processes


PATIENT = '[clients.{name}]\nurl = "{url}"\nhandler = "probe.Probe"\nstate = "{state}"\n'


class ConfigProcessTests(TwistdCase):
    """twistd itself, with a file."""

    timeout = 60

    def config(self, *clients: str) -> None:
        """Writes the file."""
        (self.directory / "clients.toml").write_text("".join(clients))

    async def test_sighup(self) -> None:
        """[V4] A changed client is replaced, a new one started, one is untouched; SIGTERM: 0."""
        first, second = self.serve(WebsocketsServer), self.serve(AiohttpServer)
        kept = PATIENT.format(name="kept", url=first.url(), state="kept")
        self.config(kept, PATIENT.format(name="other", url=second.url(), state="one"))
        process = self.twistd("--config", "clients.toml")
        await process.says("probe connected with kept")
        await process.says("probe connected with one")
        self.config(
            kept,
            PATIENT.format(name="other", url=second.url(), state="two"),
            PATIENT.format(name="new", url=second.url(), state="new"),
        )
        process.transport.signalProcess("HUP")
        await process.says("probe connected with two")
        await process.says("probe connected with new")
        await process.says("clients.toml was reread")
        self.assertEqual(await second.closes.get(), 1001)
        self.config("nonsense")
        process.transport.signalProcess("HUP")
        await process.says("clients.toml is not taken")
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)
        self.assertEqual(await first.closes.get(), 1001)
        self.assertEqual([await second.closes.get() for _ in range(2)], [1001, 1001])
        self.assertEqual(process.output.count("probe connected with kept"), 1)
        self.assertEqual(process.output.count("probe connected"), 4)
        self.assertEqual(process.output.count("probe terminated with Shutdown"), 4)
        self.assertEqual(process.errors, "")
        self.assertNotIn("Traceback", process.output)

    async def test_wrong_file(self) -> None:
        """A wrong file is one line on standard error and status 1; nothing is started."""
        server = self.serve()
        url = server.url()
        good = PATIENT.format(name="good", url=url, state="good")
        self.config(good, PATIENT.format(name="bad", url=url, state="bad"), "ping_interval = -1\n")
        process = self.twistd("--config", "clients.toml")
        self.assertEqual(await process.ended(), 1)
        self.assertEqual(process.output, "probe is cleaned up\n")  # by the handler's module
        self.assertRegex(
            process.errors,
            r"\Atwistd wsx: /[^\n]*/clients\.toml: clients\.bad\.ping_interval: [^\n]+\n\Z",
        )

    async def test_all_end(self) -> None:
        """When all have ended for good twistd ends, with the status of the worst."""
        server = self.serve()
        talker = PATIENT.replace("probe.Probe", "probe.Talker")
        crasher = PATIENT.replace("probe.Probe", "probe.Crasher") + 'restart = "temporary"\n'
        talkers = [talker.format(name=name, url=server.url(), state=name) for name in "ab"]
        self.config(*talkers)
        normal = self.twistd("--config", "clients.toml")
        self.assertEqual(await normal.ended(), 0)
        self.config(*talkers, crasher.format(name="c", url=server.url(), state="c"))
        abnormal = self.twistd("--config", "clients.toml")
        self.assertEqual(await abnormal.ended(), 1)

    async def test_daemon(self) -> None:
        """A daemon that works in another directory finds its file, and what that names, again."""
        server = self.serve()
        os.mkdir(self.directory / "run")
        one = PATIENT.format(name="one", url=server.url(), state="one")
        self.config(one, 'debug = [["log_to_file", "events.log"]]\n')
        process = self.run_twistd(
            *("-n", "--pidfile=", "--rundir=run", "wsx", "--config", "clients.toml")
        )
        await process.says("probe connected with one")
        self.config(PATIENT.format(name="two", url=server.url(), state="two"))
        process.transport.signalProcess("HUP")
        await process.says("probe connected with two")
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)
        self.assertTrue((self.directory / "events.log").exists())
        self.assertEqual(os.listdir(self.directory / "run"), [])


class MetricsProcessTests(TwistdCase):
    """twistd itself, with --metrics."""

    timeout = 60

    async def get(self, port: int, path: str) -> tuple[int, str]:
        """Asks by HTTP; gives status and body."""
        agent: Any = Agent(global_reactor())
        response = await agent.request(b"GET", f"http://{HOST}:{port}{path}".encode())
        return response.code, (await readBody(response)).decode()

    async def test_served(self) -> None:
        """The metrics of the file's clients are at /metrics, also after a SIGHUP."""
        server = self.serve()
        port = self.unused_port()
        config = self.directory / "clients.toml"
        config.write_text(PATIENT.format(name="one", url=server.url(), state="one"))
        process = self.twistd(
            *("--config", "clients.toml", "--metrics", f"tcp:{port}:interface={HOST}")
        )
        await process.says("probe connected with one")
        status, body = await self.get(port, "/metrics")
        self.assertEqual(status, 200)
        self.assertIn('wsx_connections_open{client="one"} 1.0', body)
        with config.open("a") as file:
            file.write(PATIENT.format(name="two", url=server.url(), state="two"))
        process.transport.signalProcess("HUP")
        await process.says("probe connected with two")
        _, body = await self.get(port, "/metrics")
        for name in ("one", "two"):
            self.assertIn(f'wsx_connections_open{{client="{name}"}} 1.0', body)
        status, _ = await self.get(port, "/")
        self.assertEqual(status, 404)
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)
        self.assertEqual(process.errors, "")

    async def test_one_client(self) -> None:
        """The same with --url."""
        server = self.serve()
        port = self.unused_port()
        process = self.twistd(
            *("--url", server.url(), "--handler", "probe.Probe", "--name", "feed"),
            *("--metrics", f"tcp:{port}:interface={HOST}"),
        )
        await process.says("probe connected")
        _, body = await self.get(port, "/metrics")
        self.assertIn('wsx_connections_open{client="feed"} 1.0', body)
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)

    async def test_port_in_use(self) -> None:
        """A port that is in use is one line in the log, and status 1; clients end gracefully."""
        server = self.serve()
        with socket.create_server((HOST, 0)) as taken:
            port = taken.getsockname()[1]
            process = self.twistd(
                *("--url", server.url(), "--handler", "probe.Probe"),
                *("--metrics", f"tcp:{port}:interface={HOST}"),
            )
            self.assertEqual(await process.ended(), 1)
        lines = [line for line in process.output.splitlines() if str(port) in line]
        self.assertEqual(len(lines), 1, process.output)
        self.assertIn("metrics", lines[0])
        self.assertNotIn("Traceback", process.output + process.errors)
        self.assertEqual(process.output.count("probe terminated"), 1)

    async def test_sigterm_while_scraped(self) -> None:
        """A scraper that keeps its connection open does not keep twistd."""
        server = self.serve()
        port = self.unused_port()
        process = self.twistd(
            *("--url", server.url(), "--handler", "probe.Probe"),
            *("--metrics", f"tcp:{port}:interface={HOST}"),
        )
        await process.says("probe connected")
        with socket.create_connection((HOST, port), timeout=10) as scraper:
            scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            process.transport.signalProcess("TERM")
            self.assertEqual(await process.ended(), 0)

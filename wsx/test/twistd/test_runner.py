"""Tests of wsx._twistd.runner: a tree of clients under twistd, its restarts, and its end."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.logger import LogLevel

import wsx
from wsx import tap
from wsx.test.support import case, close
from wsx.test.support.each import each
from wsx.test.support.twistd import parse
from wsx.test.support.twistd_runner import HANDLERS, SHUTDOWN, ConfigRunCase, Member


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
                f'[clients."{name}"]\nurl = "ws://a.test"\nhandler = "{HANDLERS}.Member"\n'
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

    @each([("without a code", None, True), ("1000", 1000, True), ("1001", 1001, False)])
    def test_ends_with_a_close_frame(self, label: str, code: int | None, normally: bool) -> None:
        """A close frame of the server without a code, or with 1000, is a normal end."""
        self.run_open(a={"reconnect": "false"})
        self.last("a").send(close(code))
        self.part("a")
        self.assert_over(normally=normally)

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
        """Without --config SIGHUP is ignored, with one log line, in a step of the reactor's own."""
        self.run_service()
        self.serve()
        self.lines()
        self.signals[signal.SIGHUP](signal.SIGHUP, None)
        self.assertEqual(self.lines(), [])
        self.step()
        self.assertEqual(self.lines(), ["SIGHUP ignored: only a file of --config can be reloaded"])
        self.assert_running(1)


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
        self.assertIn('client "b" ', lines[0])
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

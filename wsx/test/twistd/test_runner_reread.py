"""Tests of rereading the configuration file after SIGHUP."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel

import wsx
from wsx.test.support import case
from wsx.test.support.twistd_runner import HANDLERS, SHUTDOWN, ConfigRunCase, Fragile, Member


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
        self.assert_one_line(f"{self.path} reloaded: ", "2 unchanged")

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
            {"handler": f'"{HANDLERS}.Fragile"'},
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
        lines = [line for line in self.lines() if "reloaded" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("1 started, 1 stopped, 1 replaced, 1 unchanged", lines[0])

    def test_all_replaced(self) -> None:
        """If all clients are replaced, the run goes on."""
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
        """A new order replaces no client. rest_for_one follows it from then on."""
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

    def test_new_connect_limit(self) -> None:
        """A new connection limit applies to all clients, old and new, and touches no connection."""
        self.run_open("connect_limit = { per_host = 9, per_seconds = 100 }", a={}, b={})
        limiter = self.service._tree.limiter
        with self.untouched("a", "b"):
            self.reread("connect_limit = { per_host = 3, per_seconds = 200 }", a={}, b={}, c={})
        self.assertIs(self.service._tree.limiter, limiter)
        self.assertEqual(repr(limiter), "ConnectLimiter(per_host=3, per_seconds=200)")
        self.assertIs(limiter, self.limiter_of("c"))

    def test_no_connect_limit_any_more(self) -> None:
        """Clients are replaced if the connection limit is removed."""
        self.run_open("connect_limit = { per_host = 9, per_seconds = 100 }", a={})
        self.assertIsNotNone(self.limiter_of("a"))
        self.reread(a={})
        self.part("a")
        self.pass_time(2)
        self.assertIsNone(self.limiter_of("a"))

    def limiter_of(self, name: str) -> Any:
        """Return the limiter of a running client."""
        client = wsx.whereis(name)
        assert client is not None
        return client._life._options.connect_limiter

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
            (good + f'[clients.c]\nurl = "x"\nhandler = "{HANDLERS}.Member"\n', "clients.c.url"),
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
        """After a refused file, the previous file again replaces no client."""
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
        fragile = {"handler": f'"{HANDLERS}.Fragile"'}
        Fragile.broken = True
        with self.untouched("a"):
            self.lines()
            self.reread(a={}, b=fragile)
            lines = self.lines(LogLevel.error)
            self.assertEqual(len(lines), 1, lines)
            self.assertIn('client "b" ', lines[0])
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
        fragile = {"handler": f'"{HANDLERS}.Fragile"'}
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

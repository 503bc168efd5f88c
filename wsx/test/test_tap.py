"""Tests of wsx.tap and the twistd plugin: the command line, the service, and real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import IService, IServiceMaker
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.plugin import getPlugins
from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]  # not exported
from twisted.trial.unittest import SynchronousTestCase

import twisted
import twisted.plugins
import wsx
from wsx import tap
from wsx._console.console import Console
from wsx._twistd.demo import DemoHandler
from wsx._version import __version__
from wsx.test.support import URL, text
from wsx.test.support.extras import require
from wsx.test.support.sockets import HOST, SocketCase, global_reactor
from wsx.test.support.twistd import (
    HANDLERS,
    REPOSITORY,
    Feed,
    OptionsCase,
    RunCase,
    Twistd,
    TwistdCase,
    parse,
)

NAME = "wsx.test.test_tap"
VERSION_LINE = f"wsx {__version__} ({'compiled' if wsx.compiled else 'pure Python'})\n"
IN_USE = ["--url", URL]


class WrongOptionsTests(OptionsCase):
    """A wrong option: one clear line, exit status 1, and nothing started."""

    def test_where(self) -> None:
        """[S3] There is one of --url and --demo, and the URL is one."""
        self.assert_refused(
            [
                ([], "--url"),
                (["--state", "1"], "--url"),
                ([*IN_USE, "--demo"], "--demo"),
                (["--url", ""], "URL"),
                (["--url", "ftp://example.test"], "URL"),
                (["--url", "example.test"], "URL"),
                (["--url", "ws://"], "URL"),
                (["--url", "ws://example.test/#part"], "fragment"),
                (["--url", "ws://example.test:99999"], "port"),
                (["--url"], "--url"),
            ]
        )

    def test_doctor(self) -> None:
        """--doctor needs a URL, and allows only the options of a connection."""
        self.assert_refused(
            [
                (["--doctor"], "--url"),
                (["--doctor", "--demo"], "--demo"),
                (["--doctor", *IN_USE, "--handler", "a.B"], "--handler"),
                (["--doctor", *IN_USE, "--log-to-file", "x"], "--log-to-file"),
                (["--doctor", *IN_USE, "--connect-timeout", "0"], "--connect-timeout"),
                ([*IN_USE, "--json"], "--json: expected --doctor as well"),
            ]
        )

    def test_unknown(self) -> None:
        """An unknown option and an argument too many are named."""
        self.assert_refused(
            [([*IN_USE, "--nonsense"], "nonsense"), ([*IN_USE, "surplus"], "surplus")]
        )

    def test_both_ways(self) -> None:
        """--reconnect and --no-reconnect exclude each other."""
        self.assert_refused([([*IN_USE, "--reconnect", "--no-reconnect"], "--no-reconnect")])

    def test_handler_not_importable(self) -> None:
        """A handler that cannot be imported is named, with the cause."""
        self.write("syntax_error.py", "class Feed(:\n")
        self.write("raises.py", "raise ValueError('first\\nsecond')\n")
        self.write("imports.py", "import no_such_module_of_ours\n")
        names = [
            ("no.such.module.Feed", "no.such.module.Feed"),
            (f"{HANDLERS}.NoSuchClass", "NoSuchClass"),
            ("", "--handler"),
            ("..x", "..x"),
            ("syntax_error.Feed", "SyntaxError"),
            ("raises.Feed", "first second"),
            ("imports.Feed", "no_such_module_of_ours"),
        ]
        self.assert_refused([([*IN_USE, "--handler", name], part) for name, part in names])

    def test_handler_module_that_exits(self) -> None:
        """A handler's module that ends the process when imported cannot be imported."""
        self.write("exits.py", "import sys\nsys.exit(0)\n")
        self.assertIn("exits.Feed", self.refusal(*IN_USE, "--handler", "exits.Feed"))

    def test_no_handler(self) -> None:
        """What is no subclass of Handler is no handler."""
        names = [
            f"{HANDLERS}.NoHandler",
            f"{HANDLERS}.parse",
            f"{HANDLERS}.AN_INSTANCE",
            HANDLERS,
            "json.loads",
        ]
        self.assert_refused([([*IN_USE, "--handler", name], name) for name in names])

    def test_handler_with_arguments(self) -> None:
        """A handler that cannot be made without arguments is refused before anything is started."""
        self.assertIn(
            "takes no arguments", self.refusal(*IN_USE, "--handler", f"{HANDLERS}.Demanding")
        )

    def test_handler_without_module(self) -> None:
        """A class alone is not enough."""
        self.assertIn("module.Class", self.refusal(*IN_USE, "--handler", "Feed"))

    def test_state(self) -> None:
        """The state is JSON."""
        for state in ("", "{", "nonsense", "{'a': 1}", "1 2", "[" * 200_000):
            self.assertIn("--state", self.refusal(*IN_USE, "--state", state))

    def test_header(self) -> None:
        """A header has a name and a value that may be sent, and none of the handshake's own."""
        for header in ("X", ": value", "A b: c", "A: b\r\nC: d", "A: \0", "Upgrade: h2c", "A: €"):
            self.assertIn("header", self.refusal(*IN_USE, "--header", header))

    def test_secrets(self) -> None:
        """No password and no header's value is shown."""
        for arguments in (
            ["--url", "ws://user:s3cr3t@example.test:port/"],
            ["--url", "ws://user:s3cr3t@"],
            [*IN_USE, "--proxy", "http://user:s3cr3t@"],
            [*IN_USE, "--header", "Authorization: s3cr3t\0"],
        ):
            self.assertNotIn("s3cr3t", self.refusal(*arguments))

    def test_files(self) -> None:
        """Files that are missing, or are not what they should be, are found out at once."""
        self.write("empty.pem", "")
        pem = [("--cacerts", "missing.pem"), ("--certificate", "missing.pem")]
        for option, path in pem:
            self.assertIn("missing.pem", self.refusal(*IN_USE, option, path))
            self.assertIn("missing.pem", self.refusal("--url", "wss://a.test", option, path))
            self.assertIn("PEM", self.refusal(*IN_USE, option, "empty.pem"))
        self.refusal(*IN_USE, "--private-key", "missing.pem")
        self.assertIn("missing/log", self.refusal(*IN_USE, "--log-to-file", "missing/log"))

    def test_cacerts_of_an_insecure_client(self) -> None:
        """A missing PEM file is found out with --insecure too."""
        self.assertIn("none.pem", self.refusal(*IN_USE, "--insecure", "--cacerts", "none.pem"))

    BAD_NUMBERS: ClassVar[dict[str, list[str]]] = {
        "max-attempts": ["x", "1.5", "-1", ""],
        "ping-interval": ["x", "0", "-1", "nan", "inf", ""],
        "ping-timeout": ["x", "0", "-1", "nan"],
        "data-timeout": ["x", "0", "-1", "nan"],
        "connect-timeout": ["x", "0", "-1", "nan", "inf", "none"],
        "connect-limit": ["x", "300", "0/1", "1/0", "1/x", "1.5/1", "1/2/3", "/", "1/nan"],
        "max-restarts": ["x", "-1", "1.5"],
        "max-seconds": ["x", "0", "-1", "nan"],
    }

    def test_numbers(self) -> None:
        """Numbers are numbers, and in range."""
        for option, values in self.BAD_NUMBERS.items():
            for value in values:
                self.refusal(*IN_USE, f"--{option}", value)

    def test_numbers_are_named(self) -> None:
        """The line says which number is wrong: it is a clear one."""
        for option, values in self.BAD_NUMBERS.items():
            for value in values:
                line = self.refusal(*IN_USE, f"--{option}", value)
                self.assertIn(option, line.replace("_", "-"), f"--{option} {value!r}")

    def test_words(self) -> None:
        """What is chosen from a list is in the list."""
        self.assert_refused(
            [
                ([*IN_USE, "--restart", "often"], "often"),
                ([*IN_USE, "--compression", "zip"], "zip"),
                ([*IN_USE, "--debug", "loud"], "loud"),
                ([*IN_USE, "--debug", "trace,log:0"], "log:0"),
                ([*IN_USE, "--debug", "log:x"], "log:x"),
                ([*IN_USE, "--debug", "trace:1"], "trace:1"),
                ([*IN_USE, "--name", ""], "name"),
                ([*IN_USE, "--subprotocol", "a b"], "a b"),
                ([*IN_USE, "--subprotocol", "a", "--subprotocol", "a"], "subprotocol"),
            ]
        )

    def test_ways(self) -> None:
        """A proxy or an endpoint that cannot be used is refused by name."""
        self.assert_refused(
            [
                ([*IN_USE, "--proxy", "socks5://localhost:1"], "proxy"),
                ([*IN_USE, "--proxy", "http://localhost:1/path"], "proxy"),
                ([*IN_USE, "--endpoint", "nonsense"], "endpoint"),
                ([*IN_USE, "--endpoint", "tcp:localhost:port"], "endpoint"),
            ]
        )

    def test_by_twistd(self) -> None:
        """twistd itself lets the line through."""
        error = self.assertRaises(SystemExit, ServerOptions().parseOptions, ["-n", "wsx"])
        self.assertEqual(error.code, self.refusal())


class OptionsTests(OptionsCase):
    """What the options mean."""

    def test_defaults(self) -> None:
        """Without options the connection has the defaults of Conn."""
        self.assertEqual(parse("--url", URL)["conn"], wsx.Conn(URL))

    def test_conn(self) -> None:
        """[S2][S15][S17] Each option of the connection reaches it."""
        for arguments, changes in (
            (["--header", "A: 1"], {"extra_headers": {"A": "1"}}),
            (["--header", "A:b: c", "--header", "B:"], {"extra_headers": {"A": "b: c", "B": ""}}),
            (["--header", "A: 1", "--header", "A: 2"], {"extra_headers": [("A", "1"), ("A", "2")]}),
            (["--subprotocol", "a", "--subprotocol", "b"], {"subprotocols": ("a", "b")}),
            (["--insecure"], {"insecure": True}),
            (["--proxy", "http://u:p@proxy.test:3128"], {"proxy": "http://u:p@proxy.test:3128"}),
            (["--endpoint", "tcp:localhost:99"], {"endpoint": "tcp:localhost:99"}),
            (["--compression", "deflate"], {"compression": "deflate"}),
            (["--ping-interval", "1.5"], {"ping_interval": 1.5}),
            (["--ping-interval", "none"], {"ping_interval": None}),
            (["--ping-timeout", "3"], {"ping_timeout": 3.0}),
            (["--ping-timeout", "none"], {"ping_timeout": None}),
            (["--data-timeout", "60"], {"data_timeout": 60.0}),
            (["--connect-timeout", "2"], {"socket_connect_timeout": 2.0}),
        ):  # fmt: skip
            self.assertEqual(parse(*IN_USE, *arguments)["conn"], wsx.Conn(URL, **changes))

    def test_connect_limit(self) -> None:
        """--connect-limit limits the connection attempts; there is no limit by default."""
        for arguments, limiter in (
            (["--connect-limit", "300/60"], "ConnectLimiter(per_host=300, per_seconds=60)"),
            ([], "None"),
        ):
            options = parse(*IN_USE, *arguments)["client_options"]
            self.assertEqual(repr(options["connect_limiter"]), limiter)

    def test_callbacks(self) -> None:
        """--callback-warning and --callback-timeout are the limits of the client's callbacks."""
        for arguments, limits in (
            ([], (10.0, None)),
            (["--callback-warning", "none", "--callback-timeout", "60"], (None, 60.0)),
        ):
            options = parse(*IN_USE, *arguments)["client_options"]
            found = (options["callback_warning"], options["callback_timeout"])
            self.assertEqual(found, limits)

    def test_pem_files(self) -> None:
        """[S18] Certificates come from files; --cacerts may be repeated."""
        ca = self.write("ca.pem", SocketCase.ca.cert_pem.bytes().decode())
        leaf = SocketCase.leaf
        own = self.write("own.pem", leaf.cert_chain_pems[0].bytes().decode())
        key = self.write("key.pem", leaf.private_key_pem.bytes().decode())
        conn = parse(
            *("--url", "wss://a.test", "--cacerts", ca, "--cacerts", own),
            *("--certificate", own, "--private-key", key),
        )["conn"]
        self.assertEqual(conn.cacerts, (ca, own))
        self.assertEqual(dict(conn.ssl_options), {"certificate": own, "private_key": key})

    def test_debug(self) -> None:
        """[Y5] --debug and --log-to-file are the client's debug options."""
        options = parse(*IN_USE, "--debug", "trace, log:5,statistics,log", "--log-to-file", "file")
        self.assertEqual(
            options["client_options"]["debug"],
            ["trace", ("log", 5), "statistics", "log", ("log_to_file", os.path.abspath("file"))],
        )

    def test_log_file_is_kept(self) -> None:
        """What the file of --log-to-file has already is kept."""
        self.write("file", "before\n")
        parse(*IN_USE, "--log-to-file", "file")
        self.assertEqual(Path("file").read_text(), "before\n")

    def test_handlers(self) -> None:
        """A handler is named; without one it is the console, or the demo's."""
        for arguments, handler in (
            (["--demo"], DemoHandler),
            ([*IN_USE, "--handler", f"{HANDLERS}.Feed"], Feed),
            (["--demo", "--handler", f"{HANDLERS}.Feed"], Feed),
        ):
            self.assertIs(parse(*arguments)["chosen_handler"], handler)
        self.assertIsInstance(parse(*IN_USE)["chosen_handler"], Console)

    def test_handler_in_the_current_directory(self) -> None:
        """The handler's module is found in the current directory too."""
        self.write("tap_local_module.py", "from wsx import Handler\nclass Feed(Handler): pass\n")
        found = parse(*IN_USE, "--handler", "tap_local_module.Feed")["chosen_handler"]
        self.assertEqual(found.__module__, "tap_local_module")

    def test_version(self) -> None:
        """--version shows the version, on standard output, and exits with 0."""
        self.assertEqual(self.assertRaises(SystemExit, parse, "--version").code, 0)
        self.assertEqual(self.output.getvalue(), VERSION_LINE)

    def test_log_of_the_console(self) -> None:
        """The console's log goes to standard error; with a handler, or if told, as twistd does."""
        for arguments, redirected in (
            (["-n", "wsx", *IN_USE], True),
            (["-n", "--logfile", "file", "wsx", *IN_USE], False),
            (["-n", "--logger", f"{HANDLERS}.parse", "wsx", *IN_USE], False),
            (["-n", "wsx", "--demo"], False),
            (["-n", "wsx", *IN_USE, "--handler", f"{HANDLERS}.Feed"], False),
        ):
            options = ServerOptions()
            options.parseOptions(arguments)
            observer = options.subOptions.get("observer")
            self.assertEqual(observer is not None, redirected, f"{arguments}")

    def test_log_where_told(self) -> None:
        """A --logger of the user's stays."""
        options = ServerOptions()
        options.parseOptions(["-n", "--logger", f"{HANDLERS}.parse", "wsx", *IN_USE])
        self.assertIs(options["logger"], parse)

    def test_pid_file(self) -> None:
        """With -n there is no pid file, unless the user names one."""
        for arguments, expected in (
            (["-n", "wsx", *IN_USE], ""),
            (["-n", "--pidfile", "other.pid", "wsx", *IN_USE], "other.pid"),
            (["-n", "--pidfile=twistd.pid", "wsx", *IN_USE], "twistd.pid"),
            (["wsx", *IN_USE, "--handler", f"{HANDLERS}.Feed"], "twistd.pid"),
        ):
            self.patch(sys, "argv", ["twistd", *arguments])
            options = ServerOptions()
            options.parseOptions(arguments)
            self.assertEqual(os.path.basename(options["pidfile"]), expected, f"{arguments}")

    def test_service(self) -> None:
        """makeService gives a service, and starts nothing."""
        service = tap.makeService(parse(*IN_USE, "--name", NAME))
        self.assertTrue(IService.providedBy(service))
        self.assertFalse(service.running)
        self.assertIs(wsx.whereis(NAME), None)


class PluginTests(SynchronousTestCase):
    """The plugin."""

    def test_found(self) -> None:
        """Twisted finds one plugin of this name, which leads to wsx.tap."""
        plugins: list[Any] = list(getPlugins(IServiceMaker))
        found = [plugin for plugin in plugins if plugin.tapname == "wsx"]
        self.assertEqual([plugin.module for plugin in found], ["wsx.tap"])
        self.assertIs(found[0].options, tap.Options)
        self.assertIs(found[0].makeService, tap.makeService)
        self.assertIn("WebSocket", found[0].description)

    def test_no_packages(self) -> None:
        """There is no __init__.py that would break Twisted or hide the plugin."""
        for directory in (Path(REPOSITORY, "twisted"), Path(REPOSITORY, "twisted", "plugins")):
            self.assertTrue(directory.is_dir(), f"{directory}")
            if directory not in (
                Path(twisted.__file__).parent,
                Path(twisted.plugins.__file__).parent,
            ):
                self.assertFalse((directory / "__init__.py").exists(), f"{directory}")  # fmt: skip


class RunTests(RunCase):
    """What ``--restart``, ``--reconnect`` and their like do."""

    def test_state(self) -> None:
        """The handler's first state is --state; None without."""
        self.run_service("--state", '{"a": [1, 2.5, null]}')
        self.serve()
        self.assertEqual(Feed.calls, [("handle_connect", {"a": [1, 2.5, None]})])

    def test_no_state(self) -> None:
        """Without --state it is None."""
        self.run_service()
        self.serve()
        self.assertEqual(Feed.calls, [("handle_connect", None)])

    def test_name(self) -> None:
        """[S11] --name is the client's."""
        service = self.run_service("--name", NAME)
        self.addCleanup(self.pass_time, 10)
        self.addCleanup(service.stopService)
        client = wsx.whereis(NAME)
        assert client is not None
        self.assertEqual(client.name, NAME)

    def test_request(self) -> None:
        """[S15] --header and --subprotocol are in the request."""
        self.run_service("--header", "X-Token: a:b", "--subprotocol", "x", "--subprotocol", "y")
        headers = self.peer.request[1]
        self.assertEqual(headers["x-token"], "a:b")
        self.assertEqual(headers["sec-websocket-protocol"].replace(" ", ""), "x,y")

    def test_normal_end(self) -> None:
        """A client that ends normally ends the run; status 0."""
        self.run_service()
        self.serve(text("close"))
        self.finish()
        self.assert_ended(normally=True)
        self.assertEqual(Feed.calls[-1], ("terminate", wsx.LocalClose(1000, "")))

    def test_closed_by_the_server(self) -> None:
        """A 1000 from the server is normal too."""
        self.run_service("--no-reconnect")
        self.serve()
        self.finish()
        self.assert_ended(normally=True)

    def test_reconnect(self) -> None:
        """[D3] A lost connection is made again by default, and with --reconnect."""
        for number, arguments in enumerate([[], ["--reconnect"]]):
            self.run_service(*arguments)
            self.serve()
            self.peer.drop()
            self.step()
            self.assert_running(2 * number + 1)
            self.pass_time(2)
            self.assert_running(2 * number + 2)

    def test_first_connection(self) -> None:
        """[D4] A first connection that fails is retried likewise, for ever."""
        self.server.refusal = ConnectionRefusedError()
        self.run_service()
        self.assert_running(1)
        self.pass_time(1000)
        self.assertGreater(self.server.attempts, 10)
        self.assert_running(self.server.attempts)
        self.server.refusal = None
        for _ in range(60):
            if not self.server.peers:
                self.pass_time(1)
        self.serve()
        self.assertEqual(Feed.calls, [("handle_connect", None)])

    def test_no_reconnect(self) -> None:
        """With --no-reconnect a loss is the client's abnormal end."""
        self.run_service("--no-reconnect", "--restart", "temporary")
        self.serve()
        self.peer.drop()
        self.step()
        self.assert_ended(normally=False)
        self.assertIsInstance(Feed.calls[-1][1], wsx.ConnectionDropped)

    def test_no_reconnect_first(self) -> None:
        """With --no-reconnect so is a first connection that fails."""
        self.server.refusal = ConnectionRefusedError()
        self.run_service("--no-reconnect", "--restart", "temporary")
        self.assert_ended(normally=False)
        self.assertEqual(self.server.attempts, 1)

    def test_own_handle_disconnect(self) -> None:
        """A handle_disconnect of the handler's own decides for itself."""
        self.run_service("--no-reconnect", handler="Stubborn")
        self.serve()
        self.peer.drop()
        self.step()
        self.pass_time(6)
        self.assert_running(1)
        self.pass_time(1)
        self.assert_running(2)

    def test_max_attempts(self) -> None:
        """--max-attempts 2: after two attempts in a row to connect again it gives up."""
        self.server.refusal = ConnectionRefusedError()
        self.run_service("--max-attempts", "2", "--restart", "temporary")
        self.pass_time(20)
        self.assertEqual(self.server.attempts, 3)
        self.assert_ended(normally=False)

    def test_transient(self) -> None:
        """[V2] By default an abnormal end is restarted."""
        self.run_service()
        self.crash()
        self.pass_time(2)
        self.assert_running(2)
        self.serve(text("close"))
        self.finish()
        self.assert_ended(normally=True)

    def test_temporary(self) -> None:
        """[V2] With --restart temporary it is not: status 1."""
        self.run_service("--restart", "temporary")
        self.crash()
        self.assert_ended(normally=False)
        self.assertEqual(self.server.attempts, 1)

    def test_permanent(self) -> None:
        """[V2] With --restart permanent a normal end is restarted as well."""
        self.run_service("--restart", "permanent")
        self.serve(text("close"))
        self.finish()
        self.pass_time(2)
        self.assert_running(2)

    def test_max_restarts(self) -> None:
        """[V3] More than --max-restarts in --max-seconds: it gives up, status 1."""
        self.run_service("--max-restarts", "1", "--max-seconds", "100")
        self.crash()
        self.pass_time(2)
        self.assert_running(2)
        self.crash()
        self.assert_ended(normally=False)

    def test_max_seconds(self) -> None:
        """[V3] Restarts longer ago than --max-seconds do not count."""
        self.run_service("--max-restarts", "1", "--max-seconds", "1")
        for attempts in (2, 3, 4):
            self.serve()
            self.pass_time(3)
            self.peer.send(text("crash"))
            self.step()
            self.flushLoggedErrors(ValueError)
            self.finish()
            self.pass_time(3)
            self.assert_running(attempts)


class SignalTests(RunCase):
    """SIGTERM and SIGINT, and twistd's own stop."""

    def test_stop_the_reactor(self) -> None:
        """Each stops the reactor, in a step of the reactor's own, and only once."""
        self.run_service()
        self.assertEqual(set(self.signals), {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        self.signals[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(self.reactor.stops, 0)
        self.step()
        self.signals[signal.SIGINT](signal.SIGINT, None)
        self.step()
        self.assertEqual(self.reactor.stops, 1)

    def test_after_the_reactor_is_up(self) -> None:
        """The reactor's own handlers, which make twistd kill itself, come before ours."""
        service = tap.makeService(parse("--url", URL, "--handler", f"{HANDLERS}.Feed"))
        service.startService()
        self.assertEqual(set(self.signals), {signal.SIGHUP})  # The reactor has none for SIGHUP.
        self.reactor.run()
        self.assertEqual(set(self.signals), {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

    def assert_stops(self, service: Any) -> None:
        """Stopping the service is a normal end of the client, with terminate."""
        stopped = service.stopService()
        self.step()
        self.successResultOf(stopped)
        self.assertEqual(Feed.calls[-1], ("terminate", wsx.Shutdown("")))
        self.assertEqual(self.exits, [])

    def test_open(self) -> None:
        """[V4] While open: close frame 1001, and terminate once the peer has answered."""
        service = self.run_service()
        self.serve()
        stopped = service.stopService()
        self.assertEqual(self.peer.received(), [(8, (1001).to_bytes(2, "big"))])
        self.assertNoResult(stopped)
        self.finish()
        self.successResultOf(stopped)
        self.assertEqual(Feed.calls[-1], ("terminate", wsx.Shutdown("")))
        self.assertEqual(self.exits, [])

    def test_connecting(self) -> None:
        """[V4] While TCP is being made: the attempt is given up."""
        self.server.silent = True
        self.assert_stops(self.run_service())
        self.assertEqual(self.server.cancelled, 1)

    def test_handshaking(self) -> None:
        """[V4] While the server does not answer the handshake: likewise."""
        self.assert_stops(self.run_service())

    def test_waiting(self) -> None:
        """[V4] While waiting to reconnect: there is no further attempt."""
        self.server.refusal = ConnectionRefusedError()
        self.assert_stops(self.run_service())
        self.pass_time(100)
        self.assertEqual(self.server.attempts, 1)


class Silent(Protocol):
    """A server that never answers.

    Args:
        connected: fires with the first connection.
    """

    def __init__(self, connected: Deferred[None]) -> None:
        self._connected = connected

    def connectionMade(self) -> None:
        if not self._connected.called:
            self._connected.callback(None)


class ProcessTests(TwistdCase):
    """twistd itself."""

    async def test_help(self) -> None:
        """The plugin is listed by --help, and has a help and a version of its own."""
        listed, own, version = (
            self.run_twistd("--help"),
            self.run_twistd("wsx", "--help"),
            self.run_twistd("wsx", "--version"),
        )
        statuses = await gatherResults([p.ended() for p in (listed, own, version)])
        self.assertEqual(statuses, [0, 0, 0])
        self.assertRegex(listed.output, r"(?m)^ +wsx +A WebSocket client")
        for option in ("--url", "--handler", "--demo", "--header", "--no-reconnect"):
            self.assertIn(option, own.output)
        self.assertEqual((version.output, version.errors), (VERSION_LINE, ""))

    async def test_wrong_options(self) -> None:
        """A wrong option is one line on standard error and status 1; nothing is started."""
        (self.directory / "broken.py").write_text("def (:\n")
        before = sorted(os.listdir(self.directory))
        processes = [
            self.run_twistd("-n", "wsx", *arguments)
            for arguments in (
                [],
                ["--url", "ws://localhost", "--nonsense"],
                ["--url", "ws://localhost", "--handler", "broken.Feed"],
            )
        ]
        statuses = await gatherResults([process.ended() for process in processes])
        self.assertEqual(statuses, [1, 1, 1])
        for process in processes:
            self.assertEqual(process.output, "")
            self.assertRegex(process.errors, r"\Atwistd wsx: [^\n]+\n\Z")
        self.assertEqual(sorted(os.listdir(self.directory)), before)

    async def test_handler(self) -> None:
        """A handler from the current directory runs, is traced, and ends twistd with status 0.

        Its log is on standard output, the pid file is removed.
        """
        server = self.serve()
        arguments = ["--handler", "probe.Talker", "--state", '{"n": 1}', "--name", "feed"]
        process = self.run_twistd(
            *("-n", "--pidfile=twistd.pid", "wsx", "--url", server.url(), *arguments),
            *("--debug", "trace", "--log-to-file", "events.log"),
        )
        pid_file = self.directory / "twistd.pid"
        await process.says("probe connected with {'n': 1}")
        self.assertEqual(int(pid_file.read_text()), process.transport.pid)
        self.assertEqual(await process.ended(), 0)
        self.assertFalse(pid_file.exists())
        self.assertEqual(await server.closes.get(), 1000)
        self.assertEqual(process.errors, "")
        events = (self.directory / "events.log").read_text()
        for event in ("attempting to connect", "successfully connected", "terminating: "):
            self.assertIn(f"*DBG* 'feed' {event}", process.output)
            self.assertIn(f"'feed' {event}", events)
        self.assertIn("'feed' received frame: Text('bye')", process.output)
        self.assertIn("probe terminated with LocalClose(code=1000, message='')", process.output)
        self.assertIn("Main loop terminated", process.output)

    async def test_abnormal_ends(self) -> None:
        """A crash, and a connection that is refused, are exit status 1; terminate is called."""
        server = self.serve()
        refused = f"ws://{HOST}:{self.unused_port()}/"
        crash = self.run_twistd(
            *("-n", "--pidfile=crash.pid", "wsx", "--url", server.url()),
            *("--handler", "probe.Crasher", "--restart", "temporary"),
        )
        refusal = self.twistd(
            *("--url", refused, "--handler", "probe.Probe", "--no-reconnect"),
            *("--restart", "temporary"),
        )
        statuses = await gatherResults([crash.ended(), refusal.ended()])
        self.assertEqual(statuses, [1, 1])
        self.assertEqual(await server.closes.get(), 1011)
        self.assertIn("probe terminated with ValueError('as told')", crash.output)
        self.assertFalse((self.directory / "crash.pid").exists())
        self.assertIn("probe is cleaned up", crash.output)
        self.assertIn("probe terminated with ConnError(", refusal.output)
        self.assertIn("Main loop terminated", refusal.output)

    async def assert_terminates(self, process: Twistd, number: str = "TERM") -> None:
        """A signal ends it gracefully: terminate, and status 0."""
        process.transport.signalProcess(number)
        self.assertEqual(await process.ended(), 0)
        self.assertIn("probe terminated with Shutdown", process.output)
        self.assertEqual(process.output.count("probe terminated"), 1)

    async def test_signals_while_open(self) -> None:
        """[V4] SIGTERM and SIGINT while open: the server sees close code 1001."""
        server = self.serve()
        processes = {
            number: self.twistd("--url", server.url(), "--handler", "probe.Probe")
            for number in ("TERM", "INT")
        }
        for number, process in processes.items():
            await process.says("probe connected")
            await self.assert_terminates(process, number)
            self.assertEqual(await server.closes.get(), 1001)

    async def test_uvloop(self) -> None:
        """``--reactor uvloop`` runs it, and ends it, as well."""
        require("uvloop")
        server = self.serve()
        process = self.run_twistd(
            *("--reactor", "uvloop", "-n", "--pidfile=twistd.pid", "wsx", "--url", server.url()),
            *("--handler", "probe.Probe"),
        )
        await process.says("probe connected")
        await self.assert_terminates(process)
        self.assertEqual(await server.closes.get(), 1001)

    async def test_sigterm_while_connecting(self) -> None:
        """[V4] SIGTERM while the server does not answer."""
        connected: Deferred[None] = Deferred()
        port = self.listen(lambda: Silent(connected))
        process = self.twistd("--url", f"ws://{HOST}:{port}/", "--handler", "probe.Probe")
        await connected
        await self.assert_terminates(process)
        self.assertNotIn("probe connected", process.output)

    async def test_sigterm_while_waiting(self) -> None:
        """[V4] SIGTERM while waiting to reconnect."""
        server = self.serve()
        process = self.twistd("--url", server.url(), "--handler", "probe.Patient")
        await process.says("probe waits")
        await self.assert_terminates(process)
        self.assertEqual(process.output.count("probe connected"), 1)

    async def test_sighup(self) -> None:
        """SIGHUP is ignored while connecting and while open; SIGTERM still ends gracefully."""
        with socket.create_server((HOST, 0)) as silent:
            url = f"ws://{HOST}:{silent.getsockname()[1]}/"
            process = self.twistd("--url", url, "--handler", "probe.Probe", "--debug", "trace")
            await process.says("attempting to connect")
            process.transport.signalProcess("HUP")
            await process.says("SIGHUP ignored: only a file of --config can be reloaded")
            await self.assert_terminates_without_client(process)
        server = self.serve()
        process = self.twistd("--url", server.url(), "--handler", "probe.Probe")
        await process.says("probe connected")
        process.transport.signalProcess("HUP")
        await process.says("SIGHUP ignored")
        await self.assert_terminates(process)
        self.assertEqual(await server.closes.get(), 1001)

    async def assert_terminates_without_client(self, process: Twistd) -> None:
        """SIGTERM ends a process that has no connection with status 0."""
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)

    async def test_sighup_of_the_console(self) -> None:
        """The console ignores SIGHUP."""
        server = self.serve()
        process = self.twistd("--url", server.url())
        process.transport.write(b"hello\n")
        await process.says("hello")
        process.transport.signalProcess("HUP")
        await process.says("SIGHUP ignored")
        process.transport.closeStdin()
        self.assertEqual(await process.ended(), 0)

    async def test_sighup_of_a_daemon(self) -> None:
        """A daemon ignores SIGHUP, and SIGTERM ends it with close frame 1001 and terminate."""
        server = self.serve()
        pid_file, log = self.directory / "twistd.pid", self.directory / "twistd.log"
        self.addCleanup(self.kill_daemon, pid_file)
        process = self.run_twistd(
            *("--pidfile=twistd.pid", "--logfile=twistd.log", "wsx", "--url", server.url()),
            *("--handler", "probe.Probe"),
        )
        self.assertEqual(await process.ended(), 0)
        await self.wait_for(log, "probe connected")
        os.kill(int(pid_file.read_text()), signal.SIGHUP)
        await self.wait_for(log, "SIGHUP ignored")
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        self.assertEqual(await server.closes.get(), 1001)
        await self.wait_for(log, "Server Shut Down")
        self.assertIn("probe terminated with Shutdown", log.read_text())

    async def wait_for(self, log: Path, part: str) -> None:
        """Wait until a log file contains a text."""
        while not (log.exists() and part in log.read_text()):
            await deferLater(global_reactor(), 0.02)

    async def test_daemon(self) -> None:
        """Without -n the console is refused, as it would have no terminal; nothing is started."""
        process = self.run_twistd("--pidfile=twistd.pid", "wsx", "--url", "ws://127.0.0.1:1/")
        self.assertEqual(await process.ended(), 1)
        self.assertEqual(process.output, "")
        self.assertEqual(
            process.errors,
            'twistd wsx: --url: expected "twistd -n wsx": without -n, twistd leaves the terminal\n',
        )
        self.assertFalse((self.directory / "twistd.pid").exists())

    def kill_daemon(self, pid_file: Path) -> None:
        """Ends the daemon where a failed test left it running."""
        with contextlib.suppress(OSError):
            os.kill(int(pid_file.read_text()), signal.SIGKILL)

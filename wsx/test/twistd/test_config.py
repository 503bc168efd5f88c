"""Tests of wsx._twistd.config: the configuration file of ``twistd wsx --config``, read."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import wsx
from wsx import tap
from wsx._options import START_OPTIONS
from wsx._twistd import config
from wsx._twistd.config_error import ConfigError
from wsx.conn import CONN_OPTIONS
from wsx.test.support import URL, case
from wsx.test.support.extras import require
from wsx.test.support.sockets import SocketCase
from wsx.test.support.twistd import parse
from wsx.test.support.twistd_config import (
    A_DATETIME,
    HANDLERS,
    ConfigCase,
    Feed,
    policy,
    started,
    table,
)


class OptionTests(ConfigCase):
    """Each option, by its own name, with right values."""

    CONN: ClassVar[dict[str, list[tuple[str, Any]]]] = {
        "extra_headers": [
            ('{ X-Key = "1", B = "" }', {"X-Key": "1", "B": ""}),
            ('[["A", "1"], ["B", "2"], ["A", "3"]]', [("A", "1"), ("B", "2"), ("A", "3")]),
            ("{}", ()),
        ],
        "subprotocols": [('["a", "b"]', ("a", "b")), ("[]", ())],
        "secret_headers": [('["X-User"]', ("X-User",)), ("[]", ())],
        "socket_connect_timeout": [("1.5", 1.5), ("2", 2)],
        "socket_recv_timeout": [("1.5", 1.5), ("2", 2)],
        "close_timeout": [("1.5", 1.5), ("2", 2)],
        "insecure": [("true", True), ("false", False)],
        "endpoint": [('"tcp:localhost:99"', "tcp:localhost:99")],
        "proxy": [('"http://u:p@proxy.test:3128"', "http://u:p@proxy.test:3128")],
        "compression": [('"deflate"', "deflate")],
        "max_message_size": [("1000", 1000), ("false", None)],
        "max_header_size": [("1000", 1000)],
        "ping_interval": [("1.5", 1.5), ("2", 2), ("false", None)],
        "ping_timeout": [("1.5", 1.5), ("2", 2), ("false", None)],
        "data_timeout": [("1.5", 1.5), ("2", 2), ("false", None)],
    }
    START: ClassVar[dict[str, list[tuple[str, Any]]]] = {
        "async_": [("true", True), ("false", False)],
        "handle_initial_conn_failure": [("true", True), ("false", False)],
        "stable_after": [("0", 0), ("1.5", 1.5)],
        "slow_callback": [("1.5", 1.5), ("false", None)],
        "callback_warning": [("1.5", 1.5), ("false", None)],
        "callback_timeout": [("1.5", 1.5), ("false", None)],
        "mailbox_limit": [("0", 0), ("7", 7)],
        "debug": [
            ('["trace", "log", "statistics"]', ["trace", "log", "statistics"]),
            ('["trace", ["log", 5]]', ["trace", ("log", 5)]),
            ("[]", []),
        ],
    }

    def test_conn(self) -> None:
        """[S2][S15][S17] Each option of the connection reaches it."""
        for key, values in self.CONN.items():
            for text, value in values:
                with case(f"{key} = {text}"):
                    self.assertEqual(self.conn(**{key: text}), wsx.Conn(URL, **{key: value}))

    def test_start(self) -> None:
        """Each option of start reaches the client."""
        for key, values in self.START.items():
            for text, value in values:
                with case(f"{key} = {text}"):
                    self.assertEqual(started(self.spec(**{key: text})).options[key], value)

    OTHERS: ClassVar[set[str]] = {"reconnect", "connect_limiter", "name", "reactor"}

    def test_all(self) -> None:
        """These tests leave no option out."""
        files = {"cacerts", "ssl_options"}
        self.assertEqual(set(self.CONN) | files, CONN_OPTIONS)
        self.assertEqual(set(self.START) | self.OTHERS, START_OPTIONS)

    def test_defaults(self) -> None:
        """Without options: those of Conn, and a client that comes up while its server is down."""
        client = started(self.spec())
        self.assertEqual(client.conn, wsx.Conn(URL))
        self.assertIs(client.handler, Feed)
        self.assertIs(client.state, None)
        self.assertEqual(client.options["name"], "feed")
        self.assertTrue(client.options["async_"])
        self.assertTrue(client.options["handle_initial_conn_failure"])
        self.assertEqual(policy(client.options["reconnect"]), policy(wsx.Backoff()))

    def test_reconnect(self) -> None:
        """[D3] reconnect is true, or a table of the arguments of Backoff."""
        for text, expected in (
            ("true", wsx.Backoff()),
            ("{}", wsx.Backoff()),
            ("{ initial = 0.5, maximum = 30 }", wsx.Backoff(0.5, 30)),
            ("{ factor = 3, jitter = 0, max_attempts = 4 }", wsx.Backoff(1, 60, 3, 0, 4)),
        ):
            with case(text):
                spec = self.spec(reconnect=text)
                assert spec.backoff is not None
                self.assertEqual(policy(started(spec).options["reconnect"]), policy(expected))
                self.assertEqual(policy(spec.backoff), policy(expected))

    def test_no_reconnect(self) -> None:
        """[D3] With reconnect = false there is no policy, for restarts neither."""
        spec = self.spec(reconnect="false")
        self.assertIs(started(spec).options["reconnect"], None)
        self.assertIs(spec.backoff, None)

    def test_urls(self) -> None:
        """[S5] Every scheme and a password may be in a URL."""
        for url in ("wss://a.test/x?y=1", "http://a.test", "https://a.test:8443", "ws://u:p@[::1]"):
            self.assertEqual(self.conn(url=f'"{url}"'), wsx.Conn(url))

    def test_limits(self) -> None:
        """[V3] strategy, max_restarts and max_seconds are at the top."""
        top = 'strategy = "rest_for_one"\nmax_restarts = 0\nmax_seconds = 2.5\n'
        self.assertEqual(self.read(top + table()).limits, ("rest_for_one", 0, 2.5))
        self.assertEqual(self.read(table()).limits, ("one_for_one", 3, 5.0))

    def test_connect_limit(self) -> None:
        """All clients share the limiter of the table ``[connect_limit]``."""
        limit = "[connect_limit]\nper_host = 300\nper_seconds = 60.5\n"
        tree = self.read(limit + table("a") + table("b"))
        limiters = [
            started(client.spec).options["connect_limiter"] for client in tree.clients.values()
        ]
        self.assertEqual(limiters, [tree.limiter] * 2)
        self.assertEqual(repr(tree.limiter), "ConnectLimiter(per_host=300, per_seconds=60.5)")

    def test_no_connect_limit(self) -> None:
        """Without such a table there is no limit."""
        self.assertIs(self.read(table()).limiter, None)
        self.assertIs(started(self.spec()).options["connect_limiter"], None)

    def test_order(self) -> None:
        """Clients are in the order of the file."""
        names = ["c", "a", "b"]
        tree = self.read("".join(table(name) for name in names))
        self.assertEqual(list(tree.clients), names)
        self.assertEqual([client.spec.id for client in tree.clients.values()], names)

    def test_names(self) -> None:
        """[S11] The table's name is the client's and the child's, whatever it is made of."""
        for text, name in (
            ('"a.b"', "a.b"),
            ('"two words"', "two words"),
            ('"\u043a\u043b\u044e\u0447 \U0001f600"', "\u043a\u043b\u044e\u0447 \U0001f600"),
            ("'it is \"quoted\"'", 'it is "quoted"'),
            ('"{braces}"', "{braces}"),
            ("7", "7"),
        ):
            with case(text):
                spec = self.read(table(text)).clients[name].spec
                self.assertEqual((spec.id, started(spec).options["name"]), (name, name))

    def test_restart(self) -> None:
        """[V2] restart: transient by default, temporary without reconnect, or what is said."""
        for keys, restart in (
            ({}, "transient"),
            ({"reconnect": "{ initial = 2 }"}, "transient"),
            ({"reconnect": "false"}, "temporary"),
            ({"restart": '"permanent"'}, "permanent"),
            ({"restart": '"permanent"', "reconnect": "false"}, "permanent"),
            ({"restart": '"temporary"'}, "temporary"),
        ):
            with case(keys):
                self.assertEqual(self.spec(**keys).restart, restart)

    def test_shutdown(self) -> None:
        """[V4] shutdown is seconds; inf waits."""
        for text, seconds in (("", 5.0), ("0", 0), ("1.5", 1.5), ("inf", math.inf)):
            self.assertEqual(self.spec(shutdown=text).shutdown, seconds)

    def test_class_keywords(self) -> None:
        """[V1] What the handler's class says counts, but for its id; the file says it louder."""
        steady = {"handler": f'"{HANDLERS}.Steady"'}
        for keys, expected in (
            ({}, ("permanent", 12.0)),
            ({"reconnect": "false"}, ("permanent", 12.0)),
            ({"restart": '"transient"'}, ("transient", 12.0)),
            ({"shutdown": "3"}, ("permanent", 3)),
        ):
            with case(keys):
                spec = self.spec(**steady, **keys)
                self.assertEqual((spec.restart, spec.shutdown), expected)
                self.assertEqual((spec.id, started(spec).options["name"]), ("feed", "feed"))

    def test_handler_in_the_current_directory(self) -> None:
        """The handler's module is found in the current directory too, wherever the file is."""
        self.write("config_local_module.py", "from wsx import Handler\nclass Local(Handler): pass")
        os.mkdir("elsewhere")
        text = table(handler='"config_local_module.Local"')
        spec = self.read(text, "elsewhere/clients.toml").clients["feed"].spec
        self.assertEqual(started(spec).handler.__module__, "config_local_module")

    def test_state(self) -> None:
        """The state may be of any type that TOML has."""
        for text, state in (
            ('"text"', "text"),
            ("7", 7),
            ("1.5", 1.5),
            ("true", True),
            ("2026-01-02T03:04:05Z", A_DATETIME),
            ("2026-01-02", datetime.date(2026, 1, 2)),
            ("03:04:05", datetime.time(3, 4, 5)),
            ('[1, "a", [2.5]]', [1, "a", [2.5]]),
            ("{ count = 0, names = [] }", {"count": 0, "names": []}),
        ):
            with case(text):
                got = started(self.spec(state=text)).state
                self.assertEqual((got, type(got)), (state, type(state)))

    def test_state_of_each_start(self) -> None:
        """Each start has its own copy of the state."""
        spec = self.spec(state="{ count = 0, names = [] }")
        first = started(spec).state
        first["names"].append("changed")
        first["count"] = 1
        self.assertEqual(started(spec).state, {"count": 0, "names": []})

    def test_state_in_a_table(self) -> None:
        """The state may be a table of its own below the client's."""
        spec = self.read(table() + "[clients.feed.state]\ncount = 1\n").clients["feed"].spec
        self.assertEqual(started(spec).state, {"count": 1})


class FileTests(ConfigCase):
    """Paths in a file are relative to its folder, wherever twistd is."""

    def setUp(self) -> None:
        super().setUp()
        os.makedirs("conf/pem")
        self.folder = os.path.abspath("conf")
        leaf = SocketCase.leaf
        self.write("conf/pem/ca.pem", SocketCase.ca.cert_pem.bytes().decode())
        self.write("conf/pem/own.pem", leaf.cert_chain_pems[0].bytes().decode())
        self.write("conf/pem/key.pem", leaf.private_key_pem.bytes().decode())
        os.mkdir("elsewhere")

    def conn_of(self, **keys: str) -> wsx.Conn:
        """Return the connection of a table in conf/clients.toml, read from another directory."""
        self.write("conf/clients.toml", table(url='"wss://a.test"', **keys))
        os.chdir("elsewhere")
        try:
            tree = parse("--config", "../conf/clients.toml")["tree"]
        finally:
            os.chdir("..")
        return started(tree.clients["feed"].spec).conn

    def test_cacerts(self) -> None:
        """[S18] Of cacerts, one or several; what is absolute stays."""
        ca = os.path.join(self.folder, "pem/ca.pem")
        for text, paths in (
            ('"pem/ca.pem"', ca),
            ('["pem/ca.pem"]', (ca,)),
            (f'["pem/own.pem", "{ca}"]', (os.path.join(self.folder, "pem/own.pem"), ca)),
        ):
            with case(text):
                self.assertEqual(self.conn_of(cacerts=text).cacerts, paths)

    def test_ssl_options(self) -> None:
        """[S18] Of the certificate and its key; other ssl_options are no paths."""
        conn = self.conn_of(
            ssl_options='{ certificate = "pem/own.pem", private_key = "pem/key.pem", '
            'server_name = "pem", minimum_version = "TLSv1.3", alpn = ["http/1.1"] }'
        )
        own, key = (os.path.join(self.folder, "pem", name) for name in ("own.pem", "key.pem"))
        self.assertEqual(
            dict(conn.ssl_options),
            {
                "certificate": own,
                "private_key": key,
                "server_name": "pem",
                "minimum_version": "TLSv1.3",
                "alpn": ["http/1.1"],
            },
        )

    def test_log_to_file(self) -> None:
        """[Y5] Of log_to_file; what the file has already is kept."""
        self.write("conf/events.log", "before\n")
        text = table(debug='["log", ["log_to_file", "events.log"]]')
        self.write("conf/clients.toml", text)
        tree = parse("--config", "conf/clients.toml")["tree"]
        path = os.path.join(self.folder, "events.log")
        debug = started(tree.clients["feed"].spec).options["debug"]
        self.assertEqual(debug, ["log", ("log_to_file", path)])
        self.assertEqual(Path(path).read_text(), "before\n")
        self.assertFalse(os.path.exists("events.log"))

    def test_the_file_itself(self) -> None:
        """The file's own path is kept as an absolute one, as twistd may change the directory."""
        self.write("conf/clients.toml", table())
        options = parse("--config", "conf/clients.toml")
        self.assertEqual(options["config"], os.path.join(self.folder, "clients.toml"))

    def test_files_that_are_missing(self) -> None:
        """Each file that is not there, or is none of PEM, is found out at once, with its path."""
        self.write("empty.pem", "")
        for key, value, part in (
            ("cacerts", '"none.pem"', "none.pem"),
            ("cacerts", '["conf/pem/ca.pem", "none.pem"]', "none.pem"),
            ("cacerts", '"empty.pem"', "PEM"),
            ("cacerts", '"conf"', "conf"),
            ("ssl_options", '{ certificate = "none.pem" }', "none.pem"),
            ("ssl_options", '{ certificate = "empty.pem" }', "PEM"),
            (
                "ssl_options",
                '{ certificate = "conf/pem/own.pem", private_key = "none.pem" }',
                "none.pem",
            ),
            ("ssl_options", '{ private_key = "conf/pem/key.pem" }', "certificate"),
            ("debug", '[["log_to_file", "none/events.log"]]', "none/events.log"),
            ("debug", '[["log_to_file", "conf"]]', "conf"),
        ):
            for url in ('"ws://a.test"', '"wss://a.test"'):
                with case((key, value, url)):
                    line = self.about(table(url=url, **{key: value}), f"clients.feed.{key}")
                    self.assertIn(part, line)

    def test_files_of_an_insecure_client(self) -> None:
        """A missing PEM file is found out with insecure too."""
        text = table(url='"wss://a.test"', insecure="true", cacerts='"none.pem"')
        self.assertIn("none.pem", self.about(text, "clients.feed.cacerts"))

    def test_no_log_file_of_a_wrong_file(self) -> None:
        """Where something else is wrong, no file to log to is made: nothing was begun."""
        logging = table(debug='[["log_to_file", "events.log"]]')
        for text in (logging + table("other", ping_interval="-1"), logging + "url2 = 1\n"):
            self.complaint(text)
            self.assertFalse(os.path.exists("events.log"), text)

    def test_pipe_to_log_to(self) -> None:
        """A pipe without a reader is refused at once."""
        os.mkfifo("pipe")
        self.write("clients.toml", table(debug='[["log_to_file", "pipe"]]'))
        outcome: list[object] = []

        def read() -> None:
            try:
                outcome.append(parse("--config", "clients.toml"))
            except SystemExit as error:
                outcome.append(error.code)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        thread.join(2)
        hangs = thread.is_alive()
        if hangs:  # let it go on, so that nothing stays behind
            reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
            thread.join(10)
            os.close(reader)
        self.assertFalse(hangs, "it waits for a reader")
        self.assertIn("clients.feed.debug", str(outcome[0]))


class CommandLineTests(ConfigCase):
    """--config beside other options."""

    FLAGS: ClassVar[list[str]] = [
        *("insecure", "doctor", "json", "reconnect", "no-reconnect", "standby", "no-standby")
    ]
    VALUES: ClassVar[dict[str, str]] = {
        "handler": f"{HANDLERS}.Feed",
        "state": "1",
        "header": "A: 1",
        "subprotocol": "a",
        "cacerts": "ca.pem",
        "certificate": "own.pem",
        "private-key": "key.pem",
        "proxy": "http://localhost:1",
        "endpoint": "tcp:localhost:1",
        "compression": "deflate",
        "name": "feed",
        "max-attempts": "1",
        "ping-interval": "1",
        "ping-timeout": "1",
        "data-timeout": "1",
        "callback-warning": "1",
        "callback-timeout": "1",
        "connect-timeout": "1",
        "connect-limit": "1/1",
        "debug": "log",
        "log-to-file": "events.log",
        "restart": "permanent",
        "max-restarts": "1",
        "max-seconds": "1",
        "cluster": "nats://localhost",
        "cluster-bucket": "names",
        "cluster-ttl": "5",
        "cluster-replicas": "1",
        "cluster-nkey": "user.nk",
        "cluster-credentials": "user.creds",
        "on-partition": "keep",
    }

    def setUp(self) -> None:
        super().setUp()
        self.write("clients.toml", table())

    def test_other_options(self) -> None:
        """No other option goes with it but --metrics; the line names it as it was given."""
        given = [(name, [f"--{name}"]) for name in self.FLAGS]
        given += [(name, [f"--{name}", value]) for name, value in self.VALUES.items()]
        wrong = []
        for name, arguments in given:
            line = self.refusal("--config", "clients.toml", *arguments)
            if not re.search(rf"--{name}(?![\w-])", line):
                wrong.append(line)
        self.assertEqual(wrong, [])

    def test_empty_values(self) -> None:
        """Nor does one whose value is empty."""
        taken = []
        for name in ("handler", "state", "proxy", "name", "debug", "max-restarts", "restart"):
            try:
                parse("--config", "clients.toml", f"--{name}", "")
            except SystemExit:
                continue
            taken.append(name)
        self.assertEqual(taken, [])

    def test_all_options(self) -> None:
        """These tests leave no option out."""
        known = {name for name, *_ in tap.Options.optParameters + tap.Options.optFlags}
        tested = {
            "url",
            "demo",
            "demo-server",
            "port",
            "config",
            "metrics",
            *self.FLAGS,
            *self.VALUES,
        }
        self.assertEqual(known | {"header", "subprotocol", "cacerts", "cluster"}, tested)

    def test_other_ways(self) -> None:
        """There is one of --url, --demo and --config."""
        for arguments in (["--url", URL], ["--url", ""], ["--demo"]):
            with case(arguments):
                self.assertIn("--config", self.refusal("--config", "clients.toml", *arguments))

    def test_argument(self) -> None:
        """An argument too many is refused."""
        self.assertIn("surplus", self.refusal("--config", "clients.toml", "surplus"))

    def test_help(self) -> None:
        """--help names both options."""
        text = str(tap.Options())
        for option in ("--config", "--metrics", "SIGHUP"):
            self.assertIn(option, text)


class MetricsOptionTests(ConfigCase):
    """--metrics on the command line."""

    def setUp(self) -> None:
        super().setUp()
        self.write("clients.toml", table())

    def test_bad_description(self) -> None:
        """A server endpoint that is none: one clear line, whatever else is run."""
        require("prometheus_client")
        lines = []
        for ways in (["--config", "clients.toml"], ["--url", URL], ["--demo"]):
            for value in ("", "nonsense", "9100", "tcp", "tcp:", "tcp:port", "tcp:1:a=b", "a:b"):
                with case((ways, value)):
                    line = self.refusal(*ways, "--metrics", value)
                    self.assertIn("--metrics", line)
                    lines.append(f"{value}: {line}")
        self.assert_clear(lines)

    def test_not_installed(self) -> None:
        """Without prometheus-client one line says what to install."""
        with mock.patch.dict(sys.modules, {"prometheus_client": None}):
            sys.modules.pop("wsx.prometheus", None)
            line = self.refusal("--config", "clients.toml", "--metrics", "tcp:0")
        self.assertIn("pip install prometheus-client", line)

    def test_not_needed(self) -> None:
        """Without --metrics, prometheus-client is not needed."""
        with mock.patch.dict(sys.modules, {"prometheus_client": None}):
            sys.modules.pop("wsx.prometheus", None)
            self.assertEqual(list(parse("--config", "clients.toml")["tree"].clients), ["feed"])

    def test_taken(self) -> None:
        """A right one is taken beside each way to run."""
        require("prometheus_client")
        for ways in (["--config", "clients.toml"], ["--url", URL], ["--demo"]):
            self.assertEqual(parse(*ways, "--metrics", "tcp:0")["metrics"], "tcp:0")


class TreeTests(ConfigCase):
    """What is read is a value."""

    def test_immutable(self) -> None:
        """A tree and its clients cannot be changed in place."""
        tree = self.read(table())
        for thing, name in ((tree, "strategy"), (tree.clients["feed"], "spec")):
            self.assertRaises(dataclasses.FrozenInstanceError, setattr, thing, name, None)

    def test_error(self) -> None:
        """What is wrong has its key's path as an attribute."""
        self.write("clients.toml", table(ping_interval="-1"))
        error = self.assertRaises(ConfigError, config.load, "clients.toml", None)
        self.assertEqual(error.key, "clients.feed.ping_interval")
        self.assertEqual(str(error), f"{error.key}: {error.problem}")

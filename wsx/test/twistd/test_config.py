"""Tests of wsx._twistd.config: the file of ``twistd wsx --config`` and its errors."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from twisted.internet.defer import Deferred
from zope.interface import implementer

import wsx
from wsx import tap
from wsx._options import START_OPTIONS
from wsx._twistd import config
from wsx._twistd.config import Tree
from wsx.child import ChildSpec, IClientParent
from wsx.conn import CONN_OPTIONS
from wsx.test.support import URL, case
from wsx.test.test_loopback import SocketCase
from wsx.test.test_tap import OptionsCase, parse

HERE = "wsx.test.twistd.test_config"
SECRET = "s3cr3t"
NEEDED = {"url": f'"{URL}"', "handler": f'"{HERE}.Feed"'}

# A value of each type that TOML has; numbers are negative, as no option may be that.
EACH_TYPE = {
    "string": '"nonsense"',
    "empty string": '""',
    "integer": "-7",
    "float": "-1.5",
    "nan": "nan",
    "huge": "1" + "0" * 400,
    "true": "true",
    "false": "false",
    "datetime": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05",
    "array": "[[1], 2]",
    "table": "{ a = 1 }",
}
A_DATETIME = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)

# What Python says of its own functions and types; it means nothing to who wrote the file.
PYTHON_INTERNAL = re.compile(
    r"object is not|has no attribute|unexpected keyword|positional argument|__\w+__|not supported|"
    r"expected str, bytes|file descriptor|invalid literal|optionsForClientTLS|Traceback|"
    r"(Overflow|Type|Attribute|Key|Index|Recursion)Error"
)


class Feed(wsx.Handler[Any]):
    """A handler for tables."""


class Steady(wsx.Handler[Any], restart="permanent", shutdown=12.0, id="other"):
    """A handler whose class says how it is supervised."""


class Demanding(wsx.Handler[Any]):
    """A handler that wants an argument."""

    def __init__(self, argument: object) -> None:
        self.argument = argument


class NoHandler:
    """Not a subclass of Handler."""


@implementer(IClientParent)
class Parent:
    """Takes what a child's start starts, and starts nothing."""

    def start_client(
        self, conn_or_url: Any, handler: Any, state: Any, options: dict[str, Any]
    ) -> Deferred[Any]:
        self.conn: wsx.Conn = conn_or_url
        self.handler = handler
        self.state = state
        self.options = options
        return Deferred()


def started(spec: ChildSpec) -> Parent:
    """Starts a child; gives what it was started with."""
    parent = Parent()
    spec.start(parent)
    return parent


def table(name: str = "feed", /, **keys: str) -> str:
    """Writes a client's table, with what is needed unless told otherwise; "" leaves a key out."""
    lines = [f"{key} = {value}" for key, value in (NEEDED | keys).items() if value]
    return "\n".join([f"[clients.{name}]", *lines, ""])


def policy(backoff: wsx.Backoff) -> tuple[Any, ...]:
    """What makes two policies the same."""
    names = ("initial", "maximum", "factor", "jitter", "max_attempts")
    return tuple(getattr(backoff, name) for name in names)


@contextlib.contextmanager
def guarded_standard_streams() -> Iterator[None]:
    """Has the descriptors 0 to 2 survive a reader that takes false, true or 1 for a file."""
    kept = [os.dup(number) for number in range(3)]
    nothing = os.open(os.devnull, os.O_RDWR)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, stand_in in ((0, nothing), (1, sink), (2, sink)):
            os.dup2(stand_in, number)
        yield
    finally:
        for number, original in enumerate(kept):
            os.dup2(original, number)
        for number in (*kept, nothing, sink):
            os.close(number)


class ConfigCase(OptionsCase):
    """Tests with a file, in a directory of their own."""

    def read(self, text: str, name: str = "clients.toml") -> Tree:
        """Reads a file as ``twistd wsx --config`` does."""
        tree: Tree = parse("--config", self.write(name, text))["tree"]
        return tree

    def spec(self, **keys: str) -> ChildSpec:
        """Gives the child specification that a table with these keys leads to."""
        return self.read(table(**keys)).clients["feed"].spec

    def conn(self, **keys: str) -> wsx.Conn:
        """Gives the connection that a table with these keys leads to."""
        return started(self.spec(**keys)).conn

    def complaint(self, text: str) -> str:
        """Gives what is said of a wrong file, after its name: one line."""
        line = self.refusal("--config", self.write("clients.toml", text))
        prefix = f"twistd wsx: {os.path.abspath('clients.toml')}: "
        self.assertTrue(line.startswith(prefix), line)
        return line.removeprefix(prefix)

    def about(self, text: str, key: str) -> str:
        """A wrong file's line begins with this dotted path; gives what follows."""
        line = self.complaint(text)
        self.assertTrue(line.startswith(f"{key}: "), f"{line!r} is not about {key}")
        return line.removeprefix(f"{key}: ")

    def assert_none(self, wrong: list[str]) -> None:
        """Nothing is wrong; what is, is shown in short."""
        self.assertFalse(wrong, "\n" + "\n".join(line.partition("\n")[0][:150] for line in wrong))

    def assert_clear(self, lines: Iterable[str]) -> None:
        """No line speaks of Python's own functions and types."""
        internal = [line for line in lines if PYTHON_INTERNAL.search(line)]
        self.assert_none(internal)

    def refuse_each(self, keys: Iterable[tuple[str, Callable[[str], str]]], off: str = "") -> None:
        """No type of value is right for these keys, but for those in ``off``.

        Args:
            keys: dotted paths, each with what writes the file with a value there.
            off: names of the types that are right.
        """
        wrong, lines = [], []
        for key, write in keys:
            for kind, value in EACH_TYPE.items():
                if kind in off.split(", "):
                    continue
                try:
                    lines.append(f"{kind}: {key}: {self.about(write(value), key)}")
                except self.failureException as error:
                    wrong.append(f"{key}, {kind}: {error}")
        self.assert_none(wrong)
        self.assert_clear(lines)


class OptionTests(ConfigCase):
    """Each option, by its own name, with right values."""

    CONN: ClassVar[dict[str, list[tuple[str, Any]]]] = {
        "extra_headers": [
            ('{ X-Key = "1", B = "" }', {"X-Key": "1", "B": ""}),
            ('[["A", "1"], ["B", "2"], ["A", "3"]]', [("A", "1"), ("B", "2"), ("A", "3")]),
            ("{}", ()),
        ],
        "subprotocols": [('["a", "b"]', ("a", "b")), ("[]", ())],
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

    def test_all(self) -> None:
        """These tests leave no option out."""
        files = {"cacerts", "ssl_options"}
        self.assertEqual(set(self.CONN) | files, CONN_OPTIONS)
        self.assertEqual(set(self.START) | {"reconnect", "name", "reactor"}, START_OPTIONS)

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
        steady = {"handler": f'"{HERE}.Steady"'}
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
        """Gives the connection of a table in conf/clients.toml, read from another directory."""
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
        """A pipe that nobody reads is refused instead of waited for."""
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


class WrongValueTests(ConfigCase):
    """A wrong value: one clear line with the key's dotted path."""

    def in_the_table(self, *keys: str) -> list[tuple[str, Callable[[str], str]]]:
        """Options of a client's table, for :meth:`refuse_each`."""

        def write(key: str) -> Callable[[str], str]:
            return lambda value: table(**{key: value})

        return [(f"clients.feed.{key}", write(key)) for key in keys]

    def refuse_below(self, key: str, parts: Iterable[str], off: str = "") -> None:
        """No type of value is right for the parts of a table; the line names the part."""
        wrong, lines = [], []
        for part in parts:
            for kind, value in EACH_TYPE.items():
                if kind in off.split(", "):
                    continue
                text = table(url='"wss://a.test"', **{key: f"{{ {part} = {value} }}"})
                try:
                    line = self.complaint(text)
                    self.assertTrue(line.startswith(f"clients.feed.{key}"), line)
                    self.assertIn(part, line)
                    lines.append(f"{kind}: {line}")
                except self.failureException as error:
                    wrong.append(f"{key}.{part}, {kind}: {error}")
        self.assert_none(wrong)
        self.assert_clear(lines)

    def test_where(self) -> None:
        """[S3] url and handler are strings that can be used."""
        self.refuse_each(self.in_the_table("url", "handler"))

    def test_numbers(self) -> None:
        """Numbers are numbers, and in range."""
        keys = ("socket_connect_timeout", "socket_recv_timeout", "close_timeout")
        self.refuse_each(self.in_the_table(*keys, "max_header_size"))

    def test_numbers_that_can_be_off(self) -> None:
        """The same of those that can be false."""
        keys = ("ping_interval", "ping_timeout", "data_timeout", "max_message_size")
        self.refuse_each(self.in_the_table(*keys), off="false")

    def test_numbers_of_start(self) -> None:
        """The same of the numbers of start, and of shutdown; these have no largest."""
        self.refuse_each(self.in_the_table("stable_after", "mailbox_limit", "shutdown"), off="huge")

    def test_flags(self) -> None:
        """Flags are true or false."""
        keys = ("insecure", "async_", "handle_initial_conn_failure")
        self.refuse_each(self.in_the_table(*keys), off="true, false")

    def test_words(self) -> None:
        """Words are the ones there are; ways are ways. Each in a string."""
        self.refuse_each(self.in_the_table("compression", "restart", "proxy", "endpoint"))

    def test_extra_headers(self) -> None:
        """extra_headers are a table or pairs, of strings."""
        self.refuse_each(self.in_the_table("extra_headers"))

    def test_extra_headers_as_strings(self) -> None:
        """A string of two letters is no pair of a name and a value."""
        self.about(table(extra_headers='["ab", "cd"]'), "clients.feed.extra_headers")

    def test_headers(self) -> None:
        """A header has a name and a value that may be sent, and none of the handshake's own."""
        for value in (
            '{ "A b" = "c" }',
            '{ "" = "c" }',
            '{ A = "b\\r\\nC: d" }',
            '{ A = "\\u0000" }',
            '{ A = "\\u20ac" }',
            '{ Upgrade = "h2c" }',
            "{ A = true }",
            "{ A = 2026-01-02 }",
            '{ A = ["b"] }',
            '[["A"]]',
            '[["A", "b", "c"]]',
            '[["A", 1]]',
            '[{ A = "b" }]',
        ):
            with case(value):
                line = self.about(table(extra_headers=value), "clients.feed.extra_headers")
                self.assert_clear([line])

    def test_subprotocols(self) -> None:
        """subprotocols are an array of names, each once."""
        self.refuse_each(self.in_the_table("subprotocols"))
        for value in ('["a b"]', '["a", "a"]', '[""]', "[1]"):
            with case(value):
                self.about(table(subprotocols=value), "clients.feed.subprotocols")

    def test_cacerts(self) -> None:
        """cacerts is a path or an array of paths."""
        self.refuse_each(self.in_the_table("cacerts"), off="empty string")

    def test_cacerts_as_a_table(self) -> None:
        """A table is no array of paths: not even where its keys are files."""
        self.write("ca.pem", SocketCase.ca.cert_pem.bytes().decode())
        self.about(table(cacerts='{ "ca.pem" = 1 }'), "clients.feed.cacerts")

    def test_ssl_options(self) -> None:
        """ssl_options is a table."""
        self.refuse_each(self.in_the_table("ssl_options"))

    def test_ssl_options_one_by_one(self) -> None:
        """What is in ssl_options is a string, or for alpn an array of them."""
        self.refuse_below("ssl_options", ["minimum_version", "nonsense"])
        self.refuse_below("ssl_options", ["server_name"], off="string, empty string")

    def test_alpn(self) -> None:
        """Alpn is an array of strings, and nothing that could be taken for one."""
        self.refuse_below("ssl_options", ["alpn"])

    def test_certificate(self) -> None:
        """The certificate and its key are paths, and of no other type."""
        with guarded_standard_streams():
            self.refuse_below("ssl_options", ["certificate"], off="string, empty string")
        own = self.write("own.pem", SocketCase.leaf.cert_chain_pems[0].bytes().decode())
        lines = []
        for kind, value in EACH_TYPE.items():
            text = f'{{ certificate = "{own}", private_key = {value} }}'
            with case(kind), guarded_standard_streams():
                line = self.about(
                    table(url='"wss://a.test"', ssl_options=text), "clients.feed.ssl_options"
                )
            lines.append(f"{kind}: {line}")
        self.assert_clear(lines)

    def test_certificate_as_a_number(self) -> None:
        """A number is no path: an open file of that number stays open, and is not read."""
        pem = self.write("own.pem", SocketCase.leaf.private_key_and_cert_chain_pem.bytes().decode())
        for key in ("certificate", "private_key"):
            descriptor = os.open(pem, os.O_RDONLY)
            options = {"certificate": f'"{pem}"'} | {key: str(descriptor)}
            inside = ", ".join(f"{name} = {value}" for name, value in options.items())
            text = table(url='"wss://a.test"', ssl_options=f"{{ {inside} }}")
            try:
                with case(key):
                    self.about(text, "clients.feed.ssl_options")
                    os.fstat(descriptor)  # raises where it was closed
            finally:
                with contextlib.suppress(OSError):
                    os.close(descriptor)

    def test_debug(self) -> None:
        """[Y5] debug is an array of the options there are."""
        self.refuse_each(self.in_the_table("debug"))
        for value in (
            '["trace", "loud"]',
            '[["log", 0]]',
            '[["log", true]]',
            '[["log", 5.0]]',
            '[["log"]]',
            '[["log", 5, 6]]',
            '["log_to_file"]',
            '[["log_to_file"]]',
            '[["log_to_file", 1]]',
            '["log_to_file", "x"]',
            "{ trace = true }",
            '[["log_to_file", "a\\u0000b"]]',
        ):
            with case(value):
                self.about(table(debug=value), "clients.feed.debug")

    def test_reconnect(self) -> None:
        """[D3] reconnect is a table, true or false."""
        self.refuse_each(self.in_the_table("reconnect"), off="true, false")

    def test_backoff(self) -> None:
        """The arguments of Backoff are numbers in range; which one is wrong is said."""
        self.refuse_below("reconnect", ["initial", "maximum"], off="huge")
        self.refuse_below("reconnect", ["factor", "jitter"], off="huge")
        self.refuse_below("reconnect", ["max_attempts"], off="huge")

    def test_backoff_has_no_such_argument(self) -> None:
        """Another argument is refused; its random source cannot be given."""
        for part in ("inital", "rng"):
            line = self.complaint(table(reconnect=f"{{ {part} = 1 }}"))
            self.assertTrue(line.startswith("clients.feed.reconnect"), line)
            self.assert_clear([line])

    def test_a_misspelled_argument_is_named(self) -> None:
        """A misspelled argument of Backoff is named."""
        self.assertIn("inital", self.complaint(table(reconnect="{ inital = 1 }")))

    def test_limits(self) -> None:
        """[V3] strategy, max_restarts and max_seconds are what they should be."""

        def write(key: str) -> Callable[[str], str]:
            return lambda value: f"{key} = {value}\n{table()}"

        self.refuse_each([("strategy", write("strategy"))])
        self.refuse_each([(key, write(key)) for key in ("max_restarts", "max_seconds")], off="huge")
        self.about("max_restarts = 1.0\n" + table(), "max_restarts")
        self.about("max_seconds = 0\n" + table(), "max_seconds")

    def test_endpoint(self) -> None:
        """An endpoint's description is one that can be used; what is said of it is clear."""
        lines = []
        for value in ("nonsense", "tcp", "tcp:localhost", "tcp:localhost:port", "tcp:a:1:b=c", ":"):
            with case(value):
                text = table(endpoint=f'"{value}"')
                lines.append(f"{value}: {self.about(text, 'clients.feed.endpoint')}")
        self.assert_clear(lines)

    def test_long_values(self) -> None:
        """A long wrong value is not repeated in full: the line would not be clear."""
        for key in ("ping_interval", "insecure", "restart", "compression", "debug"):
            line = self.about(table(**{key: f'"{"x" * 10_000}"'}), f"clients.feed.{key}")
            self.assertLess(len(line), 1000, key)

    def test_secrets(self) -> None:
        """No password, no header's value and no key is shown."""
        pem = "-----BEGIN PRIVATE KEY-----\\n" + SECRET * 50 + "\\n-----END PRIVATE KEY-----\\n"
        for keys in (
            {"url": f'"ws://user:{SECRET}@example.test:port/"'},
            {"url": f'"ws://user:{SECRET}@"'},
            {"url": f'"ws://user:{SECRET}@example.test/#part"'},
            {"url": f'["ws://user:{SECRET}@example.test/"]'},
            {"url": f'{{ "ws://user:{SECRET}@example.test/" = 1 }}'},
            {"url": f'"ws://user:{SECRET}@example.test/'},  # the quote is missing
            {"proxy": f'"http://user:{SECRET}@"'},
            {"proxy": f'["http://user:{SECRET}@proxy.test:1"]'},
            {"proxy": f'"socks5://user:{SECRET}@proxy.test:1"'},
            {"extra_headers": f'{{ Authorization = "{SECRET}\\u0000" }}'},
            {"extra_headers": f'{{ Authorization = ["{SECRET}"] }}'},
            {"extra_headers": f'{{ X-Key = {{ value = "{SECRET}" }} }}'},
            {"extra_headers": f'[["Authorization", "{SECRET}", ""]]'},
            {"extra_headers": f'["Authorization: {SECRET}"]'},
            {"extra_headers": f'"Authorization: {SECRET}"'},
            {"Authorization": f'"{SECRET}"'},
            {"ssl_options": f'{{ certificate = "{pem}" }}'},
            {"ssl_options": f'"{pem}"'},
        ):
            with case(keys):
                self.assertNotIn(SECRET, self.complaint(table(**keys)))

    def test_secret_key(self) -> None:
        """A private key in the place of its path is not shown."""
        own = self.write("own.pem", SocketCase.leaf.cert_chain_pems[0].bytes().decode())
        for text in (SECRET * 50, SECRET):  # too long for a name, and not
            pem = f"-----BEGIN PRIVATE KEY-----\\n{text}\\n-----END PRIVATE KEY-----\\n"
            options = f'{{ certificate = "{own}", private_key = "{pem}" }}'
            line = self.about(
                table(url='"wss://a.test"', ssl_options=options), "clients.feed.ssl_options"
            )
            self.assertNotIn(SECRET, line)


class WrongKeyTests(ConfigCase):
    """What is not there, and what should not be there."""

    def test_unknown_keys(self) -> None:
        """A key that is misspelled, or belongs elsewhere, is named with its path."""
        top = {
            "stratgy": 'stratgy = "one_for_all"',
            "url": f'url = "{URL}"',
            "client": f'[client.feed]\nurl = "{URL}"',
            "auto_shutdown": 'auto_shutdown = "all"',
            "id": 'id = "x"',
        }
        for key, text in top.items():
            with case(key):
                self.about(f"{text}\n{table()}", key)

    def test_unknown_keys_of_a_client(self) -> None:
        """The same in a client's table: also what start has and a file may not say."""
        misspelled = ("ulr", "Url", "ping-interval", "pingInterval", "async", "extra_header")
        elsewhere = ("name", "reactor", "id", "type", "strategy", "max_restarts", "backoff")
        answers = ("resp_headers", "resp_status", "subprotocol", "extensions", "peer", "parsed")
        for key in (*misspelled, *elsewhere, *answers):
            with case(key):
                self.about(table(**{key: '"x"'}), f"clients.feed.{key}")
        self.about(table(**{'"two words"': "1"}), "clients.feed.two words")

    def test_missing_keys(self) -> None:
        """Url and handler are needed."""
        self.about(table(url=""), "clients.feed.url")
        self.about(table(handler=""), "clients.feed.handler")
        self.about(table(url="", handler=""), "clients.feed.url")

    def test_second_client(self) -> None:
        """What is wrong is found in any client."""
        self.about(table() + table("orders", ping_timeout="0"), "clients.orders.ping_timeout")

    def test_no_clients(self) -> None:
        """There is at least one client, in a table of its own."""
        for text in ("", "# nothing\n", 'strategy = "one_for_all"\n', "[clients]\n"):
            with case(text):
                self.about(text, "clients")
        for value in ("1", '"feed"', "[]", "true", "2026-01-02", "{}"):
            with case(value):
                self.about(f"clients = {value}\n", "clients")
        self.about(f'[[clients]]\nurl = "{URL}"\n', "clients")

    def test_clients_that_are_no_tables(self) -> None:
        """A client is a table."""
        for value in (f'"{URL}"', "1", "1.5", "true", "[]", "2026-01-02"):
            with case(value):
                self.about(f"[clients]\nfeed = {value}\n", "clients.feed")
        self.about(f'[[clients.feed]]\nurl = "{URL}"\n', "clients.feed")

    def test_duplicate_names(self) -> None:
        """Two clients of one name are refused: TOML has that."""
        self.assertIn("TOML", self.complaint(table() + table()))

    def test_empty_name(self) -> None:
        """[S11] A name is not empty; that is found out before anything is started."""
        self.assertTrue(self.complaint(table('""')).startswith("clients."))

    def test_odd_names(self) -> None:
        """The name is in the line, in one line, whatever it is made of."""
        for name, shown in (
            ('"a.b"', "a.b"),
            ('"two words"', "two words"),
            ('"\u043a\u043b\u044e\u0447"', "\u043a\u043b\u044e\u0447"),
            ('"two\\nlines"', "two"),
        ):
            with case(name):
                line = self.complaint(table(name, ping_interval="-1"))
                self.assertIn(shown, line)
                self.assertIn("ping_interval", line)

    def test_handlers(self) -> None:
        """A handler that cannot be imported, or is none, is named, with the cause."""
        self.write("config_syntax_error.py", "class Feed(:\n")
        self.write("config_raises.py", "raise ValueError('first\\nsecond')\n")
        self.write("config_imports.py", "import no_such_module_of_ours\n")
        self.write("config_exits.py", "import sys\nsys.exit(0)\n")
        for name, part in (
            ("no.such.module.Feed", "no.such.module.Feed"),
            (f"{HERE}.NoSuchClass", "NoSuchClass"),
            ("Feed", "module.Class"),
            ("..x", "..x"),
            ("config_syntax_error.Feed", "SyntaxError"),
            ("config_raises.Feed", "first second"),
            ("config_imports.Feed", "no_such_module_of_ours"),
            ("config_exits.Feed", "config_exits.Feed"),
            (f"{HERE}.NoHandler", "NoHandler"),
            (f"{HERE}.table", "table"),
            ("json.loads", "json.loads"),
            (f"{HERE}.Demanding", "cannot be made"),
        ):
            with case(name):
                text = table(handler=f'"{name}"')
                self.assertIn(part, self.about(text, "clients.feed.handler"))


class WrongFileTests(ConfigCase):
    """A file that is none: one line, and nothing started."""

    def test_no_file(self) -> None:
        """What is missing, a directory, or cannot be reached is said to be so."""
        os.symlink("loop", "loop")
        self.write("file", "")
        for path in ("none.toml", ".", "loop", "file/clients.toml", "x" * 1000, ""):
            with case(path):
                line = self.refusal("--config", path)
                self.assertIn(os.path.abspath(path), line)
                self.assert_clear([line])

    def test_unreadable(self) -> None:
        """What may not be read is said to be so."""
        self.write("clients.toml", table())
        denied = PermissionError(13, "Permission denied", "clients.toml")
        with mock.patch.object(config, "open", create=True, side_effect=denied):
            self.assertIn("Permission denied", self.refusal("--config", "clients.toml"))

    def test_no_toml(self) -> None:
        """What is no TOML is said to be so, with its place."""
        for text in ("nonsense", "[clients.feed", "x = ", "{}", "x = 1\nx = 2\n", "x = 'open\n"):
            with case(text):
                line = self.complaint(text)
                self.assertIn("TOML", line)
                self.assertRegex(line, r"line \d|end of document")

    def test_binary(self) -> None:
        """Binary rubbish is no TOML, also ten megabytes of it."""
        for data in (b"\xff\xfe\x00", b"\x7fELF\0\0", bytes(range(256)) * 40_000):
            Path("clients.toml").write_bytes(data)
            line = self.refusal("--config", "clients.toml")
            self.assertIn("TOML", line)
            self.assertLess(len(line), 1000)

    def test_large(self) -> None:
        """A file of ten megabytes is read."""
        remark = "# " + "x" * 10_000_000 + "\n"
        self.assertEqual(list(self.read(remark + table()).clients), ["feed"])

    def test_beyond_the_parser(self) -> None:
        """What the parser itself cannot take is no TOML either, and said without its insides."""
        lines = []
        for text in (
            table(state="[" * 5000 + "]" * 5000),
            table(state="1" * 5000),
            "max_restarts = " + "1" * 5000 + "\n" + table(),
        ):
            lines.append(self.complaint(text))
            with case(text[-20:]):
                # SIGHUP reads the file by this, and takes a ConfigError for a wrong file.
                self.assertRaises(
                    config.ConfigError, config.load, os.path.abspath("clients.toml"), None
                )
        self.assert_clear(lines)


class CommandLineTests(ConfigCase):
    """--config beside other options."""

    FLAGS: ClassVar[list[str]] = ["insecure", "reconnect", "no-reconnect"]
    VALUES: ClassVar[dict[str, str]] = {
        "handler": f"{HERE}.Feed",
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
        "connect-timeout": "1",
        "debug": "log",
        "log-to-file": "events.log",
        "restart": "permanent",
        "max-restarts": "1",
        "max-seconds": "1",
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
        tested = {"url", "demo", "config", "metrics", *self.FLAGS, *self.VALUES}
        self.assertEqual(known | {"header", "subprotocol", "cacerts"}, tested)

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
        """Without --metrics nobody needs prometheus-client."""
        with mock.patch.dict(sys.modules, {"prometheus_client": None}):
            sys.modules.pop("wsx.prometheus", None)
            self.assertEqual(list(parse("--config", "clients.toml")["tree"].clients), ["feed"])

    def test_taken(self) -> None:
        """A right one is taken beside each way to run."""
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
        error = self.assertRaises(config.ConfigError, config.load, "clients.toml", None)
        self.assertEqual(error.key, "clients.feed.ping_interval")
        self.assertEqual(str(error), f"{error.key}: {error.problem}")

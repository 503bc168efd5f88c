"""Tests of wrong configuration files: one clear line for each mistake."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

from wsx._text import quote
from wsx._twistd import config
from wsx._twistd.config_error import ConfigError
from wsx.test.support import URL, case
from wsx.test.support.sockets import SocketCase
from wsx.test.support.twistd_config import (
    EACH_TYPE,
    HANDLERS,
    SECRET,
    ConfigCase,
    guarded_standard_streams,
    table,
)


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
        keys = ("ping_interval", "data_timeout", "slow_callback", "max_message_size")
        limits = ("callback_warning", "callback_timeout")
        self.refuse_each(self.in_the_table(*keys, *limits), off="false")

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

    def test_connect_limit(self) -> None:
        """A wrong ``connect_limit`` is refused, and the line names the wrong key."""
        shape = "expected a table with the keys per_host and per_seconds"
        for value in ("300", "true", "[300, 60]", "{}", "{ per_host = 3 }", "{ per_hosts = 3 }"):
            text = f"connect_limit = {value}\n" + table()
            self.assertIn(shape, self.about(text, "connect_limit"))
        for limit, key in (
            ("{ per_host = 0, per_seconds = 1 }", "per_host"),
            ("{ per_host = true, per_seconds = 1 }", "per_host"),
            ("{ per_host = 1.5, per_seconds = 1 }", "per_host"),
            ("{ per_host = 1, per_seconds = 0 }", "per_seconds"),
            ('{ per_host = 1, per_seconds = "x" }', "per_seconds"),
        ):
            text = f"connect_limit = {limit}\n" + table()
            self.assertIn("expected a", self.about(text, f"connect_limit.{key}"))

    def test_connect_limiter(self) -> None:
        """A client has no limiter of its own."""
        self.about(table(connect_limiter="{}"), "clients.feed.connect_limiter")

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
            (f"{HANDLERS}.NoSuchClass", "NoSuchClass"),
            ("Feed", "module.Class"),
            ("..x", "..x"),
            ("config_syntax_error.Feed", "SyntaxError"),
            ("config_raises.Feed", "first second"),
            ("config_imports.Feed", "no_such_module_of_ours"),
            ("config_exits.Feed", "config_exits.Feed"),
            (f"{HANDLERS}.NoHandler", "NoHandler"),
            (f"{HANDLERS}.table", "table"),
            ("json.loads", "json.loads"),
            (f"{HANDLERS}.Demanding", "takes no arguments"),
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
                self.assertIn(f"--config: expected a TOML file, got {quote(path)}: ", line)
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
                self.assertRaises(ConfigError, config.load, os.path.abspath("clients.toml"), None)
        self.assert_clear(lines)

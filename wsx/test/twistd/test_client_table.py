"""Tests of wsx._twistd.client_table: one table of a configuration file, without the file."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.task import Clock

import wsx
from wsx._twistd.client_table import ClientReader, ClientTable
from wsx._twistd.config_error import ConfigError
from wsx.test.support import URL
from wsx.test.support.twistd import HANDLERS, OptionsCase, provide
from wsx.test.support.twistd_config import started

NEEDED = {"url": URL, "handler": f"{HANDLERS}.Feed"}


class ClientReaderTests(OptionsCase):
    """From a table to a child specification."""

    def read(self, name: str = "feed", **keys: Any) -> ClientTable:
        """Return the client of a table."""
        return ClientReader(name, NEEDED | keys, os.path.abspath("conf")).read(Clock())

    def about(self, table: Any, name: str = "feed") -> str:
        """Return the message about a table."""

        def read() -> None:
            ClientReader(name, table, "conf").read(Clock())

        return str(self.assertRaises(ConfigError, read))

    def test_spec(self) -> None:
        """The specification has the name, the options and the fields of the table."""
        spec = self.read(restart="permanent", shutdown=2, ping_interval=False, mailbox_limit=7).spec
        self.assertEqual((spec.id, spec.restart, spec.shutdown), ("feed", "permanent", 2))
        client = started(spec)
        self.assertEqual(client.conn, wsx.Conn(URL, ping_interval=None))
        self.assertEqual((client.options["name"], client.options["mailbox_limit"]), ("feed", 7))

    def test_provider(self) -> None:
        """A provider stands in place of the URL; the options of the table apply to its URLs."""
        name = f"{HANDLERS}.Feed"
        table = {"provider": f"{HANDLERS}.provide", "handler": name, "close_timeout": 1.5}
        read = ClientReader("feed", table, "conf").read(Clock())
        self.assertFalse(read.has_secret)
        client = started(read.spec)
        source: Any = client.conn
        self.assertIs(source, provide)
        self.assertEqual(client.options["close_timeout"], 1.5)

    def test_headers_callable(self) -> None:
        """Headers may be a callable."""
        client = started(self.read(extra_headers=f"{HANDLERS}.provide").spec)
        headers: Any = client.conn.extra_headers
        self.assertIs(headers, provide)

    def test_messages_about_callables(self) -> None:
        """A wrong callable results in a message."""
        feed = {"handler": f"{HANDLERS}.Feed"}
        for table, message in (
            ({"provider": "provide"}, 'provider: expected "module.function", got "provide"'),
            ({"provider": 5}, 'provider: expected "module.function", got 5'),
            ({"provider": f"{HANDLERS}.AN_INSTANCE"}, "provider: expected a callable, got"),
            (
                {"provider": f"{HANDLERS}.none"},
                "provider: expected a callable that can be imported",
            ),
            (
                {"provider": f"{HANDLERS}.provide", "url": URL},
                "provider: expected no url beside it",
            ),
            ({"url": URL, "extra_headers": "X"}, 'extra_headers: expected "module.function"'),
            ({"url": URL, "extra_headers": "X: y"}, "extra_headers: expected a mapping"),
        ):
            self.assertIn(f"clients.feed.{message}", self.about(feed | table))

    def test_content(self) -> None:
        """The content is the same for tables with the same keys and values, in any order."""
        first = self.read(ping_timeout=3, state={"a": [1, 2], "b": "x"}).content
        self.assertEqual(self.read(state={"b": "x", "a": [1, 2]}, ping_timeout=3).content, first)
        for state in ({"a": [2, 1], "b": "x"}, {"a": [1.0, 2], "b": "x"}, {"a": [True, 2]}):
            self.assertNotEqual(self.read(ping_timeout=3, state=state).content, first)

    def test_log_files(self) -> None:
        """Log files are created below the folder, and only by the check."""
        os.mkdir("conf")
        table = NEEDED | {"debug": ["trace", ["log_to_file", "events.log"]]}
        reader = ClientReader("feed", table, os.path.abspath("conf"))
        reader.read(Clock())
        self.assertEqual(os.listdir("conf"), [])
        reader.check_log_files()
        self.assertEqual(os.listdir("conf"), ["events.log"])

    def test_messages(self) -> None:
        """Each message has the dotted key of what is wrong."""
        for keys, message in (
            ({"url": None}, "clients.feed.url: expected a WebSocket URL, got None"),
            ({"insecure": "yes"}, 'clients.feed.insecure: expected true or false, got "yes"'),
            ({"async_": 1}, "clients.feed.async_: expected true or false, got 1"),
            (
                {"max_message_size": 0},
                "clients.feed.max_message_size: expected a number of bytes above 0 or false, got 0",
            ),
            (
                {"reconnect": {"jitter": 7}},
                "clients.feed.reconnect.jitter: expected a number from 0 to 1, got 7",
            ),
            (
                {"ssl_options": {"alpn": 1}},
                "clients.feed.ssl_options.alpn: expected a list of str, got 1",
            ),
            (
                {"extra_headers": {"X-Key": "s3cr3t\r\n"}},
                "clients.feed.extra_headers.X-Key: expected a value without CR, LF and NUL",
            ),
            (
                {"debug": [["log", 0]]},
                'clients.feed.debug: expected "trace", "log", ["log", N], "statistics" or '
                '["log_to_file", "path"], got (\'log\', 0)',
            ),
            ({"debug": 1}, "clients.feed.debug: expected an array of debug options, got 1"),
        ):
            self.assertEqual(self.about(NEEDED | keys), message)

    def test_missing(self) -> None:
        """A key that is missing is named, with what was expected."""
        self.assertEqual(
            self.about({"url": URL}), 'clients.feed.handler: expected "module.Class", got nothing'
        )

    def test_no_table(self) -> None:
        """A value that is not a table is not shown: it may be a URL with a password."""
        self.assertEqual(
            self.about("ws://u:s3cr3t@a.test"), "clients.feed: expected a table, got str"
        )

    def test_names(self) -> None:
        """A name that is not a bare key is quoted, as in the file."""
        for name, key in (("a.b", 'clients."a.b"'), ("", 'clients.""'), ("a-b_1", "clients.a-b_1")):
            self.assertTrue(self.about("x", name).startswith(f"{key}: expected "), name)

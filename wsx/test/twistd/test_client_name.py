"""Tests of wsx._twistd.client_name: names in a cluster in a configuration file."""

from __future__ import annotations

from typing import Any

import wsx
from wsx.test.support.each import each
from wsx.test.support.extras import missing
from wsx.test.support.twistd_config import ConfigCase, started, table

skip = missing("nats", "msgpack")

MAIN = '[cluster]\nurl = "nats://a.test"\n'
EAST = '[clusters.east]\nurl = "nats://b.test"\n'
KEYS = "true, a string that is not empty, or an array of strings, numbers and booleans"


class ClientNameTests(ConfigCase):
    """The keys global, cluster, standby and on_partition."""

    def name(self, text: str, **keys: str) -> Any:
        """Return the name of the client of a file."""
        tree = self.read(text + table(**keys))
        client = tree.clients["feed"]
        self.assertEqual(started(client.spec).options["name"], client.name)
        return client.name

    def test_local(self) -> None:
        """Without global, or with false, the name is that of the table."""
        self.assertEqual(self.name(""), "feed")
        self.assertEqual(self.name("", **{"global": "false"}), "feed")

    def test_global(self) -> None:
        """True is the name of the table; a string or an array is another key."""
        for value, key in (
            ("true", "feed"),
            ('"a b"', "a b"),
            ('["feed", 7, [true]]', ("feed", 7, (True,))),
        ):
            name = self.name(MAIN, **{"global": value})
            self.assertEqual(name.key, key)
            self.assertEqual((name.standby, name.on_partition), (True, "stop"))

    def test_options(self) -> None:
        """standby and on_partition are those of the Global."""
        keys = {"global": "true", "standby": "false", "on_partition": '"keep"'}
        name = self.name(MAIN, **keys)
        self.assertEqual((name.standby, name.on_partition), (False, "keep"))

    def test_cluster(self) -> None:
        """The cluster is [cluster], unless it is named."""
        text = MAIN + EAST + table("other", **{"global": "true", "cluster": '"east"'})
        tree = self.read(text + table(**{"global": "true"}))
        clusters = {name: client.name for name, client in tree.clients.items()}
        for name, table_name in (("feed", ""), ("other", "east")):
            found = clusters[name]
            assert isinstance(found, wsx.Global)
            self.assertIs(found.cluster, tree.clusters[table_name].cluster)

    @each(
        [
            ({"global": "7"}, "global", f"expected {KEYS}, got 7"),
            ({"global": '""'}, "global", f'expected {KEYS}, got ""'),
            ({"global": "[]"}, "global", f"expected {KEYS}, got list"),
            ({"global": "[nan]"}, "global", f"expected {KEYS}, got (nan,)"),
            ({"global": "[2026-01-02]"}, "global", f"expected {KEYS}, got (datetime.date(2026"),
            ({"global": "[{ a = 1 }]"}, "global", f"expected {KEYS}, got ("),
            ({"global": f'"{"x" * 201}"'}, "global", "expected a key whose JSON has at most 146"),
            ({"global": "true", "standby": "1"}, "standby", "expected true or false, got 1"),
            (
                {"global": "true", "on_partition": '"x"'},
                "on_partition",
                'expected "stop" or "keep", got "x"',
            ),
            (
                {"global": "true", "on_partition": "[1]"},
                "on_partition",
                'expected "stop" or "keep"',
            ),
            (
                {"global": "true", "cluster": '"west"'},
                "cluster",
                'expected the name of a table [clusters.NAME], got "west"',
            ),
            ({"global": "true", "cluster": '""'}, "cluster", "expected the name of a table"),
            ({"global": "true", "cluster": "[1]"}, "cluster", "expected the name of a table"),
            ({"cluster": '"east"'}, "cluster", "expected global as well, got only this"),
            ({"standby": "true"}, "standby", "expected global as well, got only this"),
            ({"global": "false", "on_partition": "5"}, "on_partition", "expected global as well"),
        ]
    )
    def test_wrong(self, keys: dict[str, str], key: str, message: str) -> None:
        """Wrong values are named."""
        line = self.complaint(MAIN + EAST + table(**keys))
        self.assertTrue(line.startswith(f"clients.feed.{key}: {message}"), line)

    @each(
        [
            ("", "expected a table [cluster] as well, got none"),
            (EAST, 'expected cluster = "east" as well, got none'),
            (
                EAST + EAST.replace("east", "west"),
                'expected cluster = "east" or "west" as well, got none',
            ),
        ]
    )
    def test_no_cluster(self, text: str, message: str) -> None:
        """A name needs a cluster."""
        line = self.complaint(text + table(**{"global": "true"}))
        self.assertEqual(line, f"clients.feed.global: {message}")

    def test_same_name(self) -> None:
        """Two clients of one file cannot have the same name in the same cluster."""
        text = MAIN + table(**{"global": "true"}) + table('"a b"', **{"global": '"feed"'})
        line = self.complaint(text)
        problem = 'expected a name that no other client has, got that of "feed"'
        self.assertEqual(line, f'clients."a b".global: {problem}')
        other = table("b", **{"global": '"feed"', "cluster": '"east"'})
        self.read(MAIN + EAST + table(**{"global": "true"}) + other)

"""Tests of wsx._twistd.toml_values: keys and values as text."""

from __future__ import annotations

import tomllib

from twisted.trial.unittest import SynchronousTestCase

from wsx._twistd.toml_values import canonical, dotted_key


class TOMLValuesTests(SynchronousTestCase):
    """Keys and values."""

    def test_dotted_key(self) -> None:
        """A key has quotes as in the file, if it needs them."""
        for name, key in (("feed-1_B", "feed-1_B"), ("a b", '"a b"'), ("", '""'), ("é", '"é"')):
            self.assertEqual(dotted_key("clients", name), f"clients.{key}")
            found = tomllib.loads(f"[clients.{key}]")
            self.assertEqual(found, {"clients": {name: {}}})

    def test_canonical(self) -> None:
        """The text is equal for equal values of the same types, in any order of keys."""
        for one, two, equal in (
            ("a = 1\nb = [{ c = nan, d = 2 }]", "b = [{ d = 2, c = nan }]\na = 1", True),
            ("a = 1", "a = 1.0", False),
            ("a = 1", "a = true", False),
            ("a = [1, 2]", "a = [2, 1]", False),
            ("a = [[1], [2]]", "a = [[1, 2]]", False),
        ):
            texts = [canonical(tomllib.loads(text)) for text in (one, two)]
            self.assertEqual(texts[0] == texts[1], equal, one)

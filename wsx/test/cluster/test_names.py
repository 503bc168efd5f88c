"""Tests of wsx._cluster.names: the token that stands for a name."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster.names import MAX_TOKEN, name_token


class TokenTests(SynchronousTestCase):
    """name_token."""

    def test_plain(self) -> None:
        """A plain str is its own token."""
        for key in ("feed", "a/b-c_D9", "-", "x" * MAX_TOKEN):
            self.assertEqual(name_token(key), key)

    def test_encoded(self) -> None:
        """Any other key has a token of characters that are allowed in keys and subjects."""
        keys: list[Any] = [
            "",
            "a.b",
            "a b",
            "*",
            ">",
            "=feed",
            "\u00e9",
            "\0",
            ("feed", 7),
            7,
            None,
        ]
        for key in keys:
            self.assertTrue(re.fullmatch(r"=[A-Za-z0-9_=-]+", name_token(key)), key)

    def test_unique(self) -> None:
        """Different keys have different tokens."""
        keys: list[Any] = [
            "7",
            7,
            7.5,
            ("7",),
            (7,),
            ((7,),),
            "[7]",
            None,
            "null",
            True,
            "true",
            "",
        ]
        self.assertEqual(len({name_token(key) for key in keys}), len(keys))

    def test_wrong_type(self) -> None:
        """Refuse a key that JSON cannot represent uniquely."""
        for key in (b"x", object(), ("a", b"x"), float("nan"), float("inf"), frozenset()):
            with self.assertRaisesRegex(TypeError, "^name: expected a str, number"):
                name_token(key)

    def test_too_long(self) -> None:
        """Refuse a key whose token is too long for a subject."""
        for key in ("x" * (MAX_TOKEN + 1), "." * 146, ("x" * 150,)):
            with self.assertRaisesRegex(ValueError, "^name: expected a str, number"):
                name_token(key)

"""Tests of wsx._cluster.values: which values are accepted, and hostile input."""

from __future__ import annotations

import enum
import random
import sys
import tracemalloc
from collections import OrderedDict
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster import values
from wsx._cluster.values import check_value, pack, unpack
from wsx.errors import ClusterError
from wsx.test.support.each import each
from wsx.test.support.extras import require

KINDS = (
    "a MessagePack value (None, bool, int of 64 bits, float, str, bytes, list or dict with str "
    "keys)"
)


class Color(enum.IntEnum):
    RED = 1


class Label(str):
    __slots__ = ()


def nested(levels: int) -> Any:
    """Return a list of so many levels."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


class CheckTests(SynchronousTestCase):
    """Which values may be sent."""

    def rejection(self, value: Any) -> str:
        """Return the message of the TypeError."""
        error: Any = self.assertRaises(TypeError, check_value, value, "message")
        return str(error)

    @each(
        [None, True, 0, -(2**63), 2**64 - 1, 1.5, float("inf"), "", "\U0001f600", b"\xff", [], {}]
    )
    def test_accepted(self, value: Any) -> None:
        """These values are accepted, alone and in containers."""
        check_value(value, "message")
        check_value([{"a": [value]}], "message")

    @each(
        [
            ((1, 2), "tuple (use a list)"),
            ({1}, "set (use a list)"),
            (bytearray(b"a"), "bytearray (use bytes)"),
            (memoryview(b"a"), "memoryview (use bytes)"),
            (Color.RED, "Color, a subclass of int"),
            (Label("a"), "Label, a subclass of str"),
            (OrderedDict(), "OrderedDict, a subclass of dict"),
            (Decimal(1), "Decimal"),
            (object(), "object"),
            (2**64, "a larger int"),
            (-(2**63) - 1, "a larger int"),
            ("\ud800", "a str with surrogates"),
            ({1: 2}, "a key of type int"),
            ({b"a": 2}, "a key of type bytes"),
            ({Label("a"): 2}, "a key of type Label"),
        ]
    )
    def test_rejected(self, value: Any, found: str) -> None:
        """The message shows what was expected, and the type of the part that is wrong."""
        self.assertEqual(self.rejection(value), f"message: expected {KINDS}, got {found}")

    def test_path(self) -> None:
        """The message begins with the path of the part."""
        text = self.rejection({"b": 1, "a": [[], (1,)]})
        self.assertEqual(text, f'message["a"][1]: expected {KINDS}, got tuple (use a list)')

    def test_path_is_escaped_and_shortened(self) -> None:
        """A key that is long or not printable, or many levels, do not fill the message."""
        value: Any = {"\n" + "x" * 1000: ()}
        for _ in range(90):
            value = {"key": value}
        text = self.rejection(value)
        self.assertLess(len(text), 500)
        self.assertTrue(text.isprintable())

    def test_key_with_surrogates(self) -> None:
        """A key is checked as a str is."""
        self.assertIn(r'message["\ud800"]: expected', self.rejection({"\ud800": 1}))

    def test_depth(self) -> None:
        """A value has at most 100 levels, so a list that contains itself is rejected."""
        check_value(nested(100), "message")
        limit = "expected at most 100 levels of lists and dicts, got more"
        self.assertIn(limit, self.rejection(nested(101)))
        endless: list[Any] = []
        endless.append(endless)
        self.assertIn(limit, self.rejection(endless))

    @each([lambda count: [None] * count, lambda count: dict.fromkeys(map(str, range(count)))])
    def test_items(self, make: Any) -> None:
        """A list or a dict has at most 65,536 items."""
        check_value([make(65_536)], "message")
        text = self.rejection([make(65_537)])
        limit = "expected at most 65536 items in a list or dict, got 65537"
        self.assertEqual(text, f"message[0]: {limit}")


class PackTests(SynchronousTestCase):
    """The MessagePack form."""

    def setUp(self) -> None:
        require("msgpack")

    def test_round_trip(self) -> None:
        """A value that is accepted arrives unchanged, with the same types."""
        require("hypothesis")
        from hypothesis import given, settings
        from hypothesis import strategies as some

        integers = some.integers(-(2**63), 2**64 - 1)
        leaves = some.none() | some.booleans() | integers | some.floats() | some.text()
        anything = some.recursive(
            leaves | some.binary(),
            lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
            max_leaves=20,
        )

        @settings(max_examples=100, deadline=None)
        @given(anything)
        def check(value: Any) -> None:
            check_value(value, "value")
            self.assertEqual(repr(unpack(pack(value))), repr(value))

        check()

    def test_deepest(self) -> None:
        """The deepest value that is accepted arrives."""
        self.assertEqual(unpack(pack(nested(100))), nested(100))

    def test_largest(self) -> None:
        """So do the largest list and the largest dict."""
        for value in ([None] * 65_536, dict.fromkeys(map(str, range(65_536)))):
            self.assertEqual(unpack(pack(value)), value)

    def test_memory(self) -> None:
        """Malformed data leaves nothing in memory; versions of msgpack before 1.2 fail this."""
        data = b"\xdd\x00\x00\x20\x00" * 1000 + b"\xc1" * 10_000
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(3):
            self.assertRaises(ValueError, unpack, data)
        self.assertLess(tracemalloc.get_traced_memory()[0], 1_000_000)

    @each(
        [
            b"",
            b"\x01\x01",
            b"\x92\x01",
            b"\xc1",
            b"\xa1\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xffa",
            b"\x81\x01\x01",
            b"\xd4\x05a",
            b"\x91" * 100_000,
            b"\xdd\x00\x0f\x00\x00" * 200_000,
            b"\xdd\x00\x00\xff\xff" * 200_000,
            b"\xde\xff\xff\xa1a" * 200_000,
        ]
    )
    def test_hostile(self, data: bytes) -> None:
        """Data that is not one MessagePack value is rejected."""
        error = self.assertRaises(ValueError, unpack, data)
        self.assertTrue(str(error).startswith("not MessagePack: "), str(error))

    @each([b"\xd6\xff\x00\x00\x00\x00", b"\x81\xc4\x01a\x01"])
    def test_other_values(self, data: bytes) -> None:
        """What msgpack unpacks although it is no value does not pass the check."""
        self.assertRaises(TypeError, check_value, unpack(data), "value")

    def test_random(self) -> None:
        """Random data is rejected or is a value; nothing else is raised."""
        source = random.Random(14)
        for _ in range(20_000):
            data = source.randbytes(source.randrange(1, 20))
            try:
                unpack(data)
            except ValueError:
                continue


class ImportTests(SynchronousTestCase):
    """Without the extra."""

    def setUp(self) -> None:
        values._msgpack.cache_clear()
        self.addCleanup(values._msgpack.cache_clear)

    @each([lambda: pack(None), lambda: unpack(b"\xc0")])
    def test_not_installed(self, function: Any) -> None:
        """The error says how to install it."""
        with patch.dict(sys.modules, {"msgpack": None}):
            error = self.assertRaises(ClusterError, function)
        self.assertIn('pip install "txwsx[nats]"', str(error))

"""Tests of wsx._console.json_layout: JSON over several lines."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from wsx._console.json_layout import lay_out
from wsx.test.support.each import each
from wsx.test.support.extras import require


class LayoutTests(SynchronousTestCase):
    """The layout of a JSON text."""

    @each(
        [
            (
                "object",
                '{"a":1,"b":[true,null]}',
                '{\n  "a": 1,\n  "b": [\n    true,\n    null\n  ]\n}',
            ),
            ("empty", '{"a":{},"b":[ ]}', '{\n  "a": {},\n  "b": []\n}'),
            (
                "numbers",
                "[1.10,1e400,12345678901234567890]",
                "[\n  1.10,\n  1e400,\n  12345678901234567890\n]",
            ),
            ("repeated", '{"a":1,"a":2}', '{\n  "a": 1,\n  "a": 2\n}'),
            ("quotes", '["{\\"a\\": [1,2]}"]', '[\n  "{\\"a\\": [1,2]}"\n]'),
            ("spaces", " [ 1 ,\r\n 2 ] ", "[\n  1,\n  2\n]"),
            ("none", "[]", "[]"),
        ]
    )
    def test_layout(self, _: str, text: str, expected: str) -> None:
        """Only white space changes: numbers and repeated names stay as they were sent."""
        self.assertEqual(lay_out(text), expected)

    @each(
        [
            ("fits", '{"a":1,"b":[true,null]}', 28, '{"a": 1, "b": [true, null]}'),
            ("part", '{"a":1,"b":[true]}', 15, '{\n  "a": 1,\n  "b": [true]\n}'),
            ("comma", '{"a":[1],"b":2}', 11, '{\n  "a": [1],\n  "b": 2\n}'),
            ("no comma", '{"a":[1],"b":2}', 10, '{\n  "a": [\n    1\n  ],\n  "b": 2\n}'),
            ("strings", '["a,b: [1]"]', 80, '["a,b: [1]"]'),
            ("numbers", '[1.10,{"a":1,"a":2}]', 80, '[1.10, {"a": 1, "a": 2}]'),
        ]
    )
    def test_width(self, _: str, text: str, width: int, expected: str) -> None:
        """An object or array that fits is on one line; the comma after it has space too."""
        self.assertEqual(lay_out(text, width), expected)

    @each(["hello", "", "1", '"text"', "{a: 1}", "[1,]", "{", "[1] 2", "[" * 100_000, "null"])
    def test_other_text(self, text: str) -> None:
        """A text that is not a JSON object or array has no layout."""
        self.assertIsNone(lay_out(text))

    def test_deep(self) -> None:
        """A text that is nested too deeply has none either: its indentation would be enormous."""
        self.assertIsNotNone(lay_out("[" * 100 + "]" * 100))
        self.assertIsNone(lay_out("[" * 101 + "]" * 101))

    def test_any_width(self) -> None:
        """At any width, the layout has the same value, and only single values are too long."""
        require("hypothesis")
        from hypothesis import given, settings
        from hypothesis import strategies as st

        values = st.recursive(
            st.booleans() | st.text("ab[,:{ "),
            lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
            max_leaves=20,
        )

        @settings(max_examples=50, deadline=None)
        @given(st.lists(values), st.integers(10, 60))
        def check(value: list[object], width: int) -> None:
            text = lay_out(json.dumps(value), width)
            assert text is not None
            self.assertEqual(json.loads(text), value)
            for line in text.split("\n"):
                if len(line) > width:
                    self.assertNotRegex(line, r'^ *("[^"]*": )?[\[{](?!\]|\})"?.')

        check()

    def test_any_value(self) -> None:
        """The layout of any JSON text has the same value, and that of Python's own layout."""
        require("hypothesis")
        from hypothesis import given, settings
        from hypothesis import strategies as st

        values = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=20,
        )

        @settings(max_examples=50, deadline=None)
        @given(st.lists(values), st.sampled_from([None, (",", ":")]))
        def check(value: list[object], separators: tuple[str, str] | None) -> None:
            text = json.dumps(value, separators=separators)
            self.assertEqual(lay_out(text), json.dumps(value, indent=2))

        check()

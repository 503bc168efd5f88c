"""Tests of the differences between expected and received frames."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx import Binary, Ping, Text
from wsx.testing.diff import difference, matches, show
from wsx.testing.wire import CloseFrame


class MatchTests(SynchronousTestCase):
    """Which frames match."""

    def test_matches(self) -> None:
        """Equal frames match, and a class matches each of its frames."""
        self.assertTrue(matches(Text("a"), Text("a")))
        self.assertTrue(matches(Text, Text("a")))
        self.assertTrue(matches(CloseFrame(), CloseFrame(1000, "")))
        self.assertFalse(matches(Text("a"), Binary(b"a")))
        self.assertFalse(matches(Text, Ping()))
        self.assertFalse(matches(CloseFrame(1000), CloseFrame(1001)))


class ShowTests(SynchronousTestCase):
    """How frames are shown."""

    def test_frames(self) -> None:
        """A frame is on one line; more of its payload is shown than in its repr."""
        self.assertEqual(show(Text("a\nb")), r"Text('a\nb')")
        self.assertEqual(show(Text("x" * 200)), f"Text('{'x' * 200}')")
        self.assertEqual(show(Binary), "any Binary")
        self.assertEqual(show(CloseFrame(4000, "é")), "CloseFrame(4000, 'é')")
        self.assertLess(len(show(Binary(bytes(100_000)))), 320)

    def test_anything(self) -> None:
        """What is no frame is shown by its repr."""
        self.assertEqual(show("text"), "'text'")


class DifferenceTests(SynchronousTestCase):
    """The lines of a diff."""

    def test_replaced(self) -> None:
        """A frame that differs is shown in both forms, next to each other."""
        lines = difference([Text("a"), Text("b")], [Text("a"), Binary(b"b")])
        self.assertEqual(lines, "    Text('a')\n  - Text('b')\n  + Binary(b'b')")

    def test_inserted_and_missing(self) -> None:
        """One frame too many or too few does not change the lines after it."""
        a, b, c = Text("a"), Text("b"), Text("c")
        self.assertEqual(difference([a, c], [a, b, c]).count("\n  + "), 1)
        self.assertEqual(
            difference([a, b, c], [a, c]), "    Text('a')\n  - Text('b')\n    Text('c')"
        )

    def test_classes(self) -> None:
        """A class that fits its place is no difference."""
        lines = difference([Text, Text("b")], [Text("a"), Text("x")])
        self.assertEqual(lines, "    Text('a')\n  - Text('b')\n  + Text('x')")
        self.assertEqual(difference([Ping], [Text("a")]), "  - any Ping\n  + Text('a')")

    def test_long_payloads(self) -> None:
        """The place of the first difference is shown, with what surrounds it."""
        same = "".join(map(str, range(200)))
        lines = difference([Text(f"{same}price: 1{same}")], [Text(f"{same}price: 2{same}")])
        self.assertIn(f"\n  ? they differ from character {len(same) + 7} on\n", lines)
        self.assertIn("\n  ?   - ...'", lines)
        first, second = lines.split("\n")[-2:]
        self.assertIn("price: 1", first)
        self.assertIn("price: 2", second)
        self.assertLess(max(map(len, lines.split("\n"))), 320)

    def test_prefix(self) -> None:
        """A payload that is cut off differs at its end."""
        data = bytes(range(100))
        lines = difference([Binary(data)], [Binary(data[:90])])
        self.assertIn("they differ from byte 90 on", lines)

    def test_many(self) -> None:
        """Of thousands of frames, a few are shown."""
        lines = difference([Text("a")], [Text("b")] * 5000)
        self.assertLess(lines.count("\n"), 50)
        self.assertTrue(lines.endswith("  ... and 4969 more"), lines[-100:])
        lines = difference([Text("a")], [Text("b")] * 31)
        self.assertNotIn("more", lines)
        self.assertEqual(lines.count("  + "), 31)

    def test_short_payloads(self) -> None:
        """The place of a difference is shown for payloads that are longer than a line together."""
        short, long = "a" * 30, "a" * 31
        self.assertNotIn("differ", difference([Text(short)], [Text("b" * 30)]))
        self.assertIn("from character 0 on", difference([Text(long)], [Text("b" * 30)]))

    def test_invalid_payload(self) -> None:
        """Frames that cannot be sent are shown as well."""
        broken: object = 5
        lines = difference([Text(broken)], [Text("a" * 100)])  # type: ignore[arg-type]
        self.assertIn("  - Text(5)", lines)

"""Tests of wsx._console.rendering: what a terminal shows."""

from __future__ import annotations

import re
import unicodedata

from twisted.trial.unittest import SynchronousTestCase

from wsx import Binary, Ping, Pong, Text
from wsx._console.records import IN, OUT, Record, frame_record
from wsx._console.rendering import STYLES, Fragment, render, render_text, to_ansi, to_plain
from wsx.frames import Frame
from wsx.test.support.each import each

INDENT = " " * 15
STAMP = r"\d\d:\d\d:\d\d\.\d\d\d"


def shown(frame: Frame, direction: str = IN) -> str:
    """Return what a terminal shows for a frame, without the time and colours."""
    text = to_plain(render(frame_record(0.0, direction, frame)))
    return re.sub(rf"\A{STAMP} ", "", text)


def styles_of(fragments: list[Fragment], part: str) -> list[str]:
    """Return the styles of the fragments that contain a text."""
    return [style for style, text in fragments if part in text]


class TextTests(SynchronousTestCase):
    """Text messages."""

    def test_received(self) -> None:
        """A received message has the time and a ``<``, in a colour of its own."""
        fragments = render(frame_record(1_700_000_000.25, IN, Text("hello")))
        self.assertRegex(to_plain(fragments), rf"\A{STAMP} < hello\n\Z")
        self.assertIn(".250 ", to_plain(fragments))
        self.assertEqual(styles_of(fragments, "<"), ["in"])

    def test_sent(self) -> None:
        """A sent message has a ``>``, in another colour."""
        fragments = render(frame_record(0.0, OUT, Text("hello")))
        self.assertRegex(to_plain(fragments), rf"\A{STAMP} > hello\n\Z")
        self.assertEqual(styles_of(fragments, ">"), ["out"])

    def test_lines(self) -> None:
        """Further lines of a message are indented: none of them looks like another message."""
        self.assertEqual(
            shown(Text("one\n12:00:00.000 < two\n")),
            f"< one\n{INDENT}12:00:00.000 < two\n{INDENT}\n",
        )

    def test_json(self) -> None:
        """A JSON object has one value on each line."""
        self.assertEqual(shown(Text('{"a":1.10}')), f'< {{\n{INDENT}  "a": 1.10\n{INDENT}}}\n')

    def test_json_that_fits(self) -> None:
        """On a terminal, what fits in one row stays in one row."""
        record = frame_record(0.0, IN, Text('{"a":1.10,"b":[1,2]}'))
        self.assertRegex(to_plain(render(record, 80)), r'< \{"a": 1.10, "b": \[1, 2\]\}\n\Z')
        self.assertEqual(to_plain(render(record, 36)).count("\n"), 4)

    @each([8, 20, 39, 40, 80])
    def test_rows(self, columns: int) -> None:
        """No row of a message begins in the first column but the first one."""
        fake = "x" * 200 + "12:00:00.000 < fake" * 20 + "\x1b" * 30 + "\u6f22" * 50 + "\n> end"
        for frame in (Text(fake), Binary(bytes(range(256))), Ping(fake[:100].encode())):
            rows = to_plain(render(frame_record(0.0, IN, frame), columns)).split("\n")
            self.assertEqual(rows.pop(), "")
            self.assertEqual({row[:2] for row in rows[1:]}, {"  "})
            widths = [len(row) + row.count("\u6f22") for row in rows]
            self.assertLessEqual(max(widths[1:]), columns)

    def test_long(self) -> None:
        """Of a very long message, the end is left out."""
        text = shown(Text("x" * 100_000))
        self.assertEqual(text.count("x"), 64 * 1024)
        self.assertIn("... (message of 100000 characters)", text)

    @each(
        [
            ("\x1b[2J", "\\x1b[2J"),
            ("a\rb", "a\\rb"),
            ("\x07\x08\x00", "\\x07\\x08\\x00"),
            ("\x7f", "\\x7f"),
            ("\x9b31m", "\\x9b31m"),
            ("a\u202eb\u2028c", "a\\u202eb\\u2028c"),
            ("\u2066\u2067\u2068\u2069", "\\u2066\\u2067\\u2068\\u2069"),
            ("\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"),
            ("\u200b\u200c\u200d\u2060\ufeff", "\\u200b\\u200c\\u200d\\u2060\\ufeff"),
            ("\xad\u034f\u3164\uffa0\u2800", "\\xad\\u034f\\u3164\\uffa0\\u2800"),
            ("\U000e0001\U000e0100", "\\U000e0001\\U000e0100"),
            ("\ue000\ud800", "\\ue000\\ud800"),
            ("tab\there and h\xe9llo \U0001f600", "tab\there and h\xe9llo \U0001f600"),
        ]
    )
    def test_escapes(self, payload: str, expected: str) -> None:
        """What is not visible is escaped; tabs and letters are not."""
        self.assertEqual(shown(Text(payload)), f"< {expected}\n")

    def test_escapes_every_control(self) -> None:
        """Every control and format character of Unicode is escaped."""
        hidden = [
            chr(number)
            for number in range(0x110000)
            if unicodedata.category(chr(number)) in ("Cc", "Cf", "Zl", "Zp")
        ]
        text = shown(Text("".join(c for c in hidden if c not in "\t\n")))
        self.assertEqual([c for c in text if c in hidden], ["\n"])

    def test_escape_style(self) -> None:
        """An escaped character has a style of its own, unlike a message with a backslash."""
        fragments = render(frame_record(0.0, IN, Text("a\x1bb")))
        self.assertEqual(styles_of(fragments, "\\x1b"), ["escape"])
        fragments = render(frame_record(0.0, IN, Text("a\\x1bb")))
        self.assertEqual(styles_of(fragments, "\\x1b"), [""])


class BinaryTests(SynchronousTestCase):
    """Binary messages."""

    def test_dump(self) -> None:
        """A binary message is a hex dump: offsets, bytes and ASCII."""
        self.assertEqual(
            shown(Binary(b"\x00\x01Hello, world\xff\x7f!")).split("\n"),
            [
                "< binary message, 17 bytes",
                f"{INDENT}00000000  00 01 48 65 6c 6c 6f 2c  20 77 6f 72 6c 64 ff 7f  "
                "|..Hello, world..|",
                f"{INDENT}00000010  21                                                |!|",
                "",
            ],
        )

    @each([(93, 16), (92, 8), (60, 8), (59, 4), (44, 4)])
    def test_width(self, columns: int, size: int) -> None:
        """In a narrower terminal, a line has fewer bytes, and still fits."""
        record = frame_record(0.0, IN, Binary(bytes(32)))
        rows = to_plain(render(record, columns)).splitlines()[1:]
        self.assertEqual(len(rows), 32 // size)
        self.assertLessEqual(max(map(len, rows)), columns)
        self.assertEqual({row.count(" 00") for row in rows}, {size + 1})
        self.assertEqual({row[-size - 2 :] for row in rows}, {f"|{'.' * size}|"})

    def test_sizes(self) -> None:
        """An empty message and one byte have a line with their size."""
        self.assertEqual(shown(Binary(b"")), "< binary message, 0 bytes\n")
        self.assertIn("binary message, 1 byte\n", shown(Binary(b"x")))

    def test_long(self) -> None:
        """Of a long message, the end is left out."""
        text = shown(Binary(b"\xee" * 5000))
        self.assertEqual(text.count(" ee"), 4096)
        self.assertIn("... (904 more bytes)", text)


class ControlTests(SynchronousTestCase):
    """Control frames and events."""

    def test_pings(self) -> None:
        """Pings and pongs have their payload, escaped."""
        self.assertEqual(shown(Ping()), "< ping\n")
        self.assertEqual(shown(Pong(b"a\x1b\xff"), OUT), "> pong a\\x1b\\xff\n")

    def test_close(self) -> None:
        """A close frame has its code with its name, and the message, escaped."""
        for code, message, expected in (
            (1001, "", "< close 1001 (going away)\n"),
            (4000, "by\x1be", "< close 4000 (private use) by\\x1be\n"),
        ):
            text = to_plain(render(Record(0.0, IN, "close", message, code)))
            self.assertTrue(text.endswith(f" {expected}"), text)

    @each(["open", "lost", "failed"])
    def test_events(self, kind: str) -> None:
        """Nothing is shown for events that the log shows."""
        self.assertEqual(render(Record(0.0, None, kind, "text")), [])


class LogTests(SynchronousTestCase):
    """Log lines and notices."""

    def test_log(self) -> None:
        """A log line has the time and a ``-``; its text is escaped and has the style."""
        fragments = render_text(0.0, "warning", "lost\x1b\nsecond line")
        self.assertRegex(to_plain(fragments), rf"\A{STAMP} - lost\\x1b\n {{15}}second line\n\Z")
        self.assertEqual(styles_of(fragments, "second"), ["warning"])


class ColourTests(SynchronousTestCase):
    """Colours of a terminal without prompt_toolkit."""

    def test_ansi(self) -> None:
        """Each style has its sequence, and ends with a reset."""
        self.assertEqual(to_ansi([("in", "< "), ("", "x\n")]), "\x1b[32m< \x1b[0mx\n")

    def test_all_styles(self) -> None:
        """Every style that is used has a sequence."""
        used = render(frame_record(0.0, IN, Text("\x1b"))) + render_text(0.0, "log", "x")
        self.assertEqual({style for style, _ in used} - set(STYLES), set())

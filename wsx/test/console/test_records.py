"""Tests of wsx._console.records: what the console writes to a pipe."""

from __future__ import annotations

import json
from base64 import b64decode

from twisted.trial.unittest import SynchronousTestCase

from wsx import Binary, Ping, Text
from wsx._console.records import IN, OUT, Record, frame_record, to_json, to_line
from wsx.test.support.each import each

TIME = 1_700_000_000.25


class JsonTests(SynchronousTestCase):
    """Records as JSON."""

    @each(["", "hello", 'a "quoted"\nline', "h\xe9llo \U0001f600", "\x1b[31m\u202e\u2028"])
    def test_text(self, payload: str) -> None:
        """A text is complete, on one line of ASCII."""
        line = to_json(frame_record(TIME, IN, Text(payload)))
        self.assertTrue(line.isascii())
        self.assertEqual(line.count("\n"), 1)
        self.assertTrue(line.endswith("\n"))
        self.assertEqual(
            json.loads(line),
            {
                "time": "2023-11-14T22:13:20.250000Z",
                "direction": "in",
                "kind": "text",
                "payload": payload,
            },
        )

    def test_binary(self) -> None:
        """The bytes of a binary message are encoded with base64, and all of them are there."""
        payload = bytes(range(256)) * 10
        fields = json.loads(to_json(frame_record(TIME, OUT, Binary(payload))))
        self.assertEqual((fields["direction"], fields["kind"]), ("out", "binary"))
        self.assertEqual(fields["encoding"], "base64")
        self.assertEqual(b64decode(fields["payload"]), payload)

    def test_ping(self) -> None:
        """The payload of a ping is bytes too."""
        fields = json.loads(to_json(frame_record(TIME, IN, Ping(b"\xff"))))
        self.assertEqual((fields["kind"], fields["payload"]), ("ping", "/w=="))

    def test_close(self) -> None:
        """A close frame has its code, the name of the code, and the message."""
        fields = json.loads(to_json(Record(TIME, IN, "close", "bye", 1001)))
        self.assertEqual((fields["code"], fields["name"]), (1001, "going away"))
        self.assertEqual((fields["kind"], fields["payload"]), ("close", "bye"))

    def test_event(self) -> None:
        """An event of the connection has no direction."""
        fields = json.loads(to_json(Record(TIME, None, "open", "ws://host/")))
        self.assertIsNone(fields["direction"])
        self.assertEqual((fields["kind"], fields["payload"]), ("open", "ws://host/"))


class LineTests(SynchronousTestCase):
    """Records as lines of text."""

    @each(["hello", "", "h\xe9llo \U0001f600", "\x1b[31mred\r\x07", "two\nlines"])
    def test_text(self, payload: str) -> None:
        """A text is unchanged."""
        self.assertEqual(to_line(frame_record(TIME, IN, Text(payload))), payload + "\n")

    @each([(b"\x00\xff", "00 ff"), (bytes(range(64)), bytes(range(64)).hex(" ")), (b"", "")])
    def test_binary(self, payload: bytes, digits: str) -> None:
        """A binary message is its size and its first 64 bytes in hexadecimal, on one line."""
        line = to_line(frame_record(TIME, IN, Binary(payload)))
        self.assertEqual(line, f"binary message, {len(payload)} bytes: {digits}\n")

    def test_long_binary(self) -> None:
        """Of a long binary message, the rest is left out."""
        line = to_line(frame_record(TIME, IN, Binary(b"\xaa" * 64 + b"\xbb" * 1000)))
        self.assertEqual((line.count("aa"), line.count("bb")), (64, 0))
        self.assertTrue(line.startswith("binary message, 1064 bytes:"))
        self.assertTrue(line.endswith(" ...\n"))

    @each(
        [
            ("sent", frame_record(TIME, OUT, Text("mine"))),
            ("ping", frame_record(TIME, IN, Ping(b"x"))),
            ("close", Record(TIME, IN, "close", "bye", 1000)),
            ("event", Record(TIME, None, "open", "ws://host/")),
        ]
    )
    def test_no_message(self, _: str, record: Record) -> None:
        """Only received messages are written."""
        self.assertEqual(to_line(record), "")

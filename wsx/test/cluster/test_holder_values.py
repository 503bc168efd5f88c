"""Tests of wsx._cluster.holder_values: what the entry of a name says about its holder."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._cluster.holder_values import ProcessValues, describe_holder, parse_holder
from wsx.test.support.each import each

CLIENT = SimpleNamespace(handler=wsx.Handler(), conn=wsx.Conn("wss://me:secret@x.test/feed"))


class ValueTests(SynchronousTestCase):
    """ProcessValues, parse_holder and describe_holder."""

    def test_round_trip(self) -> None:
        """A value names the host, the process, the client and the time."""
        holder = parse_holder(ProcessValues().new(CLIENT))
        self.assertEqual(
            (holder.host, holder.pid, holder.client),
            (socket.gethostname(), os.getpid(), "Handler wss://me:...@x.test/feed"),
        )
        self.assertLess(abs(datetime.now(UTC) - holder.since), timedelta(minutes=1))

    def test_own(self) -> None:
        """A process recognises its own values, each of which is different."""
        one, two = ProcessValues(), ProcessValues()
        first, second = one.new(CLIENT), one.new(CLIENT)
        self.assertNotEqual(first, second)
        self.assertEqual([one.wrote(first), one.wrote(second)], [True, True])
        self.assertEqual([two.wrote(first), one.wrote(b"")], [False, False])

    @each([b"", b"[]", b"{}", b"\xff", b'{"id": 5}', b'{"host": ["x"], "since": 7, "pid": "7"}'])
    def test_foreign(self, value: bytes) -> None:
        """A value that another program has written is no error."""
        holder = parse_holder(value)
        self.assertEqual((holder.pid, holder.client), (0, ""))
        self.assertEqual(holder.since, datetime.fromtimestamp(0, UTC))
        self.assertTrue(describe_holder(value))

    def test_description(self) -> None:
        """The description names the process, the host and the time in UTC."""
        value = {"host": "b\n\u202e", "pid": 7, "since": "2026-11-27T22:00:00+01:00"}
        self.assertEqual(
            describe_holder(json.dumps(value).encode()),
            "process 7 on b \\u202e since 2026-11-27 21:00:00 UTC",
        )
        self.assertEqual(describe_holder(b""), "an unknown process")

"""Tests of wsx._cluster.call_format: requests and replies."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx import ClusterError
from wsx._cluster.call_format import (
    DONE,
    MAX_CALLS,
    OPERATIONS,
    REQUEST_OVERHEAD,
    decode_reply,
    decode_request,
    encode_refusal,
    encode_reply,
    encode_request,
    subject_for,
)
from wsx._cluster.values import pack
from wsx.test.support.each import each
from wsx.test.support.extras import require


class FormatCase(SynchronousTestCase):
    """Base class: MessagePack is needed."""

    def setUp(self) -> None:
        require("msgpack")


class RequestTests(FormatCase):
    """Requests."""

    @each([0, 1, 15, 16, 255, 256, MAX_CALLS])
    def test_round_trip(self, count: int) -> None:
        """The calls arrive in order; the size of a request is known in advance."""
        calls = [["cast", number] for number in range(count)]
        packed = [pack(call) for call in calls]
        request = encode_request(packed)
        self.assertEqual(decode_request(request), calls)
        self.assertEqual(len(request), sum(map(len, packed)) + REQUEST_OVERHEAD)

    def test_is_message_pack(self) -> None:
        """A request is the MessagePack form of a list."""
        import msgpack

        request = encode_request([pack(["cast", "a"])])
        self.assertEqual(msgpack.unpackb(request), [1, [["cast", "a"]]])

    @each(
        [
            None,
            1,
            [],
            [1],
            [2, []],
            [1, None],
            [1, {}],
            [1, [], 3],
            [1, [[]]],
            [1, ["cast"]],
            [1, [[1, "a"]]],
            [1, [["cast"]] * (MAX_CALLS + 1)],
            ["1", []],
        ]
    )
    def test_malformed(self, value: Any) -> None:
        """Anything else is malformed."""
        error = self.assertRaises(ValueError, decode_request, pack(value))
        self.assertIn("request: expected", str(error))
        self.assertLess(len(str(error)), 200)

    def test_other_version(self) -> None:
        """The message shows the version, and nothing of the calls."""
        error = self.assertRaises(ValueError, decode_request, pack([2, [["cast", "secret"]]]))
        text = "request: expected [1, calls], got a list that begins with 2"
        self.assertEqual(str(error), text)

    def test_not_message_pack(self) -> None:
        """So is what is not MessagePack."""
        self.assertRaises(ValueError, decode_request, b"{}")


class ReplyTests(FormatCase):
    """Replies."""

    def test_round_trip(self) -> None:
        """The outcomes arrive in order."""
        outcomes = [DONE, [False, ["KeyError", "a"]], [True, {"a": 1}]]
        self.assertEqual(decode_reply(encode_reply(outcomes), 3), outcomes)

    def test_refusal(self) -> None:
        """If a request is refused, each of its calls fails."""
        refusal = encode_refusal(ClusterError("no"))
        failed = [False, ["ClusterError", ["no"]]]
        self.assertEqual(decode_reply(refusal, 2), [failed, failed])

    @each(
        [
            None,
            [],
            [1, []],
            [1, [DONE, DONE]],
            [1, [[True]]],
            [1, [[1, None]]],
            [1, [None]],
            [1, 2, 3],
            [2, [DONE]],
            {"a": 1},
        ]
    )
    def test_malformed(self, value: Any) -> None:
        """Anything else is malformed."""
        error = self.assertRaises(ValueError, decode_reply, pack(value), 1)
        self.assertIn("reply: expected [1, outcomes], one for each of 1", str(error))

    def test_random(self) -> None:
        """Random data is malformed; nothing else is raised."""
        source = random.Random(14)
        for _ in range(20_000):
            data = bytes([0x92, 0x01]) + source.randbytes(source.randrange(20))
            for decode in (decode_request, lambda data: decode_reply(data, 1)):
                try:
                    decode(data)
                except ValueError:
                    continue


class SubjectTests(SynchronousTestCase):
    """Subjects."""

    def test_subjects(self) -> None:
        """Each group of operations of a name has a subject."""
        subjects = [subject_for("b", group, "feed") for group in OPERATIONS]
        self.assertEqual(subjects, ["wsx.b.call.feed", "wsx.b.read.feed", "wsx.b.control.feed"])

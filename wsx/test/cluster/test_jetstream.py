"""Tests of wsx._cluster.jetstream."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster.jetstream import Bucket, write_headers
from wsx._cluster.store import Entry, WrongRevision
from wsx.errors import ClusterError, ClusterSetupError


def pack(**reply: Any) -> bytes:
    """Return a reply."""
    return json.dumps(reply).encode()


def refusal(err_code: int, description: str = "text", code: int = 400) -> bytes:
    """Return a reply with an error."""
    return pack(error={"code": code, "err_code": err_code, "description": description})


def base64(content: bytes) -> str:
    """Return base64 text."""
    return b64encode(content).decode()


class BucketTests(SynchronousTestCase):
    """Requests and replies for a bucket."""

    def setUp(self) -> None:
        self.bucket = Bucket("b", 2.5, 3)

    def test_creation(self) -> None:
        """The bucket is asked for, then created, with its time to live and replicas."""
        (info, nothing), (create, request) = self.bucket.preparation()
        self.assertEqual(info, "$JS.API.STREAM.INFO.KV_b")
        self.assertEqual(nothing, b"")
        self.assertEqual(create, "$JS.API.STREAM.CREATE.KV_b")
        created = json.loads(request)
        self.assertEqual(created["max_age"], 2_500_000_000)
        self.assertEqual(created["num_replicas"], 3)
        self.assertEqual(created["max_msgs_per_subject"], 1)
        self.assertEqual(created["subjects"], ["$KV.b.>"])

    def test_exists(self) -> None:
        """A bucket with this time to live exists; one that was not found does not."""
        self.assertTrue(self.bucket.exists(pack(config={"max_age": 2_500_000_000})))
        self.assertFalse(self.bucket.exists(refusal(10059)))
        self.assertFalse(self.bucket.exists(refusal(10058)))

    def test_other_ttl(self) -> None:
        """A bucket with another time to live, or with none, is refused."""
        for config, ttl in (({"max_age": 10_000_000_000}, "10"), ({}, "0")):
            error = self.assertRaises(ClusterSetupError, self.bucket.exists, pack(config=config))
            self.assertEqual(
                error.reason,
                f'bucket "b" has ttl={ttl}, expected 2.5; '
                "use the same ttl in all processes, or another bucket",
            )

    def test_not_enabled(self) -> None:
        """JetStream can be off for an account."""
        error = self.assertRaises(ClusterSetupError, self.bucket.exists, refusal(10039, code=503))
        self.assertIn("JetStream is not enabled", error.reason)

    def test_unavailable(self) -> None:
        """Some errors end by themselves, others do not."""
        for reply in (refusal(10008, "unavailable", 503), refusal(10005, "no peers")):
            error = self.assertRaises(ClusterError, self.bucket.exists, reply)
            self.assertNotIsInstance(error, ClusterSetupError)
        error = self.assertRaises(
            ClusterSetupError, self.bucket.exists, refusal(10074, "replicas > 1")
        )
        self.assertEqual(error.reason, 'bucket "b": replicas > 1 (JetStream error 10074)')

    def test_write_headers(self) -> None:
        """A write expects a revision; a delete marker has another header."""
        expected = {"Nats-Expected-Last-Subject-Sequence": "7"}
        self.assertEqual(write_headers(7, deletes=False), expected)
        deleted = {**expected, "KV-Operation": "DEL"}
        self.assertEqual(write_headers(7, deletes=True), deleted)

    def test_written(self) -> None:
        """The reply to a write has the revision."""
        self.assertEqual(self.bucket.parse_write(pack(stream="KV_b", seq=8)), 8)

    def test_wrong_revision(self) -> None:
        """The last revision is known if the server says it."""
        for reply, last in (
            (refusal(10071, "wrong last sequence: 12"), 12),
            (refusal(10164, "wrong last sequence"), None),
        ):
            error = self.assertRaises(WrongRevision, self.bucket.parse_write, reply)
            self.assertEqual(error.last, last)

    def test_refused(self) -> None:
        """Any other refusal is a ClusterError with the text of the server."""
        for parse in (self.bucket.parse_write, self.bucket.parse_entry):
            error = self.assertRaises(ClusterError, parse, refusal(10077, "too many", 400))
            self.assertIs(type(error), ClusterError)
            self.assertEqual(error.reason, 'bucket "b": too many (JetStream error 10077)')

    def test_read(self) -> None:
        """A read asks for the last entry of a key, and finds it or nothing."""
        self.assertEqual(json.loads(self.bucket.read_request("k")), {"last_by_subj": "$KV.b.k"})
        entry = self.bucket.parse_entry(pack(message={"seq": 4, "data": base64(b"one")}))
        self.assertEqual(entry, Entry(4, b"one"))
        self.assertIsNone(self.bucket.parse_entry(refusal(10037, code=404)))

    def test_deleted(self) -> None:
        """A delete marker is told by its header, which other tools may have written."""
        for kind in (b"DEL", b"PURGE"):
            headers = base64(b"NATS/1.0\r\nKV-Operation: %b\r\nA: B\r\n\r\n" % kind)
            entry = self.bucket.parse_entry(pack(message={"seq": 4, "hdrs": headers}))
            self.assertEqual(entry, Entry(4, b"", is_deleted=True))

    def test_other_reply(self) -> None:
        """A reply of another process is an error."""
        for reply in (b"", b"[]", b"\xff"):
            self.assertRaises(ClusterError, self.bucket.parse_write, reply)

"""Requests and replies of JetStream's API for a key-value bucket.

They are the same as those of nats-py's ``KeyValue`` (NATS ADR-8), but a read always asks the leader
of the bucket, because other servers may return an entry that has been replaced.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any, Final

from wsx._cluster.store import Entry, WrongRevision
from wsx.errors import ClusterError, ClusterSetupError

__all__ = ["Bucket", "write_headers"]

_API: Final = "$JS.API.STREAM"
_NANOSECONDS: Final = 1_000_000_000
_DUPLICATES: Final = 120  # seconds; the default of NATS
_DELETED: Final = re.compile(rb"^KV-Operation: *(?:DEL|PURGE)\r?$", re.MULTILINE)
_LAST: Final = re.compile(r"wrong last sequence: (\d+)")

# Error codes of JetStream (server/errors.json of nats-server).
_NO_PEERS: Final = 10005
_NO_MESSAGE: Final = 10037
_NOT_ENABLED: Final = (10039, 10076)
_NAME_IN_USE: Final = 10058
_NO_STREAM: Final = 10059
_WRONG_SEQUENCE: Final = (10071, 10164)
_UNAVAILABLE: Final = 503


class Bucket:
    """A key-value bucket: build its requests, and parse the replies.

    Args:
        name: The name of the bucket.
        ttl: The time to live of the entries in seconds.
        replicas: The number of servers that store the entries.

    Attributes:
        read_subject: The subject of read requests.
    """

    def __init__(self, name: str, ttl: float, replicas: int) -> None:
        self._name = name
        self._stream = f"KV_{name}"
        self._ttl = ttl
        self._replicas = replicas
        self.read_subject = f"{_API}.MSG.GET.{self._stream}"

    def key_subject(self, key: str) -> str:
        """Return the subject to which the entries of a key are written."""
        return f"$KV.{self._name}.{key}"

    def preparation(self) -> list[tuple[str, bytes]]:
        """Return two subjects with requests: to find the bucket, and to create it."""
        return [
            (f"{_API}.INFO.{self._stream}", b""),
            (f"{_API}.CREATE.{self._stream}", _pack(self._configuration())),
        ]

    def _configuration(self) -> dict[str, Any]:
        max_age = round(self._ttl * _NANOSECONDS)
        return {
            "name": self._stream,
            "subjects": [self.key_subject(">")],
            "retention": "limits",
            "max_msgs_per_subject": 1,
            "max_age": max_age,
            "duplicate_window": min(max_age, _DUPLICATES * _NANOSECONDS),
            "storage": "file",
            "discard": "new",
            "num_replicas": self._replicas,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
        }

    def exists(self, reply: bytes) -> bool:
        """Return whether a reply describes the bucket with the right time to live.

        Args:
            reply: The reply to a request for information or creation.

        Raises:
            ClusterSetupError: The bucket has another time to live, or cannot be used at all.
            ClusterError: JetStream is not available now.
        """
        result = _unpack(reply)
        error = result.get("error")
        if error is not None:
            if error.get("err_code") in (_NO_STREAM, _NAME_IN_USE):
                return False
            raise self._failure(error)
        ttl = result["config"].get("max_age", 0) / _NANOSECONDS
        if round(ttl * 1000) != round(self._ttl * 1000):
            raise ClusterSetupError(
                f'bucket "{self._name}" has ttl={ttl:g}, expected {self._ttl:g}; '
                "use the same ttl in all processes, or another bucket"
            )
        return True

    def _failure(self, error: dict[str, Any]) -> ClusterError:
        """Return why the bucket cannot be used."""
        code, text = error.get("err_code"), error.get("description", "no description")
        if code in _NOT_ENABLED:
            return ClusterSetupError("JetStream is not enabled for this account of the NATS server")
        is_transient = error.get("code") == _UNAVAILABLE or code == _NO_PEERS
        kind = ClusterError if is_transient else ClusterSetupError
        return kind(f'bucket "{self._name}": {text} (JetStream error {code})')

    def read_request(self, key: str) -> bytes:
        """Return the request for the last entry of a key."""
        return _pack({"last_by_subj": self.key_subject(key)})

    def parse_entry(self, reply: bytes) -> Entry | None:
        """Return the entry in the reply to a read request, or None if there is none.

        Raises:
            ClusterError: The server has refused.
        """
        result = _unpack(reply)
        error = result.get("error")
        if error is not None:
            if error.get("err_code") == _NO_MESSAGE:
                return None
            raise self._refusal(error)
        message = result["message"]
        if _DELETED.search(b64decode(message.get("hdrs", ""))):
            return Entry(message["seq"], b"", is_deleted=True)
        return Entry(message["seq"], b64decode(message.get("data", "")))

    def parse_write(self, reply: bytes) -> int:
        """Return the revision in the reply to a write.

        Raises:
            WrongRevision: The last revision is another.
            ClusterError: The server has refused.
        """
        result = _unpack(reply)
        error = result.get("error")
        if error is None:
            return int(result["seq"])
        if error.get("err_code") in _WRONG_SEQUENCE:
            last = _LAST.search(error.get("description", ""))
            raise WrongRevision(None if last is None else int(last[1]))
        raise self._refusal(error)

    def _refusal(self, error: dict[str, Any]) -> ClusterError:
        return ClusterError(self._failure(error).reason)


def write_headers(after: int, *, deletes: bool) -> dict[str, str]:
    """Return the headers of a write after a revision."""
    headers = {"Nats-Expected-Last-Subject-Sequence": str(after)}
    return {"KV-Operation": "DEL", **headers} if deletes else headers


def _pack(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode()


def _unpack(reply: bytes) -> dict[str, Any]:
    try:
        result = json.loads(reply)
    except ValueError:
        result = None
    if not isinstance(result, dict):
        raise ClusterError("malformed reply: expected a JSON object from JetStream")
    return result

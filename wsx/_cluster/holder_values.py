"""The value of a name's entry: which process has the name, with which client, and since when."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from wsx._text import line
from wsx.remote import Holder

__all__ = ["ProcessValues", "describe_holder", "parse_holder"]

_UNKNOWN: Final = "an unknown process"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class ProcessValues:
    """The values that one process writes. Each has an id of its own."""

    def __init__(self) -> None:
        self._id = uuid4().hex
        self._count = 0

    def new(self, client: Any) -> bytes:
        """Return a value for a client of this process."""
        self._count += 1
        value = {
            "id": f"{self._id}.{self._count}",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "client": line(f"{type(client.handler).__qualname__} {client.conn.parsed.shown}"),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return json.dumps(value).encode()

    def wrote(self, value: bytes) -> bool:
        """Return whether this process has written a value."""
        return str(_parse(value).get("id")).startswith(f"{self._id}.")


def parse_holder(value: bytes) -> Holder:
    """Return the holder that a value describes; missing or wrong parts are empty."""
    found = _parse(value)
    pid = found.get("pid")
    return Holder(
        host=line(str(found.get("host", ""))),
        pid=pid if isinstance(pid, int) else 0,
        client=line(str(found.get("client", ""))),
        since=_time(found.get("since")),
    )


def describe_holder(value: bytes) -> str:
    """Return a short description of a process, for messages."""
    holder = parse_holder(value)
    if not holder.host:
        return _UNKNOWN
    since = f"{holder.since:%Y-%m-%d %H:%M:%S}"
    return f"process {holder.pid} on {holder.host} since {since} UTC"


def _parse(value: bytes) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _time(text: object) -> datetime:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return _EPOCH

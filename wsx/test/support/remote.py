"""Two processes in memory: one holds a name with a real client, the other one calls it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred

import wsx
from wsx._cluster.call_format import encode_request, subject_for
from wsx._cluster.calls import Calls
from wsx._cluster.serving import Serving
from wsx._cluster.values import pack, unpack
from wsx.remote import Holder, RemoteClient
from wsx.test.support.cases import MemoryCase
from wsx.test.support.extras import require
from wsx.test.support.handlers import Recorder
from wsx.test.support.memory_nats import MemoryLink, MemoryNats

__all__ = ["HOLDER", "NAME", "RemoteCase"]

NAME = wsx.Global("feed")
HOLDER = Holder("host1", 4711, "<client>", datetime(2026, 1, 1, tzinfo=UTC))
_BUCKET = "b"
_TOKEN = "feed"


class RemoteCase(MemoryCase):
    """Base class for tests of calls between two processes.

    Attributes:
        client: The client that holds the name, with the handler ``recorder``.
        serving: The holder's side.
        holder_link: The link of the holder.
        link: The link of the caller.
        remote: The caller's reference.
    """

    def setUp(self) -> None:
        require("msgpack")
        super().setUp()
        self.nats = MemoryNats(self.clock)
        self.holder_link, self.link = self.connect(), self.connect()
        self.calls = Calls(self.link, _BUCKET, self.clock)
        self.remote = RemoteClient(self.calls, NAME, _TOKEN, HOLDER)

    def connect(self) -> MemoryLink:
        """Return a connected link."""
        link = MemoryLink(self.nats, self.clock)
        self.successResultOf(link.start())
        return link

    def hold(self, state: Any = None, **options: Any) -> None:
        """Open the client, which holds the name from now on."""
        self.recorder = Recorder(**options.pop("answers", {}))
        self.client = self.open(self.recorder, state, **options)
        self.serving = self.serve(self.client)
        self.successResultOf(self.serving.start())

    def serve(self, client: Any, **options: Any) -> Serving:
        """Return the holder's side for a client."""
        return Serving(self.holder_link, client, NAME, _TOKEN, _BUCKET, **options)

    def result(self, asked: Deferred[Any]) -> Any:
        """Return the result of a call."""
        self.step()
        return self.successResultOf(asked)

    def error(self, asked: Deferred[Any], kind: type[Exception]) -> Any:
        """Return the exception of a call."""
        self.step()
        return self.failureResultOf(asked, kind).value

    def request(self, group: str, *calls: list[Any]) -> Any:
        """Send a request without the checks of the caller's side, and return the reply."""
        return self.raw_request(group, encode_request([pack(call) for call in calls]))

    def raw_request(self, group: str, request: bytes) -> Any:
        """Send any bytes, and return the reply."""
        subject = subject_for(_BUCKET, group, _TOKEN)
        asked = self.link.request(subject, request, 5.0)
        self.step()
        return unpack(self.successResultOf(asked))

"""A NATS server in memory, with a link whose connection can be cut, for tests with a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from wsx._cluster.store import Entry, NoResponder, Serve, WrongRevision
from wsx.errors import ClusterError

T = TypeVar("T")


class MemoryNats:
    """The server: one bucket, and the subscriptions of all links.

    Args:
        clock: The clock of the server.
        ttl: The time to live of the entries in seconds.

    Attributes:
        subscriptions: The functions that serve each subject.
    """

    def __init__(self, clock: Clock, ttl: float = 10.0) -> None:
        self._clock = clock
        self.ttl = ttl
        self.subscriptions: dict[str, list[Serve]] = {}
        self._entries: dict[str, tuple[Entry, float]] = {}
        self._revision = 0

    def read(self, key: str) -> Entry | None:
        """Return the last entry of a key unless it has expired."""
        entry, expires = self._entries.get(key, (None, 0.0))
        return entry if self._clock.seconds() < expires else None

    def write(self, key: str, value: bytes, after: int, *, deletes: bool = False) -> int:
        """Write an entry, and return its revision."""
        entry = self.read(key)
        last = 0 if entry is None else entry.revision
        if last != after:
            raise WrongRevision(last)
        self._revision += 1
        expires = self._clock.seconds() + self.ttl
        self._entries[key] = (Entry(self._revision, value, deletes), expires)
        return self._revision


class MemoryLink:
    """A link of one process to a server in memory (a ``wsx._cluster.store.Link``).

    Args:
        server: The server.
        clock: The clock of the process.
        time_limit: The time in seconds after which a lost request fails. Default 2.

    Attributes:
        is_connected: As of a Link. The test may set it.
        max_payload: As of a Link. Default 1 MiB.
        latency: The time in seconds that a request, a reply and a subscription takes. Default 0.
        loses_requests: Whether requests do not reach the server. Default False.
        loses_replies: Whether replies of the server get lost. Default False.
    """

    def __init__(self, server: MemoryNats, clock: Clock, time_limit: float = 2.0) -> None:
        self.is_connected = False
        self.max_payload = 1024 * 1024
        self.latency = 0.0
        self.loses_requests = False
        self.loses_replies = False
        self._server = server
        self._clock = clock
        self._time_limit = time_limit

    def start(self) -> Deferred[None]:
        """Connect at once."""
        self.is_connected = True
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Disconnect at once."""
        self.is_connected = False
        return succeed(None)

    def write(self, key: str, value: bytes, after: int) -> Deferred[int]:
        """Write to the bucket of the server."""
        return self._ask(lambda: succeed(self._server.write(key, value, after)), self._time_limit)

    def read(self, key: str) -> Deferred[Entry | None]:
        """Read from the bucket of the server."""
        return self._ask(lambda: succeed(self._server.read(key)), self._time_limit)

    def erase(self, key: str, after: int) -> Deferred[int]:
        """Write a delete marker to the bucket of the server."""
        return self._ask(
            lambda: succeed(self._server.write(key, b"", after, deletes=True)), self._time_limit
        )

    def request(self, subject: str, payload: bytes, timeout: float) -> Deferred[bytes]:
        """Pass a request to the first function that serves the subject."""

        def serve() -> Deferred[bytes]:
            serving = self._server.subscriptions.get(subject)
            return serving[0](payload) if serving else fail(NoResponder())

        return self._ask(serve, timeout)

    def subscribe(self, subject: str, serve: Serve) -> Deferred[Callable[[], Deferred[None]]]:
        """Serve a subject, as long as this link reaches the server."""
        if not self.is_connected:
            return fail(ClusterError("not connected to NATS"))

        def reachable(payload: bytes) -> Deferred[bytes]:
            return Deferred() if self.loses_requests else serve(payload)

        def unsubscribe() -> Deferred[None]:
            serving.remove(reachable)
            return succeed(None)

        serving = self._server.subscriptions.setdefault(subject, [])
        subscribing: Deferred[Callable[[], Deferred[None]]] = Deferred()

        def arrive() -> None:
            serving.append(reachable)
            subscribing.callback(unsubscribe)

        if self.latency:
            self._clock.callLater(self.latency, arrive)
        else:
            arrive()
        return subscribing

    def _ask(self, perform: Callable[[], Deferred[T]], time_limit: float) -> Deferred[T]:
        """Perform something on the server, after the latency, and return its result likewise."""
        if not self.is_connected:
            return fail(ClusterError("not connected to NATS"))
        answer: Deferred[T] = Deferred()
        answer.addTimeout(time_limit, self._clock, lambda _, limit: _no_answer(limit))

        def arrive() -> None:
            if self.loses_requests:
                return
            try:
                performed = perform()
            except WrongRevision as error:
                performed = fail(error)
            performed.addBoth(lambda result: self._clock.callLater(self.latency, reply, result))

        def reply(result: object) -> None:
            if not self.loses_replies and not answer.called:
                answer.callback(result)  # type: ignore[arg-type]

        self._clock.callLater(self.latency, arrive)
        return answer


def _no_answer(limit: float) -> None:
    raise ClusterError(f"no answer from NATS within {limit:g} s")

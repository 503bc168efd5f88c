"""A link to a NATS cluster with nats-py, which connects again whenever the connection is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._cluster.addresses import resolve
from wsx._cluster.candidates import Candidates
from wsx._cluster.event_loop import EventLoop
from wsx._cluster.jetstream import Bucket, write_headers
from wsx._cluster.pending import Message, Requests
from wsx._cluster.refusals import NO_PACKAGE
from wsx._cluster.servers import Login, ServerAddress, parse_servers
from wsx._cluster.store import Entry, NoResponder, Serve
from wsx._deferreds import Waiters
from wsx._scheduler import scheduler_for
from wsx.errors import ClusterError, ClusterSetupError

if TYPE_CHECKING:
    from wsx._cluster.nats_connection import NatsConnection

__all__ = ["NatsLink"]

T = TypeVar("T")

_log = Logger("wsx")

_SHORTEST_LIMIT: Final = 0.5  # seconds for an operation
_SHORTEST_CONNECT: Final = 2.0  # seconds to connect
_PINGS: Final = (0.25, 3.0)  # minimum and maximum seconds between two pings
_GRACE: Final = 1.0  # seconds to send the rest at a stop
_REPLIES: Final = "NATS refuses replies: no permission to publish to"
_NOT_CONNECTED: Final = "not connected to NATS"


def _ignore(*_: object) -> None:
    """Do nothing."""


class NatsLink:
    """A link to NATS (a ``wsx._cluster.store.Link``).

    Args:
        urls: The URL of a server, or several: ``nats://[user:password@]host[:port]``, or
            ``tls://``. Other servers of the same cluster are discovered.
        bucket: The name of the bucket.
        ttl: The time to live of its entries in seconds.
        reactor: The reactor.
        replicas: The number of servers that store the bucket, if this link creates it. Default 1.
        login: The credentials. Default: those of the URLs.
        tls: A context, or True for that of ``ssl.create_default_context``: send nothing without
            TLS. Default None: use TLS if the server requires it.
        tls_first: Whether TLS begins before the server has sent anything (its option
            ``handshake_first``). Default False.
        on_connected: Called when the connection is up and all subscriptions are made, also for the
            first time.
        on_problem: Called with a reason when the connection is lost or an attempt has failed.

    Attributes:
        is_connected: Whether the connection is up.
        max_payload: The maximum size of a message in bytes, as the server states it.

    Raises:
        URLError: A URL is not one of a NATS server.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        bucket: str,
        ttl: float,
        reactor: Any,
        replicas: int = 1,
        login: Login | None = None,
        tls: SSLContext | bool | None = None,
        tls_first: bool = False,
        on_connected: Callable[[], object] = _ignore,
        on_problem: Callable[[str], object] = _ignore,
    ) -> None:
        self.is_connected = False
        self.max_payload = 0
        self._candidates = Candidates(parse_servers(urls), min(ttl / 10, 1.0))
        self._bucket = Bucket(bucket, ttl, replicas)
        self._label = f"cluster {bucket}"  # for log lines
        self._limit = max(ttl / 10, _SHORTEST_LIMIT)
        self._connect_limit = max(ttl / 5, _SHORTEST_CONNECT)
        self._ping_interval = sorted((ttl / 10, *_PINGS))[1]
        self._login = Login() if login is None else login
        self._tls = tls
        self._tls_first = tls_first
        self._reactor = reactor
        self._clock = scheduler_for(reactor)
        self._on_connected = on_connected
        self._on_problem = on_problem
        self._loop = EventLoop(reactor)
        self._requests = Requests(self._clock)
        self._connection: NatsConnection | None = None
        self._lost: Deferred[str] = Deferred()
        self._running: Deferred[None] | None = None
        self._at_shutdown: Any = None
        self._stopped: Waiters[None] = Waiters()
        self._numbers = count(1)
        self._subscriptions: dict[int, tuple[str, Serve]] = {}
        self._logged: set[str] = set()

    def start(self) -> Deferred[None]:
        """Connect, and create the bucket or check it; see :class:`wsx._cluster.store.Link`."""
        try:
            import wsx._cluster.nats_connection  # noqa: F401
        except ImportError:
            return fail(ClusterError(NO_PACKAGE))
        started: Deferred[None] = Deferred(self._cancel_start)
        self._loop.start()
        # A thread that runs on would keep the process alive.
        self._at_shutdown = self._reactor.addSystemEventTrigger(
            "during", "shutdown", self._shut_down
        )
        self._running = Deferred.fromCoroutine(self._stay_connected(started))
        self._running.addErrback(self._give_up, started)
        return started

    def stop(self) -> Deferred[None]:
        """Disconnect; see :class:`wsx._cluster.store.Link`."""
        if not self._loop.is_running:
            return succeed(None)
        is_stopping = bool(self._stopped)
        stopped = self._stopped.add()
        if not is_stopping:
            Deferred.fromCoroutine(self._stop()).addBoth(self._note_stop)
        return stopped

    async def _stop(self) -> None:
        self.is_connected = False
        if self._running is not None:
            self._running.cancel()
        self._requests.fail_all("the connection to NATS has been closed")
        await self._disconnect(_GRACE)
        await self._loop.stop()

    def _note_stop(self, result: Any) -> None:
        if isinstance(result, Failure):
            _log.failure("{cluster}: cannot disconnect from NATS", result, cluster=self._label)
        if self._at_shutdown is not None:
            self._reactor.removeSystemEventTrigger(self._at_shutdown)
            self._at_shutdown = None
        self._stopped.succeed(None)

    def _shut_down(self) -> None:
        """End the thread unless stop() was called. The reactor no longer waits for Deferreds."""
        self._at_shutdown = None
        if self._connection is not None:
            self._loop.to_loop(self._connection.abort)
        self._loop.end()

    def _cancel_start(self, started: Deferred[None]) -> None:
        started.errback(CancelledError())
        self.stop()

    def _give_up(self, failure: Failure, started: Deferred[None]) -> None:
        """End after stop(), or after an error against which trying again does not help."""

        def report(_: object) -> None:
            if started.called:
                return
            if failure.check(CancelledError):
                started.errback(ClusterError("stopped before there was a connection to NATS"))
            else:
                started.errback(failure)

        if not failure.check(CancelledError, ClusterError):
            _log.failure("{cluster}: the link to NATS has failed", failure, cluster=self._label)
        self.stop().addCallback(report)

    async def _stay_connected(self, started: Deferred[None]) -> None:
        """Connect again and again, until cancelled or until the setup turns out to be wrong."""
        while True:
            server = self._candidates.current
            try:
                await self._connect(server, is_first=not started.called)
            except ClusterError as error:
                if isinstance(error, ClusterSetupError) and not started.called:
                    raise ClusterError(error.reason) from None
                self._log_once(error.reason)
            else:
                self._note_connection(server)
                # Not called from here: they may call stop(), which cancels this coroutine.
                self._loop.to_reactor(self._announce, started)
                reason = await self._lost
                self._loop.to_reactor(self._announce_loss, server, reason)
            await self._disconnect()
            await deferLater(self._clock, self._candidates.next(), _ignore)

    async def _connect(self, server: ServerAddress, *, is_first: bool) -> None:
        """Open a connection to a server, prepare the bucket, and subscribe again."""
        options = {**self._login.options(server), **self._tls_options()}
        hosts = await resolve(self._reactor, server.host).addTimeout(
            self._connect_limit, self._clock
        )
        connection = await self._open(server, hosts, options)
        if is_first:
            await self._prepare_bucket()
        for number, (subject, _) in list(self._subscriptions.items()):
            await self._subscribe(connection, number, subject)

    def _tls_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"tls_handshake_first": True} if self._tls_first else {}
        if isinstance(self._tls, SSLContext):
            options["tls"] = self._tls
        return options

    async def _open(
        self, server: ServerAddress, hosts: list[str], options: dict[str, Any]
    ) -> NatsConnection:
        """Open a connection to the first address of a server that accepts it."""
        from wsx._cluster.nats_connection import NatsConnection

        error = ClusterError(f"cannot connect to {server.shown} (host not found)")
        for host in hosts:
            self._lost = Deferred()
            self._connection = connection = NatsConnection(
                server,
                host,
                self,
                self._loop.to_reactor,
                limit=self._connect_limit,
                interval=self._ping_interval,
            )
            try:
                await self._loop.run(connection.open, options, bool(self._tls) or server.is_secure)
            except ClusterError as failed:
                error = failed
                await self._disconnect()
            else:
                self.max_payload = connection.max_payload
                self._candidates.discover(server, connection.discovered)
                return connection
        raise error

    async def _prepare_bucket(self) -> None:
        """Find the bucket, or create it."""
        for _ in range(2):  # Another process may create it between the two requests.
            for subject, request in self._bucket.preparation():
                try:
                    reply = await self._ask(subject, request, self._limit)
                except NoResponder:
                    raise self._no_jetstream() from None
                if self._bucket.exists(reply):
                    return
        raise ClusterError("the bucket can be neither found nor created")

    def _no_jetstream(self) -> ClusterError:
        """Return the error if no server answers requests for JetStream."""
        if self._connection is not None and self._connection.is_clustered:
            return ClusterError("no server answers for JetStream (is it enabled?)")
        return ClusterSetupError("JetStream is not enabled on the NATS server")

    async def _disconnect(self, grace: float = 0.0) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._loop.run(self._connection.close, grace)
            self._connection = None

    def _note_connection(self, server: ServerAddress) -> None:
        self.is_connected = not self._lost.called
        self._candidates.succeeded()
        self._logged.clear()
        text = "{cluster}: connected to NATS at {server}"
        _log.info(text, cluster=self._label, server=server.shown)

    def _announce(self, started: Deferred[None]) -> None:
        if self._stopped:
            return
        self._on_connected()
        if not started.called:
            started.callback(None)

    def _announce_loss(self, server: ServerAddress, reason: str) -> None:
        if self._stopped:
            return
        _log.warn(
            "{cluster}: connection to NATS at {server} lost ({reason}); connecting again",
            cluster=self._label,
            server=server.shown,
            reason=reason,
        )
        self._on_problem(reason)

    def _log_once(self, reason: str) -> None:
        """Log why an attempt has failed, unless that has been logged since the last connection."""
        if reason not in self._logged:
            self._logged.add(reason)
            _log.warn("{cluster}: {reason}; trying again", cluster=self._label, reason=reason)
            self._on_problem(reason)

    # What the connection calls.

    def replied(self, number: int, payload: bytes | None) -> None:
        """Take a reply."""
        self._requests.finish(number, payload)

    def received(self, number: int, payload: bytes, reply: str, source: NatsConnection) -> None:
        """Pass a request to the function that serves it."""
        found = self._subscriptions.get(number)
        if found is not None:
            answer = found[1](payload)
            if reply:
                answer.addCallback(self._answer, reply, source)

    def _answer(self, payload: bytes, subject: str, source: NatsConnection) -> None:
        if len(payload) > self.max_payload:
            text = "{cluster}: a reply of {size} bytes was not sent, because NATS accepts {limit}"
            limit = self.max_payload
            _log.error(text, cluster=self._label, size=len(payload), limit=limit)
        elif source is self._connection:
            self._loop.to_loop(source.send, Message(subject, payload))

    def refused(self, subject: str) -> None:
        """Fail the requests to a subject without permission; log if it was a reply."""
        if not self._requests.refuse(subject) and _REPLIES not in self._logged:
            self._logged.add(_REPLIES)  # Each reply has another subject; one line is enough.
            text = "{cluster}: {reason} {subject}"
            _log.error(text, cluster=self._label, reason=_REPLIES, subject=subject)

    def lost(self, source: NatsConnection, reason: str) -> None:
        """Close a lost connection, and fail the requests that wait for a reply."""
        if source is self._connection and not self._lost.called:
            self.is_connected = False
            self._loop.run(source.close)  # This ends its tasks in the event loop.
            self._requests.fail_all(f"the connection to NATS is lost ({reason})")
            self._lost.callback(reason)

    # Operations.

    def write(self, key: str, value: bytes, after: int) -> Deferred[int]:
        """Write a value; see :class:`wsx._cluster.store.Store`."""
        return self._write(key, value, write_headers(after, deletes=False))

    def erase(self, key: str, after: int) -> Deferred[int]:
        """Write a delete marker; see :class:`wsx._cluster.store.Store`."""
        return self._write(key, b"", write_headers(after, deletes=True))

    def _write(self, key: str, value: bytes, headers: dict[str, str]) -> Deferred[int]:
        written = self._store_request(self._bucket.key_subject(key), value, headers)
        return written.addCallback(self._bucket.parse_write)

    def read(self, key: str) -> Deferred[Entry | None]:
        """Return the last entry; see :class:`wsx._cluster.store.Store`."""
        found = self._store_request(self._bucket.read_subject, self._bucket.read_request(key))
        return found.addCallback(self._bucket.parse_entry)

    def _store_request(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> Deferred[bytes]:
        if not self.is_connected:
            return fail(ClusterError(_NOT_CONNECTED))
        return self._ask(subject, payload, self._limit, headers).addErrback(_no_leader)

    def request(self, subject: str, payload: bytes, timeout: float) -> Deferred[bytes]:
        """Send a request; see :class:`wsx._cluster.store.Link`."""
        if not self.is_connected:
            return fail(ClusterError(_NOT_CONNECTED))
        return self._ask(subject, payload, timeout)

    def _ask(
        self, subject: str, payload: bytes, timeout: float, headers: dict[str, str] | None = None
    ) -> Deferred[bytes]:
        connection = self._connection
        if connection is None:
            return fail(ClusterError(_NOT_CONNECTED))
        if len(payload) > self.max_payload:
            text = f"the message has {len(payload)} bytes, and NATS accepts {self.max_payload}"
            return fail(ClusterError(text))
        message, reply = self._requests.add(subject, payload, timeout, headers)
        self._loop.to_loop(connection.send, message)
        return reply

    def subscribe(self, subject: str, serve: Serve) -> Deferred[Callable[[], Deferred[None]]]:
        """Serve the requests of a subject; see :class:`wsx._cluster.store.Link`."""
        connection = self._connection
        if connection is None or not self.is_connected:
            return fail(ClusterError(_NOT_CONNECTED))
        number = next(self._numbers)
        self._subscriptions[number] = subject, serve

        def unsubscribe() -> Deferred[None]:
            return Deferred.fromCoroutine(self._unsubscribe(number))

        async def subscribe() -> Callable[[], Deferred[None]]:
            try:
                await self._subscribe(connection, number, subject)
            except BaseException:
                self._subscriptions.pop(number)
                self._loop.run(connection.unsubscribe, number).addErrback(_ignore)
                raise
            return unsubscribe

        return Deferred.fromCoroutine(subscribe())

    async def _subscribe(self, connection: NatsConnection, number: int, subject: str) -> None:
        def fail_late(_: object, limit: float) -> None:
            raise ClusterError(f"no answer from NATS within {limit:g} s")

        subscribing = self._loop.run(connection.subscribe, number, subject)
        await subscribing.addTimeout(self._limit, self._clock, fail_late)

    async def _unsubscribe(self, number: int) -> None:
        """End a subscription. Messages that the server has sent before are still served."""
        if self._connection is not None and self.is_connected:
            ending = self._loop.run(self._connection.unsubscribe, number)
            with suppress(ClusterError, CancelledError):
                await ending.addTimeout(self._limit, self._clock)
        self._subscriptions.pop(number, None)


def _no_leader(failure: Failure) -> Failure:
    """Report that no server answers for the bucket."""
    failure.trap(NoResponder)
    raise ClusterError("no server answers for the bucket (it has no leader, or was deleted)")

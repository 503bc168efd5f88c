"""One connection to one NATS server, in the thread of the event loop.

The connection does not reconnect by itself. If it is lost, its link opens another one, because
nats-py would send later what it could not send before. nats-py also never tries again after some
errors, such as expired credentials, and tries forever with wrong ones after others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from nats.aio.client import RawCredentials

from wsx._cluster.event_loop import Calls
from wsx._cluster.nats_client import Client
from wsx._cluster.pending import Message
from wsx._cluster.refusals import explain, refused_subject, why_closed
from wsx._cluster.servers import ServerAddress
from wsx.errors import ClusterError, ClusterSetupError

__all__ = ["NatsConnection", "Observer"]

_OLDEST: Final = (2, 9)  # The version in Debian 12, with which wsx is tested.
_NO_RESPONDER: Final = "503"
_GRACE: Final = 0.5  # seconds
_LONG: Final = 3600.0  # seconds


class Observer(Protocol):
    """The methods that a connection calls, in the reactor's thread."""

    def replied(self, number: int, payload: bytes | None) -> None:
        """Handle the reply to a request, or None if no process subscribes to its subject."""

    def received(self, number: int, payload: bytes, reply: str, source: NatsConnection) -> None:
        """Handle a message of a subscription."""

    def refused(self, subject: str) -> None:
        """Handle the refusal of a message to a subject, which is in lower case."""

    def lost(self, source: NatsConnection, reason: str) -> None:
        """Handle the loss of the connection. It is called at most once."""


class NatsConnection:
    """One connection. All methods are called in the thread of the event loop.

    Args:
        address: The address of the server.
        host: The IP address to connect to.
        observer: The object to call.
        to_reactor: Calls functions in the reactor's thread.
        limit: The time limit for connecting in seconds.
        interval: The time between two pings, and the time limit for the answer, in seconds.

    Attributes:
        max_payload: The maximum size of a message in bytes.
        discovered: The addresses of other servers of the cluster, as ``host:port``.
        is_clustered: Whether the server belongs to a cluster.
    """

    max_payload = 0
    discovered: tuple[str, ...] = ()
    is_clustered = False

    def __init__(
        self,
        address: ServerAddress,
        host: str,
        observer: Observer,
        to_reactor: Calls,
        *,
        limit: float,
        interval: float,
    ) -> None:
        self._address = address
        self._host = host
        self._observer = observer
        self._to_reactor = to_reactor
        self._limit = limit
        self._interval = interval
        self._client: Client | None = None
        self._inbox = ""
        self._is_lost = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._subscriptions: dict[int, Any] = {}
        self._refused: set[str] = set()
        self._last_error: Exception | None = None
        self._outgoing: deque[Message] = deque()
        self._has_outgoing = asyncio.Event()

    async def open(self, options: dict[str, Any], requires_tls: bool) -> None:
        """Connect.

        Args:
            options: More options for nats-py: credentials and TLS.
            requires_tls: Whether to send nothing without TLS.

        Raises:
            ClusterError: The attempt has failed. Call :meth:`close`, even then.
        """
        self._client = client = Client(requires_tls=requires_tls)
        try:
            async with asyncio.timeout(self._limit):
                await self._connect(client, options)
                await self._check(client)
        except Exception as error:
            if type(error).__name__ == "NoServersError" and self._last_error is not None:
                error = self._last_error  # nats-py raises its own in place of this one.
            raise explain(error, self._address.shown) from None
        client.when_reading_ends(lambda: self._lose(why_closed(client.last_error)))
        self._spawn(self._send_messages(client))
        self._spawn(self._ping(client))

    async def _connect(self, client: Client, options: dict[str, Any]) -> None:
        host = f"[{self._host}]" if ":" in self._host else self._host
        if "user_credentials" in options:  # A str would be the path of a file.
            options = {**options, "user_credentials": RawCredentials(options["user_credentials"])}
        await client.connect(
            # Without credentials, so nats-py cannot show them, and with an address, so it needs no
            # threads to look it up.
            servers=[f"nats://{host}:{self._address.port}"],
            tls_hostname=self._address.tls_host or self._address.host,
            error_cb=self._note_error,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # nats-py would take 0 as "no limit".
            reconnect_time_wait=0,
            connect_timeout=self._limit,  # type: ignore[arg-type]
            ping_interval=int(_LONG),  # This class sends its own pings.
            pending_size=0,  # Without a limit, publish never waits.
            **options,
        )
        # nats-py also returns if the server has closed the connection before its last reply.
        if not client.is_connected:
            raise ConnectionError("the server closed the connection")

    async def _check(self, client: Client) -> None:
        """Check the version and the permissions, and prepare requests."""
        version = client.connected_server_version
        if (version.major, version.minor) < _OLDEST:
            raise ClusterSetupError(
                f"{self._address.shown} has version {version.major}.{version.minor} of nats-server "
                f"(expected {_OLDEST[0]}.{_OLDEST[1]} or newer)"
            )
        self.max_payload = client.max_payload
        self.discovered = tuple(uri.netloc for uri in client.discovered_servers)
        self.is_clustered = client.is_clustered
        self._inbox = f"{client.new_inbox()}."
        subject = f"{self._inbox}*"
        await client.subscribe(subject, cb=self._take_reply)
        await self._confirm(client, subject)

    async def _confirm(self, client: Client, subject: str) -> None:
        """Wait until the server has processed a subscription.

        It does not use a time limit of nats-py, which stops reading if the PONG arrives after the
        limit. The pings of this class detect a lost connection.
        """
        await self._finish(client.flush(timeout=int(_LONG)))
        if subject.lower() in self._refused:
            raise ClusterSetupError(f"no permission to subscribe to {subject}")

    async def subscribe(self, number: int, subject: str) -> None:
        """Subscribe to a subject.

        Args:
            number: The number of the subscription, for :meth:`Observer.received`.
            subject: The subject.

        Raises:
            ClusterError: The server refuses, or the connection is lost.
        """
        client = self._connected()

        async def receive(message: Any) -> None:
            self._to_reactor(self._observer.received, number, message.data, message.reply, self)

        self._refused.discard(subject.lower())
        # The limits of nats-py cannot be reached, because receive() does not wait.
        self._subscriptions[number] = await client.subscribe(subject, cb=receive)
        await self._confirm(client, subject)

    async def unsubscribe(self, number: int) -> None:
        """End a subscription, after the messages that the server has sent before."""
        subscription = self._subscriptions.pop(number, None)
        if subscription is not None and not self._is_lost:
            await self._finish(subscription.drain())

    def send(self, message: Message) -> None:
        """Send a message after earlier ones. If the connection is lost first, it is not sent."""
        self._outgoing.append(message)
        self._has_outgoing.set()

    async def _send_messages(self, client: Client) -> None:
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing.clear()
            while self._outgoing:
                message = self._outgoing.popleft()
                if not message.is_cancelled:
                    await self._send_message(client, message)

    async def _send_message(self, client: Client, message: Message) -> None:
        number = message.number
        reply = "" if number is None else f"{self._inbox}{number}"
        try:
            await client.publish(message.subject, message.payload, reply, message.headers)
        except Exception:
            if client.is_connected:
                raise
            self._lose("the connection is closed")

    async def _take_reply(self, message: Any) -> None:
        number = int(message.subject[len(self._inbox) :])
        headers = message.headers
        is_lost = headers is not None and headers.get("Status") == _NO_RESPONDER
        self._to_reactor(self._observer.replied, number, None if is_lost else message.data)

    async def _ping(self, client: Client) -> None:
        """Send pings; detect a silent connection, and one that nats-py has closed."""
        while True:
            await asyncio.sleep(self._interval)
            ping = self._spawn(client.flush(timeout=int(_LONG)))
            done, _ = await asyncio.wait({ping}, timeout=self._interval)
            if not done:
                self._lose(f"no answer from the server within {self._interval:g} s")
            elif ping.exception() is not None:
                self._lose("the connection is closed")

    async def _note_error(self, error: Exception) -> None:
        """Handle an error that nats-py reports; ``connect`` does not raise all of its errors."""
        self._last_error = error
        refused = refused_subject(error)
        if refused is not None:
            kind, subject = refused
            if kind == "subscription":
                self._refused.add(subject)
            else:
                self._to_reactor(self._observer.refused, subject)

    def _lose(self, reason: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._to_reactor(self._observer.lost, self, reason)

    async def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine until it ends or the connection is closed."""
        task = self._spawn(coroutine)
        await asyncio.wait({task})
        if task.cancelled() or task.exception() is not None:
            raise ClusterError("the connection to NATS is lost")

    def _connected(self) -> Client:
        if self._client is None or self._is_lost:
            raise ClusterError("not connected to NATS")
        return self._client

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine, at most until :meth:`close`."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def abort(self) -> None:
        """Close the socket at once."""
        if self._client is not None:
            self._client.abort()

    async def close(self, grace: float = 0.0) -> None:
        """Close the connection; it never fails.

        Args:
            grace: The time limit in seconds for sending the buffer. Default 0: discard it.
        """
        client = self._client
        if client is None:
            return
        if grace and not self._is_lost:
            await asyncio.wait({self._spawn(client.flush(timeout=int(_LONG)))}, timeout=grace)
        self._is_lost = True
        for task in self._tasks:
            task.cancel()
        client.abort()
        closing = asyncio.ensure_future(client.close())
        closing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait({closing}, timeout=_GRACE)
        closing.cancel()
        await asyncio.sleep(0)  # The transport closes its socket in the next iteration.

"""wsx in Twisted's tree of services: linked clients, and a client that is restarted."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from wsx._options import split_options
from wsx._waiters import Waiters
from wsx.backoff import Backoff
from wsx.client import Client, check_handler, make_client, make_handler
from wsx.conn import Conn
from wsx.errors import MaxRestartsExceeded, as_exception, describe
from wsx.frames import Shutdown, is_normal

__all__ = ["ClientService", "start_link"]

_log = Logger("wsx")

RESTARTS: Final = ("permanent", "transient", "temporary")


class _Link(Service):
    """Stops a client when its parent stops, and leaves the parent when the client ends."""

    def __init__(self, client: Client[Any]) -> None:
        self._client = client

    def stopService(self) -> Deferred[object]:
        super().stopService()
        return self._client.stop()

    def leave(self, _: object) -> None:
        """Leaves the parent: the client has ended."""
        if self.parent is not None:
            self.disownServiceParent()


def start_link(
    parent: Any, conn_or_url: Conn | str, handler: Any, state: Any = None, **options: Any
) -> Deferred[Client[Any]]:
    """Starts a client that is stopped when ``parent`` stops.

    Args:
        parent: any ``IServiceCollection``, such as an ``Application`` or a ``MultiService``.
        conn_or_url, handler, state, **options: as for :func:`wsx.start`.

    Returns:
        the Deferred of :func:`wsx.start`. Where the parent stops first, it fails with
        :class:`ClientEnded`, whose reason is a :class:`Shutdown`.
    """

    def begin() -> Deferred[Client[Any]]:
        client = make_client(conn_or_url, handler, state, options)
        link = _Link(client)
        link.setServiceParent(IServiceCollection(parent))
        try:
            started = client.begin()
        except Exception:
            link.leave(None)
            raise
        client.terminated().addCallback(link.leave)
        return started

    return maybeDeferred(begin)


class ClientService(Service):
    """One client as a service, for existing Twisted applications: started, restarted, stopped.

    Its client starts with ``async_=True``, ``handle_initial_conn_failure=True`` and
    ``reconnect=Backoff()`` unless told otherwise, so that an application comes up while its server
    is down.

    Args:
        conn: a :class:`Conn`, or a URL.
        handler, state: as for :func:`wsx.start`.
        restart: ``"permanent"``: a client that ended is always started again; ``"transient"``:
            when it ended abnormally, unless its ``reconnect`` policy gave up; ``"temporary"``:
            never (OTP's supervisor).
        max_restarts: with more restarts than this...
        max_seconds: ...within this many seconds the service gives up.
        **options: as for :func:`wsx.start`. Restarts wait for the ``reconnect`` policy too.

    Raises:
        URLError, ValueError, TypeError: an argument is wrong.

    Attributes:
        client: the present client, or None.
    """

    def __init__(
        self,
        conn: Conn | str,
        handler: Any,
        state: Any = None,
        *,
        restart: str = "permanent",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        **options: Any,
    ) -> None:
        if restart not in RESTARTS:
            raise ValueError(f"restart is one of {', '.join(RESTARTS)}, not {restart!r}")
        if not (max_restarts >= 0 and max_seconds > 0):
            raise ValueError("max_restarts is not negative, and max_seconds is above 0")
        defaults = {
            "async_": True,
            "handle_initial_conn_failure": True,
            "reconnect": Backoff(),
        }
        self.client: Client[Any] | None = None
        self._conn, self._start_options = split_options(conn, defaults | options)
        self._handler = check_handler(handler)
        self._state = state
        self._restart = restart
        self._intensity = Intensity(max_restarts, max_seconds)
        self._timer: IDelayedCall | None = None
        self._leaving: Client[Any] | None = None  # stopped, but not at its end yet
        self._ever_started = False
        self._watched: Client[Any] | None = None
        self._over = False
        self._reason: object = None
        self._connected: Waiters[Client[Any]] = Waiters()
        self._terminated: Waiters[object] = Waiters()

    def startService(self) -> None:
        """Starts the client; after a stop, once the client before has ended."""
        if self.running and not self._over:
            return
        super().startService()
        self._over = self._ever_started = False
        self._intensity.forget()
        if self._leaving is None:
            self._start_client()

    def stopService(self) -> Deferred[object]:
        """Stops the client.

        Returns:
            a Deferred that fires when it has ended.
        """
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        client, self.client = self.client, None
        if client is not None:
            self._leaving = client
            client.stop().addCallback(self._left)
        if self._leaving is not None:
            return self._leaving.terminated()
        self._finish(Shutdown())
        return succeed(None)

    def _left(self, _: object) -> None:
        self._leaving = None
        if self.running:
            self._start_client()
        else:
            self._finish(Shutdown())

    def whenConnected(self) -> Deferred[Client[Any]]:
        """Gives a Deferred of the client, once it is open and ``handle_connect`` has answered.

        It fails with the reason (:class:`ClientEnded`, where that is no exception) once there will
        be no client any more.
        """
        if self._over:
            return fail(as_exception(self._reason))
        waiter = self._connected.add()
        if self.client is not None:
            self._watch(self.client)
        return waiter

    def terminated(self) -> Deferred[object]:
        """Gives a Deferred of the reason why there will be no client any more.

        That is :class:`Shutdown` where the service was stopped, :class:`MaxRestartsExceeded` where
        it gave up, and the client's own reason where that is not to be restarted.
        """
        if self._over:
            return succeed(self._reason)
        return self._terminated.add()

    def _start_client(self) -> None:
        self._timer = None
        try:
            client = Client(
                self._conn, make_handler(self._handler), self._state, self._start_options
            )
            started = client.begin()
        except Exception as error:  # a handler that cannot be made, a name that is taken
            _log.failure("{name}: the client could not be started", name=self._label)
            self._ended(error)
            return
        self.client = client
        started.addCallbacks(self._started, lambda _: None)  # terminated() tells of a failure
        client.terminated().addCallback(self._client_ended, client)
        if self._connected:
            self._watch(client)

    def _started(self, _: Client[Any]) -> None:
        self._ever_started = True

    def _watch(self, client: Client[Any]) -> None:
        if self._watched is not client:
            self._watched = client
            client.when_open().addCallbacks(self._opened, lambda _: None)  # _ended sees to the rest

    def _opened(self, client: Client[Any]) -> None:
        self._watched = None
        self._connected.succeed(client)

    def _client_ended(self, reason: object, client: Client[Any]) -> None:
        if client is not self.client:
            return  # it was stopped
        self.client = None
        if self._restart == "transient" and client.gave_up:
            self._finish(reason)  # its own policy says that there is no sense in trying again
        else:
            self._ended(reason)

    def _ended(self, reason: object) -> None:
        """Applies the restart type and the intensity (OTP's supervisor)."""
        wanted = self._restart == "permanent" or (
            self._restart == "transient" and not is_normal(reason)
        )
        if not (wanted and self._ever_started):  # a first start that fails is the end, as in OTP
            self._finish(reason)
            return
        restarts = self._intensity.add(self._start_options.reactor.seconds())
        if restarts is None:
            self._finish(self._intensity.exceeded(reason))
        else:
            self._restart_later(restarts, reason)

    def _restart_later(self, restarts: int, reason: object) -> None:
        reactor, policy = self._start_options.reactor, self._start_options.reconnect
        delay = 0.0
        if policy is not None:
            chosen = policy(restarts)
            delay = policy.maximum if chosen is None else chosen
        _log.info(
            "{name}: the client ended ({reason}); restart {n} in {delay:.1f} s",
            name=self._label,
            reason=describe(reason),
            n=restarts,
            delay=delay,
        )
        self._intensity.pause(delay)
        self._timer = reactor.callLater(delay, self._start_client)

    @property
    def _label(self) -> str:
        return repr(self._start_options.name or type(self).__name__)

    def _finish(self, reason: object) -> None:
        if self._over:
            return
        self._over = True
        self._reason = reason
        if isinstance(reason, MaxRestartsExceeded):
            _log.error("{name}: giving up: {reason}", name=self._label, reason=reason)
        self._connected.fail(as_exception(reason))
        self._terminated.succeed(reason)


class Intensity:
    """How many restarts there were lately (OTP's restart intensity).

    The time that a restart waits for its ``Backoff`` does not count: otherwise a client that
    crashes at once would never exceed anything, and be restarted for ever.

    Args:
        max_restarts: so many are tolerated...
        max_seconds: ...within so many seconds.
    """

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self._max_restarts = max_restarts
        self._max_seconds = max_seconds
        self._times: deque[float] = deque()
        self._paused = 0.0

    def add(self, now: float) -> int | None:
        """Counts a restart: gives how many there were lately, or None when that is too many."""
        now -= self._paused
        self._times.append(now)
        while self._times[0] < now - self._max_seconds:
            self._times.popleft()
        return None if len(self._times) > self._max_restarts else len(self._times)

    def pause(self, seconds: float) -> None:
        """Leaves out these seconds, which begin now."""
        self._paused += seconds

    def forget(self) -> None:
        """Begins anew."""
        self._times.clear()
        self._paused = 0.0

    def exceeded(self, reason: object) -> MaxRestartsExceeded:
        """Gives the error that says so."""
        return MaxRestartsExceeded(self._max_restarts, self._max_seconds, reason)

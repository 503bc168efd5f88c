"""Names that only one client in a cluster of processes can hold: leases and calls on NATS."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from wsx._arguments import is_number, require
from wsx._cluster.calls import Calls
from wsx._cluster.holder_values import ProcessValues, describe_holder, parse_holder
from wsx._cluster.holding import Holding, Shared
from wsx._cluster.lease import Terms, steady_clock
from wsx._cluster.names import name_token
from wsx._cluster.servers import Login, parse_servers
from wsx._cluster.store import Link
from wsx._deferreds import Waiters
from wsx._failures import cause_of
from wsx._scheduler import Scheduler, scheduler_for
from wsx._text import describe, expected_type, line
from wsx.errors import ClusterError, ClusterSetupError, UnknownNameError, WsxError
from wsx.registry import AsyncVia, Global
from wsx.remote import RemoteClient

__all__ = ["Cluster"]

_log = Logger("wsx")

_BUCKET: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TTL: Final = (1.0, 3600.0)  # seconds
_REPLICAS: Final = (1, 5)
_CONNECT_SECONDS: Final = 10.0  # for a start without standby, and for lookup
_SERVED_SECONDS: Final = 2.0  # to wait until a new holder serves calls
_SERVED_STEP: Final = 0.05  # seconds


class Cluster(Service):
    """Keep names that only one client in a cluster of processes can hold, in a bucket of NATS.

    A Cluster is a service: add it to your application, or call ``startService``. It needs the extra
    ``txwsx[nats]``, and a NATS server with JetStream.

    A client with ``name=wsx.Global("feed", cluster)`` starts only if no other client holds the
    name; with ``standby=True`` it waits for the name. The holder renews its lease every fifth of
    ``ttl``. If it cannot, it disconnects 0.1 to 0.15 ``ttl`` before the lease expires.

    Args:
        url: The URL of a NATS server, or several: ``nats://[user:password@]host[:port]``, or
            ``tls://``. The default port is 4222. Other servers of the NATS cluster are discovered.
        bucket: The name of the bucket. It is created if it does not exist. All processes of a
            cluster use the same bucket. Default ``"wsx"``.
        ttl: The time to live of a lease in seconds, from 1 to 3600: if a holder dies, its names are
            free after this time. All processes of a cluster use the same value. Default 10.
        replicas: The number of NATS servers that store the bucket, from 1 to 5, if this process
            creates it. Default 1.
        user: The user name. Default None: that of the URL, if any.
        password: The password. Default None: that of the URL, if any.
        token: The token, if NATS uses tokens. Default None.
        nkey_file: The path of a file with the seed of an NKey. Default None.
        credentials_file: The path of a file with a user's JWT and seed, as ``nsc`` creates it.
            Default None.
        tls: A context, or True for that of ``ssl.create_default_context``: connect only with TLS.
            Default None: use TLS if the server requires it.
        reactor: The reactor, or None (default) for the global one.

    Raises:
        URLError: A URL is not one of a NATS server.
        ValueError: An argument is out of range.
        TypeError: An argument has the wrong type.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        bucket: str = "wsx",
        ttl: float = 10.0,
        replicas: int = 1,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        nkey_file: str | Path | None = None,
        credentials_file: str | Path | None = None,
        tls: SSLContext | bool | None = None,
        reactor: Any = None,
    ) -> None:
        self._servers = parse_servers(url)
        valid = isinstance(bucket, str) and _BUCKET.fullmatch(bucket) is not None
        require(valid, "bucket", "at most 64 letters, digits, _ and -", bucket)
        shortest, longest = _TTL
        valid = is_number(ttl) and shortest <= ttl <= longest
        require(valid, "ttl", f"a number from {shortest:g} to {longest:g}", ttl)
        fewest, most = _REPLICAS
        valid = isinstance(replicas, int) and not isinstance(replicas, bool)
        valid = valid and fewest <= replicas <= most
        require(valid, "replicas", f"a number from {fewest} to {most}", replicas)
        _require_type("user", user, "a str", str)
        _require_type("password", password, "a str", str)
        _require_type("token", token, "a str", str)
        _require_type("nkey_file", nkey_file, "a path", str, Path)
        _require_type("credentials_file", credentials_file, "a path", str, Path)
        _require_type("tls", tls, "an SSLContext, a bool", SSLContext, bool)
        self._url = url
        self._bucket = bucket
        self._ttl = ttl
        self._replicas = replicas
        self._login = Login(user, password, token, nkey_file, credentials_file)
        self._tls = tls
        self._reactor = reactor
        self._values = ProcessValues()
        self._holdings: dict[Holding, str] = {}  # Holders and standbys, with tokens.
        self._shared: Shared | None = None
        self._connected: Waiters[Shared] = Waiters()
        self._failure: ClusterError | None = None  # if trying again cannot help
        self._problem = "the service has not been started"

    def __repr__(self) -> str:
        servers = ", ".join(server.shown for server in self._servers)
        return f"<wsx.Cluster {self._bucket} at {servers}>"

    # The service

    def startService(self) -> None:
        """Connect to NATS, and connect again whenever the connection is lost.

        If trying again cannot help, for example after wrong credentials, the reason is logged, and
        the clients that need a name fail with :class:`ClusterSetupError`.
        """
        if self.running:
            return
        super().startService()
        self._clock()
        self._failure = None
        self._problem = "no answer from a server yet"
        shared = self._shared = self._share(self._make_link())
        shared.link.start().addErrback(lambda failure: self._failed(cause_of(failure)))

    def _make_link(self) -> Link:
        from wsx._cluster.nats_link import NatsLink  # Most programs have no cluster.

        return NatsLink(
            self._url,
            bucket=self._bucket,
            ttl=self._ttl,
            reactor=self._reactor,
            replicas=self._replicas,
            login=self._login,
            tls=self._tls,
            on_connected=self._on_connected,
            on_problem=self._on_problem,
        )

    def _share(self, link: Link) -> Shared:
        scheduler = scheduler_for(self._reactor)
        clock = steady_clock(scheduler)
        terms = Terms(link, self._ttl, scheduler, clock, self._is_left_over, describe_holder)
        return Shared(link, self._bucket, terms, Calls(link, self._bucket, self._reactor))

    def stopService(self) -> Deferred[Any]:
        """Stop the holders and standbys of this cluster in this process; disconnect from NATS.

        Returns:
            A Deferred that fires when all names have been released and the connection has ended.
        """
        super().stopService()
        shared, self._shared = self._shared, None
        self._problem = "the service has been stopped"
        if shared is None:
            return succeed(None)
        ending = DeferredList([holding.client.stop() for holding in list(self._holdings)])
        return ending.addCallback(lambda _: shared.link.stop())

    # The connection

    def _on_connected(self) -> None:
        if self._shared is not None:
            self._connected.succeed(self._shared)

    def _on_problem(self, reason: str) -> None:
        self._problem = reason

    def _failed(self, error: BaseException) -> None:
        if self._shared is None or isinstance(error, CancelledError):  # The service was stopped.
            self._connected.fail(ClusterError(self._problem))
            return
        self._problem = error.reason if isinstance(error, ClusterError) else describe(error)
        self._failure = ClusterSetupError(self._problem)
        _log.error(
            "cluster {bucket}: {reason}; not trying again",
            bucket=self._bucket,
            reason=line(self._problem, 300),
        )
        self._connected.fail(self._failure)

    def _connect(self, limit: float | None) -> Deferred[Shared]:
        """Return a Deferred that fires when the service is connected to NATS.

        Args:
            limit: The time limit in seconds, or None for no limit.
        """
        shared = self._shared
        if shared is not None and shared.link.is_connected:
            return succeed(shared)
        if self._failure is not None:
            return fail(self._failure)
        connecting = self._connected.add()
        if limit is not None:
            scheduler = scheduler_for(self._clock())
            connecting.addTimeout(limit, scheduler, self._not_connected)
        return connecting

    def _not_connected(self, _: object, limit: float) -> Shared:
        raise ClusterError(f"not connected to NATS within {limit:g} s: {self._problem}")

    def _clock(self) -> Any:
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        return self._reactor

    # Names

    def registry(self, name: Global) -> AsyncVia:
        """Return the name in the registry of this cluster. wsx calls this method.

        Raises:
            TypeError: The key has no unique JSON form.
            ValueError: The key is too long.
        """
        return AsyncVia(_Registry(self, name, name_token(name.key)), name.key, name.standby)

    async def _register(
        self, name: Global, token: str, client: Any, standby: bool, lost: Callable[[str], None]
    ) -> Holding | None:
        shared = await self._connect(None if standby else _CONNECT_SECONDS)

        def forget(reason: str) -> None:
            self._holdings.pop(holding, None)
            lost(reason)

        new_value = partial(self._values.new, client)
        keep = name.on_partition == "keep"
        holding = Holding(shared, token, client, new_value, keep, forget)
        self._holdings[holding] = token
        try:
            if await holding.register(standby):
                return holding
        finally:
            if not holding.is_registered:
                self._holdings.pop(holding, None)
        return None

    async def _unregister(self, token: str, client: Any) -> None:
        holding = self._held(token)
        if holding is not None and holding.client is client:
            del self._holdings[holding]
            await holding.release()

    async def _whereis(self, name: Global, token: str) -> Any:
        holding = self._held(token)
        if holding is not None:
            return holding.client
        shared = await self._connect(_CONNECT_SECONDS)
        entry = await shared.link.read(token)
        if entry is None or entry.is_deleted or self._is_left_over(entry.value):
            return None
        remote = RemoteClient(shared.calls, name, token, parse_holder(entry.value))
        await _until_served(remote, shared.terms.scheduler)
        return remote

    def _held(self, token: str) -> Holding | None:
        """Return the registration of the holder of a name, if it is in this process."""
        held = (h for h, other in self._holdings.items() if other == token and h.is_registered)
        return next(held, None)

    def _is_left_over(self, value: bytes) -> bool:
        """Return whether this process wrote an entry for a client that no longer needs the name."""
        return self._values.wrote(value) and all(h.value != value for h in self._holdings)


async def _until_served(remote: RemoteClient, scheduler: Scheduler) -> None:
    """Wait at most 2 s for a holder that has written its entry, but does not serve calls yet."""
    for _ in range(round(_SERVED_SECONDS / _SERVED_STEP)):
        try:
            await remote.status(_SERVED_SECONDS)
        except UnknownNameError:
            await deferLater(scheduler, _SERVED_STEP)
        except WsxError:
            return  # The caller's own calls will fail with the same error.
        else:
            return


def _require_type(name: str, value: object, expectation: str, *types: type) -> None:
    """Check the type of an optional argument, whose value may be a secret."""
    if not (value is None or isinstance(value, types)):
        raise TypeError(expected_type(name, f"{expectation} or None", value))


class _Registry:
    """Registry of one name (a :class:`wsx.registry.AsyncRegistry`)."""

    def __init__(self, cluster: Cluster, name: Global, token: str) -> None:
        self._cluster = cluster
        self._name = name
        self._token = token

    async def register_name(
        self, key: Any, client: Any, *, standby: bool, lost: Callable[[str], None]
    ) -> Any:
        """Register a client, or return None if the name is in use."""
        return await self._cluster._register(self._name, self._token, client, standby, lost)

    async def unregister_name(self, key: Any, client: Any) -> None:
        """Release the name."""
        await self._cluster._unregister(self._token, client)

    async def whereis_name(self, key: Any) -> Any:
        """Return the client, a reference to it, or None."""
        return await self._cluster._whereis(self._name, self._token)

"""Code as users write it: mypy and pyright, both strict, must report nothing."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar, Unpack, assert_type

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import Clock, react
from twisted.python.filepath import FilePath

import wsx
from wsx import (
    Answer,
    Backoff,
    Client,
    ClientService,
    Conn,
    Disconnect,
    Handler,
    Ok,
    Text,
)
from wsx.option_types import Status
from wsx.registry import Registration

State = TypeVar("State")
URL = "wss://example.com/"


@dataclass
class Book:
    """The state of a handler."""

    lines: int = 0


class Precise(Handler[Book]):
    """Callbacks that return results directly, each with the narrowest type."""

    depth = 5

    def handle_connect(self, conn: Conn, state: Book) -> wsx.Reply[Book]:
        return wsx.Reply([Text("subscribe"), wsx.Ping()], state)

    def handle_frame(self, frame: Text | wsx.Binary, state: Book) -> Ok[Book] | wsx.Close[Book]:
        match frame:
            case Text("goodbye"):
                return wsx.Close(state, 1000, "as you like")
            case Text(text):
                return Ok(Book(state.lines + len(text.splitlines())))
            case wsx.Binary(data):
                return Ok(Book(state.lines + len(data)))
            case _:  # mypy considers the two patterns above incomplete.
                return Ok(state)

    def handle_disconnect(self, status: Disconnect, state: Book) -> wsx.Reconnect[Book] | Ok[Book]:
        if status.reason.normal:
            return Ok(state)
        elsewhere = status.conn.replace(url="wss://backup.example.com/", ping_interval=None)
        return wsx.Reconnect(state, conn=elsewhere, after=status.attempt_number * 1.0)


class Annotated(Handler[int], restart="transient", shutdown=2.0):
    """The alias for what a callback returns, in plain and asynchronous callbacks."""

    def handle_connect(self, conn: Conn, state: int) -> Answer[int]:
        return None

    async def handle_frame(self, frame: wsx.Frame, state: int) -> Answer[int]:
        await self.client.send_frame(Text("seen"))
        return wsx.Reply(Text("seen"), state + 1)

    def handle_cast(self, message: str, state: int) -> Answer[int]:
        return self.client.send_frame(Text(message)).addCallback(lambda _: Ok(state))

    async def handle_info(self, message: object, state: int) -> Answer[int]:
        assert_type(self.client.handler.count, int)
        return await self.later(state)

    def handle_disconnect(self, status: Disconnect, state: int) -> Answer[int]:
        return super().handle_disconnect(status, state)

    def code_change(self, old_version: object, state: int, extra: object) -> Answer[int]:
        return Ok(state)

    async def terminate(self, reason: object, state: int) -> None:
        return None

    count = 0

    async def later(self, state: int) -> Ok[int]:
        return Ok(state)


class Backup(Annotated):
    """A callback that is asynchronous in a subclass, and uses that of its base class."""

    async def handle_disconnect(self, status: Disconnect, state: int) -> Answer[int]:
        if status.attempt_number > 5:
            return wsx.Reconnect(state, conn=status.conn.replace(url="wss://backup.example.com/"))
        return super().handle_disconnect(status, state)


class Optional(Handler[int | None]):
    """A state that may be None."""

    async def handle_frame(self, frame: Text | wsx.Binary, state: int | None) -> Ok[int]:
        return Ok((state or 0) + 1)

    def handle_cast(self, message: object, state: int | None) -> Deferred[Ok[None]]:
        return succeed(Ok(None))


class Stateless(Handler[None]):
    """No state."""

    def __init__(self, greeting: str = "hello") -> None:
        self.greeting = greeting

    def handle_connect(self, conn: Conn, state: None) -> Answer[None]:
        return wsx.Reply(Text(self.greeting), state)


class Renamed(Handler[int]):
    """Other names of parameters."""

    def handle_connect(self, _: Conn, count: int) -> Answer[int]:
        return Ok(count)

    def handle_cast(self, order: str, count: int) -> Answer[int]:
        return wsx.Reply(Text(order), count + 1)


class Generic(Handler[State]):
    """A handler for any state."""


async def start_clients(reactor: Any, parent: Any) -> object:
    """Start clients from classes and instances, with a state, and without one."""
    client: Client[Book] = await wsx.start(URL, Precise, Book())
    assert_type(client.handler, Handler[Book])
    precise = await wsx.start(URL, Precise(), Book(), reconnect=Backoff(), name="book")
    assert_type(precise, Client[Book, Precise])
    assert_type(precise.handler.depth, int)
    assert_type(precise.sys.get_state(), Book)
    assert_type(await wsx.start(URL, Optional), Client[int | None, Optional])
    assert_type(await wsx.start(URL, Optional(), 1), Client[int | None, Optional])
    assert_type(await wsx.start(URL, Stateless), Client[None, Stateless])
    assert_type(await wsx.start(URL, Stateless("hi")), Client[None, Stateless])
    assert_type(await wsx.start_link(parent, URL, Stateless), Client[None, Stateless])
    assert_type(await wsx.start(URL, Generic[int], 5), Client[int, Generic[int]])
    linked = await wsx.start_link(parent, URL, Annotated, 0, async_=True)
    linked.cast("anything")
    await linked.send_frame(Text("hello"), timeout=None)
    clients: list[Client[Any]] = [client, precise, linked]
    for each in clients:
        await each.stop()
    return await client.terminated()


class Levels(TypedDict):
    """A state that is a dict with certain keys."""

    bid: float


class Prices(Handler[dict[str, float | None]]):
    """A state whose type is not that of the literal that is passed."""


class Quotes(Handler[Levels]):
    """The same with a TypedDict."""


class Order(Handler[Sequence[int]]):
    """The same with an abstract type."""


async def first_states(parent: Any) -> None:
    """The type of the state is that of the handler."""
    assert_type(await wsx.start(URL, Prices, {}), Client[dict[str, float | None], Prices])
    assert_type(
        await wsx.start(URL, Prices, {"EURUSD": None}), Client[dict[str, float | None], Prices]
    )
    await wsx.start(URL, Prices(), {"EURUSD": 1})
    await wsx.start(URL, Quotes, {"bid": 1})
    await wsx.start(URL, Order, [1])
    await wsx.start(URL, Order(), ())
    await wsx.start_link(parent, URL, Prices, {"EURUSD": 1})
    await wsx.start_link(parent, URL, Quotes(), {"bid": 1})
    ClientService(URL, Prices, {"EURUSD": 1}, name="prices")
    ClientService(URL, Quotes(), {"bid": 1})
    ClientService(URL, Order, [])


def all_options(source: wsx.ConnSource, limiter: wsx.ConnectLimiter) -> None:
    """Pass every option."""
    wsx.start(
        source,
        Annotated,
        0,
        extra_headers={"Authorization": "Bearer x"},
        subprotocols=["chat"],
        socket_connect_timeout=1,
        socket_recv_timeout=1.5,
        close_timeout=2.0,
        insecure=False,
        cacerts=["/ca.pem", b"PEM"],
        ssl_options={"server_name": "example.com", "minimum_version": "TLSv1.3", "alpn": ["a"]},
        endpoint="tcp:127.0.0.1:80",
        proxy="http://proxy.example.com:3128",
        compression="deflate",
        max_message_size=None,
        max_header_size=1000,
        ping_interval=None,
        ping_timeout=5,
        data_timeout=60.0,
        secret_headers=("X-User",),
        async_=True,
        handle_initial_conn_failure=True,
        reconnect=Backoff(initial=0.5, max_attempts=None),
        connect_limiter=limiter,
        name=wsx.Global(("feed", 1)),
        debug=["trace", ("log", 5), ("log_to_file", "/tmp/log")],
        stable_after=0,
        slow_callback=None,
        mailbox_limit=5,
        reactor=Clock(),
    )


def connections(reactor: Any) -> list[Conn]:
    """Create Conns with options of other types."""
    tls: wsx.SSLOptions = {"certificate": "/c.pem", "private_key": b"PEM"}
    return [
        Conn(URL, extra_headers=[("X-A", "1"), ("X-A", b"2")], ssl_options=tls),
        Conn(URL, endpoint=HostnameEndpoint(reactor, "localhost", 80)),
        Conn(URL, ssl_options=optionsForClientTLS("example.com"), cacerts=FilePath("/ca.pem").path),
        Conn(URL, extra_headers={b"X-A": b"1"}).replace(subprotocols=("a", "b"), compression=None),
    ]


def pass_on(path: str, **options: Unpack[wsx.StartOptions]) -> Deferred[Client[int, Annotated]]:
    """Pass options on to start."""
    return wsx.start(f"wss://example.com/{path}", Annotated, 0, **options)


def generic(handler: type[Handler[State]], state: State) -> Deferred[Client[State]]:
    """Start a client with any handler."""
    return wsx.start(URL, handler, state)


def find() -> int:
    """Find clients by their names."""
    named = wsx.whereis("feed", Annotated)
    if named is None:
        return 0
    assert_type(named, Client[int, Annotated])
    other = wsx.whereis(wsx.Global("feed"))
    if other is not None and other.status == "open":
        other.info("hello")
    return named.sys.get_state() + named.handler.count


async def use_service(service: ClientService[int], parent: Any) -> None:
    """Use a client that is run as a service."""
    service.setServiceParent(parent)
    assert_type(await service.whenConnected(), Client[int])


async def run_service(parent: Any) -> object:
    """Run a client as a service."""
    service: ClientService[int] = ClientService(URL, Annotated, 0, restart="transient")
    await use_service(service, parent)
    precise = ClientService(URL, Annotated, 0, max_restarts=1, reconnect=None)
    assert_type(precise, ClientService[int, Annotated])
    assert_type(precise.client, Client[int, Annotated] | None)
    assert_type(ClientService(URL, Stateless()), ClientService[None, Stateless])
    assert_type(ClientService(URL, Optional), ClientService[int | None, Optional])
    return await precise.terminated()


def plain_provider(attempt: wsx.Attempt) -> str:
    """Return a URL."""
    return f"{URL}?attempt={attempt.number}"


def deferred_provider(attempt: wsx.Attempt) -> Deferred[Conn]:
    """Return a Deferred of a Conn."""
    return succeed(attempt.conn or Conn(URL, extra_headers=authorize))


async def async_provider(attempt: wsx.Attempt) -> str | Conn:
    """Return either, as a coroutine."""
    return URL if attempt.reason is None else Conn(URL)


async def authorize(attempt: wsx.Attempt) -> dict[str, str]:
    """Return headers."""
    return {"Authorization": f"Bearer {attempt.number}"}


async def provide() -> None:
    """Connect where a callable says."""
    provider: wsx.Provider = plain_provider
    await wsx.start(provider, Annotated, 0, extra_headers=authorize)
    await wsx.start(deferred_provider, Annotated, 0, extra_headers=lambda attempt: [("A", "b")])
    ClientService(async_provider, Annotated, 0)
    Annotated.child_spec(lambda attempt: URL, 0)
    wsx.Reconnect(0, conn=async_provider)


async def iterate() -> None:
    """Read messages with a loop."""
    async with wsx.connect(async_provider, ping_interval=None) as client:
        async for frame in client.frames():
            assert_type(frame, Text | wsx.Binary)
        assert_type(client.handler, wsx.FrameQueue)
    other = await wsx.connect(URL)
    first = await anext(other.frames())
    assert_type(first, Text | wsx.Binary)


class Names:
    """A registry that answers later (see the types of ``wsx.registry``)."""

    def __init__(self) -> None:
        self.clients: dict[str, object] = {}

    async def register_name(
        self, key: str, client: Client[Any], *, standby: bool, lost: Callable[[str], None]
    ) -> Registration | None:
        self.clients[key] = client
        return Registration(fence=1, seconds_left=lambda: 5.0)

    def unregister_name(self, key: str, client: Client[Any]) -> Deferred[None]:
        self.clients.pop(key, None)
        return succeed(None)

    def whereis_name(self, key: str) -> object:
        return self.clients.get(key)


async def cluster_names() -> int | None:
    """Use names in a cluster, and a registry that answers later."""
    cluster = wsx.Cluster(["nats://a.test", "tls://b.test"], ttl=5, tls=True, nkey_file="user.nk")
    cluster.startService()
    name = wsx.Global(("feed", 7), cluster, standby=True, on_partition="keep")
    assert_type(name.cluster, wsx.Cluster | None)
    ClientService(URL, Annotated, 0, name=name)
    Annotated.child_spec(URL, 0, name=wsx.AsyncVia(Names(), "feed", standby=True))
    client = await wsx.start(URL, Annotated, 0, name=name)
    found = await wsx.lookup(name)
    if isinstance(found, wsx.RemoteClient):
        await found.cast({"symbols": ["A", "B"]}, timeout=1.0)
        await found.send_frame(Text("hello"))
        assert_type(await found.status(), Status)
        print(await found.sys.get_state(), await found.stop(), found.holder.host)
    try:
        await wsx.start(URL, Annotated, 0, name=wsx.Global("feed", cluster))
    except wsx.ClusterSetupError as error:
        print(error.reason)
    except (wsx.ClusterError, wsx.AlreadyStartedError) as error:
        print(error)
    assert_type(client.fence, int | None)
    return client.fence


async def supervise() -> dict[str, int]:
    """Start a tree of supervisors."""
    inner = wsx.Supervisor([Annotated.child_spec(URL, 0), Stateless.child_spec(URL)], id="inner")
    outer = wsx.Supervisor([inner], "one_for_all", max_restarts=1, backoff=Backoff())
    outer.startService()
    await outer.when_up()
    await outer.start_child(Annotated.child_spec(URL, 0, id="more", restart="temporary"))
    await outer.start_child(Optional.child_spec(URL, shutdown=1.0, async_=True))
    return outer.count_children()


async def look_inside(client: Client[int]) -> int:
    """Make system requests, which know the type of the state."""
    client.sys.trace(True)
    client.sys.log(20)
    client.sys.statistics(True)
    client.sys.log_to_file(False)
    assert_type(client.sys.log("get"), list[tuple[float, str]])
    assert_type(client.sys.statistics("get"), dict[str, int] | None)
    print(client.sys.get_status()["mailbox"])
    await client.sys.change_code(Annotated, extra={"why": "new"})
    await client.sys.replace_state(lambda state: state + 1)
    return client.sys.get_state()


def count(
    event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], config: list[str]
) -> None:
    """Observe an event."""
    config.append(f"{event} {measurements['time']} {metadata['name']}")


def observe() -> None:
    """Attach an observer."""
    wsx.telemetry.attach("count", ["wsx.connected"], count, [])


def explain(error: Exception) -> str:
    """Use the attributes of errors."""
    match error:
        case wsx.RequestError(code=401, headers=headers):
            return f"401, {len(headers)} headers"
        case wsx.ConnError(original=original):
            return str(original)
        case wsx.AlreadyStartedError(name=name):
            return f"{name} is in use"
        case _:
            return str(error)


if __name__ == "__main__":
    react(start_clients, sys.argv[1:])

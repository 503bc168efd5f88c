"""Mistakes of users: mypy and pyright must report each line with the marker, and no other line."""

from __future__ import annotations

from typing import Any

import wsx
from wsx import (
    Answer,
    Backoff,
    Client,
    ClientService,
    Conn,
    Handler,
    Ok,
    Reply,
    Supervisor,
    Text,
)
from wsx.testing import MemoryServer, run, stand_in

URL = "wss://example.com/"


class Feed(Handler[int]):
    """A handler without mistakes."""

    volume = 1

    def handle_frame(self, frame: wsx.Frame, state: int) -> Answer[int]:
        return Ok(state + 1)


class Prices(Handler[dict[str, float | None]]):
    """Another handler without mistakes."""


async def options_of_start() -> None:
    """Options that do not exist, or have wrong values."""
    wsx.start(URL, Feed, 0, recconect=Backoff())  # mistake: the name of an option
    wsx.start(URL, Feed, 0, ping_interval="20")  # mistake: str in place of a number
    wsx.start(URL, Feed, 0, compression="gzip")  # mistake: not among the literals
    wsx.start(URL, Feed, 0, reconnect=True)  # mistake: not a Backoff
    wsx.start(URL, Feed, 0, debug=["trase"])  # mistake: not among the literals
    wsx.start(URL, Feed, 0, debug="trace")  # mistake: not a list
    wsx.start(URL, Feed, 0, name=b"feed")  # mistake: not a name
    wsx.start(URL, Feed, 0, max_message_size="1 MiB")  # mistake: not a number
    wsx.start(URL, Feed, 0, subprotocols="chat")  # mistake: a str is not a list of names
    wsx.start(URL, Feed, 0, extra_headers=["Authorization: x"])  # mistake: not pairs
    wsx.start(URL, Feed, 0, mailbox_limit=None)  # mistake: None is not allowed
    wsx.start(URL, Feed, 0, restart="permanent")  # mistake: not an option of start
    wsx.start(b"ws://example.com/", Feed, 0)  # mistake: not a str
    wsx.start(lambda: URL, Feed, 0)  # mistake: a provider has an argument
    wsx.start(lambda attempt: attempt.number, Feed, 0)  # mistake: a provider returns a URL or Conn


def no_url(attempt: wsx.Attempt) -> int:
    """Return neither a URL nor a Conn."""
    return attempt.number


async def providers() -> None:
    """Callables that return or take something else."""
    wsx.start(no_url, Feed, 0)  # mistake: it returns an int
    wsx.start(lambda: URL, Feed, 0)  # mistake: it takes no attempt
    wsx.start(URL, Feed, 0, extra_headers=no_url)  # mistake: it returns no headers
    wsx.connect(URL, recconect=None)  # mistake: the name of an option


async def state_and_handler(parent: Any) -> None:
    """A missing or wrong state, and values that are no handlers."""
    wsx.start(URL, Feed)  # mistake: the state is missing
    wsx.start(URL, Feed())  # mistake: the state is missing
    wsx.start(URL, Feed, "0")  # mistake: the state has another type
    wsx.start(URL, Feed, None)  # mistake: the state may not be None
    wsx.start(URL, Prices, {"EURUSD": "1"})  # mistake: the values of the dict
    wsx.start(URL, Prices(), {1: 1.0})  # mistake: the keys of the dict
    wsx.start(URL, Feed, lambda: 0)  # mistake: a function that returns a state
    wsx.start(URL, int, 0)  # mistake: not a handler
    wsx.start_link(parent, URL, Feed)  # mistake: the state is missing
    wsx.start_link(parent, URL, Feed, 0, pong=1)  # mistake: the name of an option
    ClientService(URL, Feed)  # mistake: the state is missing
    ClientService(URL, Feed, "0")  # mistake: the state has another type
    ClientService(URL, Feed, 0, restart="always")  # mistake: not among the literals
    ClientService(URL, Feed, 0, max_restart=5)  # mistake: the name of an option
    Feed.child_spec(URL)  # mistake: the state is missing
    Feed.child_spec(URL, "0")  # mistake: the state has another type
    Feed.child_spec(URL, 0, restart="never")  # mistake: not among the literals
    Feed.child_spec(URL, 0, shut_down=5.0)  # mistake: the name of an option


def connections(conn: Conn) -> None:
    """Wrong options of Conn."""
    Conn(URL, timeout=5)  # mistake: the name of an option
    Conn(URL, [("X-A", "1")])  # mistake: options are keywords
    Conn(URL, close_timeout=None)  # mistake: None is not allowed
    Conn(URL, ssl_options={"servername": "example.com"})  # mistake: the name of a key
    Conn(URL, ssl_options={"alpn": "http/1.1"})  # mistake: a str is not a list of names
    Conn(URL, ssl_options={"minimum_version": "TLSv1.1"})  # mistake: not among the literals
    conn.replace(pingtimeout=5.0)  # mistake: the name of an option
    conn.replace(proxy=8080)  # mistake: not a str
    conn.url = "ws://example.com/"  # mistake: a Conn is immutable


def supervise() -> None:
    """Wrong arguments of a supervisor."""
    spec = Feed.child_spec(URL, 0)
    Supervisor([spec], strategy="one_for_each")  # mistake: not among the literals
    Supervisor([spec], restart="sometimes")  # mistake: not among the literals
    Supervisor([spec], auto_shutdown=True)  # mistake: not among the literals
    Supervisor([Feed])  # mistake: a class is not a child specification
    Supervisor(spec)  # mistake: not a list


class Typo(Handler[int], restrat="transient"):  # mistake: the name of a class keyword
    """A handler with wrong class keywords."""


class Value(Handler[int], restart="sometimes"):  # mistake: not among the literals
    """A handler with wrong class keywords."""


class Wrong(Handler[int]):
    """Wrong callbacks."""

    def handle_connect(self, conn: Conn) -> Answer[int]:  # mistake: no parameter for the state
        return Ok(0)

    def handle_frame(self, frame: Text, state: int) -> Answer[int]:  # mistake: not Binary
        return Ok(len(frame.payload))

    def handle_cast(self, message: Any, state: str) -> Answer[int]:  # mistake: another state
        return Ok(0)

    def handle_info(self, message: Any, state: int) -> str:  # mistake: not an Answer
        return "ok"

    def handle_ping(self, frame: wsx.Ping, state: int) -> Answer[int]:
        return Ok(frame.payload)  # mistake: another state

    async def handle_pong(self, frame: wsx.Pong, state: int) -> Answer[int]:
        return Reply("pong", state)  # mistake: a str is not a frame

    async def handle_disconnect(self, status: wsx.Disconnect, state: int) -> Answer[int]:
        return state  # mistake: not an Answer

    async def code_change(self, old_version: Any, state: int, extra: Any) -> Ok[str]:  # mistake
        return Ok("")


class Backup(Handler[int]):
    """A handler that connects to another server."""

    async def handle_disconnect(self, status: wsx.Disconnect, state: int) -> Answer[int]:
        if status.attempt_number > 5:
            return wsx.Reconnect(state, conn=URL)  # mistake: not a Conn
        return wsx.Reconnect(state, after="5")  # mistake: not a number


async def clients(client: Client[int], feed: Client[int, Feed]) -> None:
    """Wrong use of clients."""
    client.send("hello")  # mistake: there is no such method
    await client.send_frame("hello")  # mistake: a str is not a frame
    await client.close("bye")  # mistake: the code comes first
    client.send_after("1", None)  # mistake: not a number
    if client.status == "opened":  # mistake: there is no such status
        return
    print(feed.handler.volme)  # mistake: there is no such attribute
    print(client.handler.volume)  # mistake: not known for any handler
    await client.sys.replace_state(str)  # mistake: another state
    text: str = feed.sys.get_state()  # mistake: another type
    client.sys.log("show")  # mistake: not among the literals
    client.sys.statistics(5)  # mistake: not a bool
    client.sys.log_to_file(True)  # mistake: only False ends the logging
    print(text, Text(b"bytes"))  # mistake: not a str
    named = wsx.whereis("feed", Feed)
    named.cast("hello")  # mistake: None is possible
    other: Client[str] | None = wsx.whereis("feed", Feed)  # mistake: another state
    print(other, Backoff(inital=1.0))  # mistake: the name of an argument


async def clusters(remote: wsx.RemoteClient) -> None:
    """Wrong use of names in a cluster."""
    cluster = wsx.Cluster("nats://a.test", tll=5)  # mistake: the name of an argument
    wsx.Cluster("nats://a.test", ttl="5")  # mistake: not a number
    wsx.Cluster("nats://a.test", tls="yes")  # mistake: not a bool
    wsx.Global("feed", "nats://a.test")  # mistake: not a Cluster
    wsx.Global("feed", cluster, on_partition="wait")  # mistake: not among the literals
    wsx.Global(["feed"], cluster)  # mistake: a list is not hashable
    wsx.AsyncVia(cluster, "feed")  # mistake: a Cluster is not a registry
    wsx.lookup(Feed)  # mistake: not a name
    wsx.lookup(wsx.Global("feed", cluster)).cast("hello")  # mistake: a Deferred has no cast
    remote.send_frame("hello")  # mistake: a str is not a frame
    await remote.close("bye")  # mistake: the code comes first
    remote.sys.trace("on")  # mistake: not a bool
    print(remote.conn)  # mistake: there is no such attribute
    wsx.start(URL, Feed, 0, name=cluster)  # mistake: a Cluster is not a name


def tests() -> None:
    """Wrong use of the test kit."""
    run(Feed, 0, recconect=None)  # mistake: the name of an option
    run(Feed)  # mistake: no state
    run(Feed, "0")  # mistake: another state
    stand_in(Text)  # mistake: not a Handler
    MemoryServer(5)  # mistake: neither a function nor an exception
    with run(Feed, 0) as feed:
        feed.server.acept()  # mistake: there is no such method
        feed.server.send("hello")  # mistake: a str is not a frame
        feed.server.expect("hello")  # mistake: a str is not a frame
        feed.server.refuse("503")  # mistake: not a number
        feed.advance("1")  # mistake: not a number
        text: str = feed.state  # mistake: another type
        print(text, feed.handler.volme)  # mistake: there is no such attribute

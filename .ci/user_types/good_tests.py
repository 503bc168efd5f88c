"""A test of a handler as users write it: mypy and pyright, both strict, must report nothing."""

from collections.abc import Generator
from typing import Any, assert_type

import wsx
from wsx import Answer, Binary, Conn, Handler, Ok, Reply, Text
from wsx.testing import (
    AnyFrame,
    CloseFrame,
    MemoryServer,
    ServerConnection,
    StandIn,
    result_of,
    run,
    stand_in,
)


class Feed(Handler[int]):
    """A handler."""

    volume: float = 1.0

    def handle_connect(self, conn: Conn, state: int) -> Answer[int]:
        return Reply(Text("subscribe"), state)

    async def handle_frame(self, frame: Text | Binary, state: int) -> Answer[int]:
        return Ok(state + len(frame.payload))


class Prices(Handler[dict[str, float | None]]):
    """A handler whose state is not of the type of a literal."""


class Stateless(Handler[None]):
    """A handler without a state."""


def script(connection: ServerConnection) -> Generator[Any, Any, None]:
    """Serve one connection."""
    connection.accept(headers={"X-A": "b", "Upgrade": None}, subprotocol="v1")
    yield Text("subscribe")
    yield 5.0
    connection.send(Text("1")).drop()


def test_feed() -> None:
    """Run a handler."""
    server = MemoryServer(script, lambda connection: connection.refuse(503), OSError())
    with run(Feed, 0, server=server, reconnect=wsx.Backoff(jitter=0)) as feed:
        assert_type(feed.state, int)
        assert_type(feed.handler, Feed)
        assert_type(feed.client, wsx.Client[int, Feed])
        assert_type(feed.handler.volume, float)
        feed.advance(10)
        feed.wait_open().expect(Text("subscribe"), Text, CloseFrame(1000), CloseFrame)
        callback, argument, answer = feed.calls[0]
        print(callback, argument, answer, feed.server.request.headers["Host"])
        frame: AnyFrame = feed.server.receive()
        print(frame, feed.server.received[0], feed.reason)
        errors = feed.errors(ValueError, KeyError)
        print(errors[0].error, feed.reactor.seconds())


def test_others() -> None:
    """Use the other forms."""
    with run(Stateless, url="wss://test/", extra_headers={"A": "b"}) as other:
        assert_type(other.state, None)
    with run(Feed(), 0, wsx.Conn("ws://test/")) as feed:
        assert_type(feed.handler, Feed)
    with run(Prices, {"EURUSD": 1}) as prices:
        assert_type(prices.state, dict[str, float | None])
    with run(Prices(), {}):
        pass
    with run(Feed, 0, lambda attempt: f"ws://test/{attempt.number}"):
        pass


def test_directly() -> None:
    """Call a callback directly."""
    handler = stand_in(Feed, reconnect=wsx.Backoff())
    assert_type(handler, Feed)
    assert isinstance(handler.client, StandIn)
    result = result_of(handler.handle_frame(Text("a"), 0))
    print(result, handler.client.sent, handler.client.messages)

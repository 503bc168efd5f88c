"""Tests of direct calls of callbacks."""

from __future__ import annotations

import inspect
from typing import Any

import wsx
from wsx import (
    Backoff,
    ConnectionDropped,
    Disconnect,
    FrameEncodeError,
    InvalidFrameError,
    LocalClose,
    Ok,
    Reconnect,
    Reply,
    Shutdown,
    Text,
)
from wsx.test.support.kit import Echo, KitCase, run_echo
from wsx.testing import StandIn, result_of, stand_in


class Busy(wsx.Handler[int]):
    """Use the client in each way."""

    def __init__(self, word: str = "default") -> None:
        self.word = word

    def handle_connect(self, conn: wsx.Conn, state: int) -> Ok[int]:
        self.client.mark_healthy()
        self.client.send_after(5.0, "tick")
        self.client.cast(self.word)
        self.client.info(conn.url)
        return Ok(state + 1)

    async def handle_frame(self, frame: Any, state: int) -> Any:
        await self.client.send_frame(frame)
        return Reply(Text(f"{self.client.status} {self.client.name}"), state)

    def handle_cast(self, message: Any, state: int) -> None:
        self.client.close(4000, message)

    def handle_info(self, message: Any, state: int) -> None:
        self.client.stop(message)


class StandInTests(KitCase):
    """Handlers without a client."""

    def test_pure_callbacks(self) -> None:
        """A callback is called as a function."""
        echo = stand_in(Echo)
        self.assertEqual(echo.handle_frame(Text("a"), 1), Reply(Text("a"), 2))
        ping = echo.handle_ping(wsx.Ping(b"p"), 1)
        self.assertEqual(ping, Reply(wsx.Pong(b"p"), 1))

    def test_messages(self) -> None:
        """What the callback asks of the client is recorded."""
        busy = stand_in(Busy("word"))
        self.assertEqual(busy.handle_connect(busy.client.conn, 1), Ok(2))
        client: Any = busy.client
        self.assertEqual(
            client.messages,
            [("send_after", "tick", 5.0), ("cast", "word", None), ("info", "ws://test/", None)],
        )
        self.assertRaises(TypeError, client.send_after, "tick", 5.0)
        self.assertEqual(len(client.messages), 3)
        self.assertTrue(client.is_healthy)
        self.assertEqual(len(client.reactor.getDelayedCalls()), 1)

    def test_async_callbacks(self) -> None:
        """An async callback is a coroutine, whose result is known at once."""
        busy = stand_in(Busy)
        client: Any = busy.client
        client.name = "feed"
        answer = result_of(busy.handle_frame(Text("a"), 1))
        self.assertEqual(answer, Reply(Text("open feed"), 1))
        self.assertEqual(client.sent, [Text("a")])

    def test_frames_are_checked(self) -> None:
        """Frames that the real client does not send are refused in the same way."""
        client: Any = stand_in(Echo).client
        for frame, kind in [("text", InvalidFrameError), (wsx.Ping(bytes(126)), FrameEncodeError)]:
            self.assertRaises(kind, result_of, client.send_frame(frame))
        self.assertRaises(FrameEncodeError, result_of, client.close(1005))
        self.assertEqual((client.sent, client.ended), ([], None))

    def test_ends(self) -> None:
        """``close``, ``stop`` and ``abort`` record their reasons."""
        busy = stand_in(Busy)
        client: Any = busy.client
        self.assertIn("has not fired", self.failure_of(result_of, client.terminated()))
        busy.handle_cast("bye", 1)
        self.assertEqual((client.ended, client.status), (LocalClose(4000, "bye"), "terminated"))
        busy = stand_in(busy)
        busy.handle_info("bye", 1)
        client = busy.client
        self.assertEqual(client.ended, Shutdown("bye"))
        self.assertEqual(result_of(client.terminated()), Shutdown("bye"))
        client = stand_in(busy).client
        client.abort()
        self.assertEqual(client.ended, Shutdown())

    def test_reconnect(self) -> None:
        """The default handle_disconnect follows the policy that the test gives."""
        echo = stand_in(Echo, reconnect=Backoff(initial=2.0, jitter=0))
        status = Disconnect(ConnectionDropped(), 2, echo.client.conn)
        self.assertEqual(echo.handle_disconnect(status, 1), Reconnect(1, after=4.0))
        self.assertEqual(stand_in(Echo).handle_disconnect(status, 1), Ok(1))

    def test_conn(self) -> None:
        """The Conn is a default one, or what the test gives."""
        self.assertEqual(stand_in(Echo).client.conn.url, "ws://test/")
        self.assertEqual(stand_in(Echo, conn="ws://a/b").client.conn.url, "ws://a/b")
        conn = wsx.Conn("ws://c/")
        self.assertIs(stand_in(Echo, conn=conn).client.conn, conn)

    def test_needs_a_client(self) -> None:
        """What a stand-in cannot do is an error that says what to use instead."""
        client: Any = stand_in(Echo).client
        for name in ("sys", "begin", "frames"):
            text = self.failure_of(getattr, client, name)
            self.assertEqual(text, f"client.{name} needs a running client: use wsx.testing.run")
        text = self.failure_of(getattr, client, "sendFrame", kind=AttributeError)
        self.assertEqual(text, "a client has no attribute 'sendFrame'")

    def test_wrong_handlers(self) -> None:
        """The handler must be one, and must not have a running client."""
        self.failure_of(stand_in, Text, kind=TypeError)
        with run_echo() as feed:
            text = self.failure_of(stand_in, feed.handler, kind=ValueError)
            self.assertIn("handler: expected an instance without a running client", text)
        self.assertIsInstance(stand_in(feed.handler).client, StandIn)

    def test_same_interface(self) -> None:
        """The methods of a stand-in have the parameters of those of a client."""
        client: Any = stand_in(Echo).client
        for name in [name for name in dir(wsx.Client) if not name.startswith("_")]:
            try:
                getattr(client, name)
            except AssertionError as error:  # An AttributeError would fail the test.
                self.assertIn("needs a running client", str(error))
                continue
            real = getattr(wsx.Client, name)
            if inspect.isfunction(real):
                ours = inspect.signature(getattr(StandIn, name)).parameters.values()
                theirs = inspect.signature(real).parameters.values()
                self.assertEqual([p.name for p in ours], [p.name for p in theirs])
                self.assertEqual([p.default for p in ours], [p.default for p in theirs], name)

    def test_when_open(self) -> None:
        """A stand-in is open."""
        client: Any = stand_in(Echo).client
        self.assertIs(result_of(client.when_open()), client)

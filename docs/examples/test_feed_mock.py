"""The test of test_feed.py with a mock in place of the client, for comparison."""

from unittest.mock import Mock

from twisted.trial.unittest import SynchronousTestCase

from wsx import (
    Binary,
    Conn,
    ConnectionDropped,
    Disconnect,
    Handler,
    Ok,
    Reconnect,
    Reply,
    Text,
)


class Feed(Handler[int]):
    """Subscribe on each connection, and keep the latest price."""

    def handle_connect(self, conn: Conn, state: int) -> Reply[int]:
        return Reply(Text("subscribe"), state)

    def handle_frame(self, frame: Text | Binary, state: int) -> Ok[int]:
        return Ok(int(frame.payload))


def test_subscribes_again() -> None:
    conn = Conn("ws://test/")
    feed = Feed()
    feed.client = Mock()
    assert feed.handle_connect(conn, 0) == Reply(Text("subscribe"), 0)
    assert feed.handle_frame(Text("1"), 0) == Ok(1)
    feed.client.reconnect_delay.return_value = 1.0
    status = Disconnect(ConnectionDropped(), 1, conn)
    assert feed.handle_disconnect(status, 1) == Reconnect(1, after=1.0)
    assert feed.handle_connect(conn, 1) == Reply(Text("subscribe"), 1)


class FeedTests(SynchronousTestCase):
    """The same for trial, which collects only test cases."""

    def test_subscribes_again(self) -> None:
        test_subscribes_again()

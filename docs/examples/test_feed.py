"""A test of a handler with a reconnect: no server, no sockets, no real time.

Run it with pytest, ``pytest docs/examples/test_feed.py``, or with trial,
``python -m twisted.trial docs/examples/test_feed.py``.
"""

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Binary, Conn, Handler, Ok, Reply, Text
from wsx.testing import run


class Feed(Handler[int]):
    """Subscribe on each connection, and keep the latest price."""

    def handle_connect(self, conn: Conn, state: int) -> Reply[int]:
        return Reply(Text("subscribe"), state)

    def handle_frame(self, frame: Text | Binary, state: int) -> Ok[int]:
        return Ok(int(frame.payload))


def test_subscribes_again() -> None:
    with run(Feed, state=0, reconnect=wsx.Backoff(jitter=0)) as feed:
        feed.server.accept()
        feed.server.expect(Text("subscribe"))
        feed.server.send(Text("1"))
        assert feed.state == 1
        feed.server.drop()
        feed.advance(1.0)
        feed.server.accept().expect(Text("subscribe"))


class FeedTests(SynchronousTestCase):
    """The same for trial, which collects only test cases."""

    def test_subscribes_again(self) -> None:
        test_subscribes_again()

"""Tests of one message in fragments; test_client_fragments.py has those with a whole client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx import ConnError, InvalidFrameError, SendTimeout, Text
from wsx._client.fragmented_message import FragmentedMessage
from wsx._scheduler import scheduler_for
from wsx._wire.fragments import FragmentEncoder
from wsx.test.support.wire import read_frames


class FakeConnection:
    """A connection whose write buffer the test fills and drains."""

    def __init__(self) -> None:
        self.writable = True
        self.written = b""

    def fragments(self, kind: Any) -> FragmentEncoder:
        return FragmentEncoder(kind)

    def send_encoded(self, data: bytes) -> None:
        self.written += data


class FakeSending:
    """Record what a message asks for."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.draining: list[Deferred[None]] = []

    def when_drained(self, timeout: float | None) -> Deferred[None]:
        self.calls.append(("when_drained", timeout))
        self.draining.append(Deferred())
        return self.draining[-1]

    def fragment_sent(self, frame: Any) -> None:
        self.calls.append(("sent", frame.payload))

    def message_completed(self) -> None:
        self.calls.append("completed")

    def message_failed(self, error: BaseException, begun: bool) -> None:
        self.calls.append(("failed", type(error), begun))


class FragmentedMessageTests(SynchronousTestCase):
    """A message with a fake connection."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sending = FakeSending()
        self.connection = FakeConnection()

    def make(self, parts: Any, timeout: float | None = None) -> FragmentedMessage:
        """Return a message that is not started."""
        return FragmentedMessage(Text, parts, timeout, scheduler_for(self.clock), self.sending)

    def start(self, parts: Any, timeout: float | None = None) -> FragmentedMessage:
        """Return a message that is started."""
        message = self.make(parts, timeout)
        connection: Any = self.connection
        message.start(connection)
        return message

    def payloads(self) -> list[bytes]:
        """Return the payloads of the frames that were sent."""
        return [payload for _, payload in read_frames(self.connection.written)]

    def test_complete(self) -> None:
        """The parts are sent and reported, then the frames that wait, then ``sent`` fires."""
        message = self.make(["a", "", "b"])
        message.sent.addCallback(lambda _: self.sending.calls.append("fired"))
        connection: Any = self.connection
        message.start(connection)
        self.assertEqual(self.payloads(), [b"a", b"b", b""])
        self.assertEqual(self.sending.calls, [("sent", "a"), ("sent", "b"), "completed", "fired"])

    def test_full(self) -> None:
        """With a full write buffer, each part waits, and so does ``sent``."""
        self.connection.writable = False
        message = self.start(["a", "b"], 7.0)
        for count in (1, 2, 3):
            self.assertNoResult(message.sent)
            self.assertEqual(len(self.payloads()), count)
            self.assertEqual(self.sending.calls[-1], ("when_drained", 7.0))
            self.sending.draining[-1].callback(None)
        self.successResultOf(message.sent)

    def test_drain_fails(self) -> None:
        """If the write buffer does not drain, the message has failed."""
        self.connection.writable = False
        message = self.start(["a", "b"])
        self.sending.draining[0].errback(SendTimeout(5.0))
        self.failureResultOf(message.sent, SendTimeout)
        self.assertEqual(self.sending.calls[-1], ("failed", SendTimeout, True))

    def test_wrong_first_part(self) -> None:
        """A wrong part before anything was sent is reported as such."""
        message = self.start([5])
        self.failureResultOf(message.sent, InvalidFrameError)
        self.assertEqual(self.sending.calls, [("failed", InvalidFrameError, False)])

    def test_stop(self) -> None:
        """A stopped message sends nothing more, and closes its generator in the next iteration."""
        closed: list[bool] = []

        def parts() -> Iterator[str]:
            try:
                yield "a"
                yield "b"
            finally:
                closed.append(True)

        self.connection.writable = False
        message = self.start(parts())
        message.stop()
        self.assertEqual(closed, [])
        self.clock.advance(0)
        self.assertEqual((closed, self.payloads()), ([True], [b"a"]))
        self.assertNoResult(message.sent)
        message.fail(ConnError(OSError()))
        self.failureResultOf(message.sent, ConnError)
        message.fail(ConnError(OSError()))  # Only the first one counts.

    def test_cancel_before_start(self) -> None:
        """Cancelling a message that waits has no other effect."""
        message = self.make(["a"])
        message.sent.cancel()
        self.failureResultOf(message.sent, CancelledError)
        self.assertEqual(self.sending.calls, [])

    def test_cancel(self) -> None:
        """Cancelling a message that was begun is reported once."""
        self.connection.writable = False
        message = self.start(["a", "b"])
        message.sent.cancel()
        self.clock.advance(0)
        self.failureResultOf(message.sent, CancelledError)
        self.assertEqual(
            self.sending.calls,
            [("sent", "a"), ("when_drained", None), ("failed", CancelledError, True)],
        )

    def test_async_iterable(self) -> None:
        """An async iterable of any kind works."""

        class Parts:
            def __init__(self) -> None:
                self.left = ["b", "a"]

            def __aiter__(self) -> Any:
                return self

            async def __anext__(self) -> str:
                if not self.left:
                    raise StopAsyncIteration
                return str(await succeed(self.left.pop()))

        self.successResultOf(self.start(Parts()).sent)
        self.assertEqual(self.payloads(), [b"a", b"b", b""])

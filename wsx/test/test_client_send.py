"""Tests of ``send_frame``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost

import wsx
from wsx.frames import BINARY, PING, PONG, TEXT
from wsx.test.support import Recorder, close, text
from wsx.test.support.clients import MESSAGE_CALLBACKS, ClientCase, bytes_of


class SendFrameTests(ClientCase):
    """``send_frame``, called from outside and inside of callbacks."""

    def test_each_kind(self) -> None:
        """[N1] Each kind of frame is sent, including empty ones; the Deferred fires with None."""
        client = self.open(Recorder())
        for frame, opcode in (
            (wsx.Text("h\xe4"), TEXT),
            (wsx.Text(""), TEXT),
            (wsx.Binary(b"\x00\xff"), BINARY),
            (wsx.Binary(b""), BINARY),
            (wsx.Binary(bytearray(70000)), BINARY),
            (wsx.Ping(), PING),
            (wsx.Ping(b"p"), PING),
            (wsx.Pong(), PONG),
            (wsx.Pong(bytes(125)), PONG),
        ):
            with self.given(frame=frame):
                self.assertIsNone(self.successResultOf(client.send_frame(frame)))
                self.assertEqual(self.peer.received(), [(opcode, bytes_of(frame))])

    def test_order(self) -> None:
        """[N1] Frames are sent in the order of the calls."""
        client = self.open(Recorder())
        for word in ("one", "two", "three"):
            client.send_frame(wsx.Text(word))
        self.assertEqual(self.peer.received(), [(TEXT, b"one"), (TEXT, b"two"), (TEXT, b"three")])

    def test_at_once(self) -> None:
        """[N1] Frames are sent at once while a callback is pending."""
        client = self.open(Recorder(handle_cast=lambda *_: Deferred()))
        client.cast("slow")
        self.step()
        self.assertIsNone(self.successResultOf(client.send_frame(wsx.Text("hi"))))
        self.assertEqual(self.peer.received(), [(TEXT, b"hi")])

    def assert_not_connected(self, client: wsx.Client[Any], state: str) -> None:
        sent = client.send_frame(wsx.Text("hi"))
        error = self.failureResultOf(sent, wsx.NotConnectedError).value
        self.assertEqual(error.connection_state, state)

    def test_while_opening(self) -> None:
        """[N2] While first connecting, it fails with NotConnectedError("opening")."""
        for silent in (True, False):
            self.server.silent = silent
            client = self.successResultOf(self.start(Recorder(), async_=True))
            self.assert_not_connected(client, "opening")

    def test_while_reopening(self) -> None:
        """[N2] While reconnecting, it fails with NotConnectedError("opening")."""
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=0)))
        self.peer.drop()
        self.step()
        self.assertEqual(self.server.attempts, 2)
        self.assert_not_connected(client, "opening")

    def test_while_closing(self) -> None:
        """[N2] While closing, from either side, it fails with NotConnectedError("closing")."""
        client = self.open(Recorder())
        client.close()
        self.assert_not_connected(client, "closing")
        client = self.open(Recorder())
        self.peer.send(close(1000))
        self.step()
        self.assert_not_connected(client, "closing")
        client = self.open(Recorder())
        client.stop()
        self.assert_not_connected(client, "closing")

    def test_while_disconnected(self) -> None:
        """[N2] While waiting to reconnect, it fails with NotConnectedError("disconnected")."""
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=9)))
        self.peer.drop()
        self.step()
        self.assert_not_connected(client, "disconnected")

    def test_in_handle_disconnect(self) -> None:
        """[N2] In ``handle_disconnect``, it fails with NotConnectedError("disconnected")."""
        client = self.open(Recorder(handle_disconnect=lambda *_: Deferred()))
        self.peer.drop()
        self.step()
        self.assert_not_connected(client, "disconnected")

    def test_ended(self) -> None:
        """[N2] On an ended client, it fails with NotConnectedError("terminated")."""
        client = self.open(Recorder())
        self.end(client)
        self.assert_not_connected(client, "terminated")

    def test_no_frames(self) -> None:
        """[N3] A value that is not a frame fails with InvalidFrameError. The client goes on."""
        client = self.open(Recorder())
        wrong: tuple[Any, ...] = (
            None,
            "text",
            b"bytes",
            42,
            wsx.Text,
            [wsx.Text("a")],
            wsx.Close(None),
            wsx.Text(b"bytes"),  # type: ignore[arg-type]
            wsx.Text(None),  # type: ignore[arg-type]
            wsx.Binary("text"),  # type: ignore[arg-type]
            wsx.Ping("text"),  # type: ignore[arg-type]
            wsx.Pong(7),  # type: ignore[arg-type]
        )
        for frame in wrong:
            with self.given(frame=frame):
                sent = client.send_frame(frame)
                error = self.failureResultOf(sent, wsx.InvalidFrameError).value
                self.assertIs(error.frame, frame)
        self.assert_unharmed(client)

    def test_frames_that_cannot_be_encoded(self) -> None:
        """[N3] A frame that cannot be encoded fails with FrameEncodeError. The client goes on."""
        client = self.open(Recorder())
        for frame, kind in (
            (wsx.Ping(bytes(126)), "ping"),
            (wsx.Pong(bytes(126)), "pong"),
            (wsx.Text("\ud800"), "text"),
        ):
            with self.given(frame=frame):
                sent = client.send_frame(frame)
                error = self.failureResultOf(sent, wsx.FrameEncodeError).value
                self.assertEqual(error.frame_type, kind)
                self.assertEqual(error.frame_payload, frame.payload)
                self.assertIsNone(error.close_code)
                self.assertTrue(error.reason)
        self.assert_unharmed(client)

    def assert_unharmed(self, client: wsx.Client[Any]) -> None:
        """Assert that the client is open, has sent nothing, and can send."""
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(self.peer.received(), [])
        self.successResultOf(client.send_frame(wsx.Text("good")))
        self.assertEqual(self.peer.received(), [(TEXT, b"good")])

    def test_dead_connection(self) -> None:
        """[N4] On a dead connection, it fails and ``handle_disconnect`` is called."""
        recorder = Recorder()
        client = self.open(recorder)
        self.peer.drop()
        self.failureResultOf(
            client.send_frame(wsx.Text("hi")), wsx.NotConnectedError, wsx.ConnError
        )
        self.step()
        (status,) = recorder.arguments("handle_disconnect")
        self.assertIsInstance(status.reason, wsx.ConnectionDropped)

    def test_in_an_async_callback(self) -> None:
        """[N5] A callback can await it without a deadlock."""
        recorder = Recorder()

        async def answer(_: Any, state: Any) -> Any:
            sending: Deferred[Any] = recorder.client.send_frame(wsx.Text("inside"))
            sent = await sending
            return wsx.Reply(wsx.Text("reply"), [*state, sent])

        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder = Recorder(**{callback: answer})
                client = self.open(recorder, [])
                self.provoke(callback, client)
                recorder.answers.clear()
                self.assertEqual(self.peer.received(), [(TEXT, b"inside"), (TEXT, b"reply")])
                self.assertEqual(self.state_of(recorder, client), [None])

    def test_in_a_plain_callback(self) -> None:
        """[N5] A callback can call it without waiting."""
        results: list[Any] = []

        def answer(_: Any, state: Any) -> Any:
            recorder.client.send_frame(wsx.Text("inside")).addBoth(results.append)
            return wsx.Reply(wsx.Text("reply"), state)

        recorder = Recorder(handle_frame=answer)
        self.open(recorder)
        self.peer.send(text("1") + text("2"))
        self.step()
        self.assertEqual(results, [None, None])
        self.assertEqual(
            [payload for _, payload in self.peer.received()],
            [b"inside", b"reply", b"inside", b"reply"],
        )

    def test_full_buffer_in_a_callback(self) -> None:
        """[N5] If the write buffer is full, a callback that awaits it delays later events."""

        async def answer(_: Any, state: Any) -> Any:
            await recorder.client.send_frame(wsx.Text("inside"), timeout=None)

        recorder = Recorder(handle_frame=answer)
        self.open(recorder)
        self.peer.buffer.pauseProducing()
        self.peer.send(text("1") + text("2"))
        self.step()
        self.assertEqual(recorder.arguments("handle_frame"), [wsx.Text("1")])
        self.assertTrue(self.peer.transport.reading_paused)
        self.peer.buffer.resumeProducing()
        self.step()
        self.assertEqual(recorder.arguments("handle_frame"), [wsx.Text("1"), wsx.Text("2")])
        self.assertFalse(self.peer.transport.reading_paused)

    def test_error_in_a_callback(self) -> None:
        """[N5] A callback can catch its error."""

        async def answer(_: Any, state: Any) -> Any:
            try:
                await recorder.client.send_frame(wsx.Ping(bytes(126)))
            except wsx.FrameEncodeError:
                return wsx.Ok("caught")

        recorder = Recorder(handle_cast=answer)
        client = self.open(recorder)
        client.cast("go")
        self.step()
        self.assertEqual(self.state_of(recorder, client), "caught")


class FullBufferTests(ClientCase):
    """``send_frame`` waits while the write buffer is above its high-water mark."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.open(Recorder())
        self.peer.buffer.pauseProducing()

    def test_with_the_transport_at_once(self) -> None:
        """The frame itself is passed to the transport at once."""
        sent = self.client.send_frame(wsx.Text("hi"))
        self.assertNoResult(sent)
        self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
        sent.addErrback(lambda _: None)

    def test_until_there_is_room(self) -> None:
        """All waiting Deferreds fire once the buffer is below its mark."""
        senders = [self.client.send_frame(wsx.Text("hi")) for _ in range(3)]
        self.clock.advance(4)
        for sent in senders:
            self.assertNoResult(sent)
        self.peer.buffer.resumeProducing()
        self.assertEqual([self.successResultOf(sent) for sent in senders], [None] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_room_again(self) -> None:
        """Below the mark, ``send_frame`` does not wait."""
        self.peer.buffer.resumeProducing()
        self.assertIsNone(self.successResultOf(self.client.send_frame(wsx.Text("hi"))))

    def test_timeout(self) -> None:
        """After 5 seconds, it fails with SendTimeout. The client goes on."""
        sent = self.client.send_frame(wsx.Text("hi"))
        self.clock.advance(4.5)
        self.assertNoResult(sent)
        self.clock.advance(0.5)
        self.failureResultOf(sent, wsx.SendTimeout)
        self.peer.buffer.resumeProducing()
        self.assertEqual(self.client.status, "open")
        self.successResultOf(self.client.send_frame(wsx.Text("more")))

    def test_wrong_timeout(self) -> None:
        """A timeout that is negative or not a number is a ValueError that names it."""
        wrong: tuple[Any, ...] = (-1, float("nan"), "x")
        for timeout in wrong:
            sent = self.client.send_frame(wsx.Text("hi"), timeout=timeout)
            error = self.failureResultOf(sent, ValueError).value
            self.assertIn("timeout: expected a number of at least 0 or None, got ", str(error))

    def test_timeout_argument(self) -> None:
        """``timeout`` sets the limit; None means no limit."""
        short = self.client.send_frame(wsx.Text("hi"), timeout=0.5)
        endless = self.client.send_frame(wsx.Text("hi"), timeout=None)
        self.clock.advance(0.5)
        self.failureResultOf(short, wsx.SendTimeout)
        self.clock.advance(1000)
        self.assertNoResult(endless)
        self.peer.buffer.resumeProducing()
        self.assertIsNone(self.successResultOf(endless))

    def test_connection_lost(self) -> None:
        """[N4] If the connection is lost meanwhile, it fails with ConnError."""
        sent = self.client.send_frame(wsx.Text("hi"))
        lost = ConnectionLost()
        self.peer.drop(lost)
        self.assertIs(self.failureResultOf(sent, wsx.ConnError).value.original, lost)
        self.step()
        self.assertEqual(self.client.status, "terminated")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped(self) -> None:
        """[N4] If the client ends meanwhile, it fails with ConnError."""
        sent = self.client.send_frame(wsx.Text("hi"), timeout=None)
        self.client.stop()
        self.clock.advance(5)
        self.step()
        self.failureResultOf(sent, wsx.ConnError)
        self.assertEqual(self.client.status, "terminated")

    def test_cancelled(self) -> None:
        """Cancelling the Deferred only ends the waiting."""
        sent, other = (self.client.send_frame(wsx.Text("hi")) for _ in range(2))
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.assertNoResult(other)
        self.peer.buffer.resumeProducing()
        self.successResultOf(other)
        self.assertEqual(self.client.status, "open")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bad_frame(self) -> None:
        """[N3] A bad frame fails at once."""
        self.failureResultOf(self.client.send_frame(wsx.Ping(bytes(126))), wsx.FrameEncodeError)

    def test_next_connection(self) -> None:
        """A full buffer does not affect the next connection."""
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=0)))
        self.peer.buffer.pauseProducing()
        self.peer.drop()
        self.step()
        self.peer.answer()
        self.step()
        self.assertIsNone(self.successResultOf(client.send_frame(wsx.Text("hi"))))

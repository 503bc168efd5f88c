"""Tests of events that wait in a client, and of its backpressure."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

import wsx
from wsx.frames import CLOSE, PING, TEXT
from wsx.test.support import Recorder, server_frame, text
from wsx.test.support.clients import ClientCase


class MailboxTests(ClientCase):
    """Casts and infos that cannot be delivered yet wait."""

    def connecting(self, recorder: Recorder, **options: Any) -> wsx.Client[Any]:
        """Return a client whose opening handshake is not complete."""
        return self.successResultOf(self.start(recorder, async_=True, **options))

    def test_before_open(self) -> None:
        """Casts and infos made before the connection are delivered after ``handle_connect``."""
        recorder = Recorder()
        client = self.connecting(recorder)
        client.cast(1)
        client.info(2)
        client.cast(3)
        self.step()
        self.assertEqual(recorder.names, [])
        self.peer.answer()
        self.step()
        self.assertEqual(
            [(name, argument) for name, argument, _ in recorder.calls[1:]],
            [("handle_cast", 1), ("handle_info", 2), ("handle_cast", 3)],
        )
        self.assertEqual(recorder.names[0], "handle_connect")

    def test_pending_handle_connect(self) -> None:
        """Messages wait for a pending ``handle_connect`` and receive its state."""
        answer: Deferred[Any] = Deferred()
        recorder = Recorder(handle_connect=lambda *_: answer)
        client = self.connecting(recorder)
        client.cast(1)
        self.peer.answer()
        self.step()
        client.cast(2)
        self.step()
        self.assertEqual(recorder.names, ["handle_connect"])
        answer.callback(wsx.Ok("connected"))
        self.step()
        self.assertEqual(
            recorder.calls[1:], [("handle_cast", 1, "connected"), ("handle_cast", 2, "connected")]
        )

    def test_while_disconnected(self) -> None:
        """Messages between two connections are delivered on the second, in order."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=5))
        client = self.open(recorder)
        self.peer.drop()
        client.cast(1)
        self.step()
        client.info(2)
        self.clock.advance(5)
        client.cast(3)
        self.step()
        self.assertEqual(recorder.names, ["handle_connect", "handle_disconnect"])
        self.peer.answer()
        self.step()
        self.assertEqual(recorder.names[2], "handle_connect")
        self.assertEqual([argument for _, argument, _ in recorder.calls[3:]], [1, 2, 3])

    def test_while_closing(self) -> None:
        """Messages made while the connection closes wait for the next connection."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=0))
        client = self.open(recorder)
        client.close()
        client.cast("late")
        self.step()
        self.assertEqual(recorder.names, ["handle_connect"])
        self.peer.drop()
        self.step()
        self.peer.answer()
        self.step()
        self.assertEqual(
            recorder.names, ["handle_connect", "handle_disconnect", "handle_connect", "handle_cast"]
        )

    def test_limit(self) -> None:
        """Beyond ``mailbox_limit``, casts and infos raise; earlier ones are delivered."""
        recorder = Recorder()
        client = self.connecting(recorder, mailbox_limit=2)
        client.cast(1)
        client.info(2)
        for deliver in (client.cast, client.info):
            error = self.assertRaises(wsx.MailboxFullError, deliver, 3)
            self.assertEqual(error.limit, 2)
        self.peer.answer()
        self.step()
        self.assertEqual([argument for _, argument, _ in recorder.calls[1:]], [1, 2])
        client.cast(4)
        self.step()
        self.assertEqual(recorder.arguments("handle_cast"), [1, 4])

    def test_default_limit(self) -> None:
        """The default limit is 10,000."""
        client = self.connecting(Recorder())
        for number in range(10_000):
            client.cast(number)
        error = self.assertRaises(wsx.MailboxFullError, client.cast, "one more")
        self.assertEqual(error.limit, 10_000)

    def test_limit_by_name(self) -> None:
        """``wsx.cast`` and ``wsx.info`` raise MailboxFullError as well."""
        client = self.connecting(Recorder(), mailbox_limit=0)
        self.assertRaises(wsx.MailboxFullError, wsx.cast, client, 1)
        self.assertRaises(wsx.MailboxFullError, wsx.info, client, 1)

    def test_ended(self) -> None:
        """[N2] On an ended client, ``cast`` and ``info`` raise NotConnectedError("terminated")."""
        client = self.open(Recorder())
        self.end(client)
        for deliver in (client.cast, client.info):
            error = self.assertRaises(wsx.NotConnectedError, deliver, "late")
            self.assertEqual(error.connection_state, "terminated")

    def test_send_after(self) -> None:
        """``send_after`` delivers an info after the given number of seconds."""
        recorder = Recorder()
        client = self.open(recorder)
        call = client.send_after(2.0, "tick")
        self.assertTrue(IDelayedCall.providedBy(call))
        self.assertEqual(call.getTime(), 2.0)
        self.clock.advance(1.5)
        self.assertEqual(recorder.arguments("handle_info"), [])
        self.clock.advance(0.5)
        self.step()
        self.assertEqual(recorder.arguments("handle_info"), ["tick"])

    def test_send_after_now(self) -> None:
        """With a delay of 0, the info is delivered in a later reactor iteration."""
        recorder = Recorder()
        self.open(recorder).send_after(0, "tick")
        self.assertEqual(recorder.arguments("handle_info"), [])
        self.step()
        self.assertEqual(recorder.arguments("handle_info"), ["tick"])

    def test_send_after_swapped(self) -> None:
        """The message in place of the delay is refused, and no timer is started."""
        client = self.open(Recorder(), ping_interval=None)
        error = self.assertRaises(TypeError, client.send_after, "tick", 2.0)
        self.assertEqual(str(error), "delay: expected a number of seconds, got str")
        self.assertRaises(ValueError, client.send_after, -1.0, "tick")

    def test_send_after_cancelled(self) -> None:
        """The IDelayedCall that ``send_after`` returns can be cancelled."""
        recorder = Recorder()
        client = self.open(recorder)
        client.send_after(1.0, "one").cancel()
        client.send_after(1.0, "two")
        self.clock.advance(1)
        self.step()
        self.assertEqual(recorder.arguments("handle_info"), ["two"])

    def test_send_after_while_connecting(self) -> None:
        """A message that is due before the connection is open waits for it."""
        recorder = Recorder()
        client = self.connecting(recorder)
        client.send_after(1.0, "tick")
        self.clock.advance(1)
        self.assertEqual(recorder.names, [])
        self.peer.answer()
        self.step()
        self.assertEqual(recorder.names, ["handle_connect", "handle_info"])

    def test_send_after_dropped(self) -> None:
        """A message that is not due when the client ends is dropped."""
        recorder = Recorder()
        client = self.open(recorder)
        call = client.send_after(1000.0, "late")
        self.end(client)
        self.assertFalse(call.active())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_send_after_due_at_the_end(self) -> None:
        """A message that is due while the client ends is dropped without an error."""
        recorder = Recorder()
        client = self.open(recorder)
        client.send_after(1.0, "late")
        ended = client.stop()
        self.clock.advance(2)
        self.assertNoResult(ended)
        self.peer.drop()
        self.step()
        self.successResultOf(ended)
        self.assertEqual(recorder.names, ["handle_connect", "terminate"])

    def test_send_after_on_an_ended_client(self) -> None:
        """On an ended client, ``send_after`` causes no error in the reactor later."""
        recorder = Recorder()
        client = self.open(recorder)
        self.end(client)
        try:
            client.send_after(1.0, "late")
        except wsx.NotConnectedError as error:
            self.assertEqual(error.connection_state, "terminated")
        self.clock.advance(2)
        self.assertEqual(recorder.arguments("handle_info"), [])

    def test_send_after_into_a_full_mailbox(self) -> None:
        """A full mailbox drops the message, with a log line and no error in the reactor."""
        recorder = Recorder()
        client = self.connecting(recorder, mailbox_limit=1)
        client.cast(1)
        client.send_after(1.0, 2)
        self.clock.advance(1)
        self.peer.answer()
        self.step()
        self.assertEqual([argument for _, argument, _ in recorder.calls[1:]], [1])


class BackpressureTests(ClientCase):
    """While frames wait for a slow handler, nothing is read."""

    def setUp(self) -> None:
        super().setUp()
        self.answers: list[Deferred[Any]] = []
        self.recorder = Recorder(handle_frame=self.wait, handle_cast=self.wait)

    def wait(self, *_: Any) -> Deferred[Any]:
        """Return a Deferred that the test fires later."""
        self.answers.append(Deferred())
        return self.answers[-1]

    @property
    def paused(self) -> bool:
        """Whether the client has paused reading."""
        return self.peer.transport.reading_paused

    def test_nothing_waits(self) -> None:
        """A pending callback alone does not pause reading."""
        self.open(self.recorder)
        self.peer.send(text("1"))
        self.step()
        self.assertEqual(len(self.answers), 1)
        self.assertFalse(self.paused)

    def test_as_soon_as_any_waits(self) -> None:
        """Reading pauses when a frame waits, and resumes when none does."""
        self.open(self.recorder)
        self.peer.send(text("1"))
        self.peer.send(text("2"))
        self.assertTrue(self.paused)
        self.step()
        self.assertTrue(self.paused)
        self.answers[0].callback(None)
        self.step()
        self.assertEqual(self.recorder.arguments("handle_frame"), [wsx.Text("1"), wsx.Text("2")])
        self.assertFalse(self.paused)

    def test_in_one_read(self) -> None:
        """Reading pauses while other frames of the same read wait."""
        self.open(self.recorder)
        self.peer.send(text("1") + text("2") + text("3"))
        for turn in (1, 2, 3):
            self.assertEqual(len(self.answers), turn)
            self.assertEqual(self.paused, turn < 3)
            self.answers[-1].callback(None)
            self.step()
        self.assertFalse(self.paused)

    def test_one_at_a_time_in_order(self) -> None:
        """Frames read before the pause are delivered one at a time, with the state passed on."""
        self.open(self.recorder, 0)
        self.peer.send(text("1") + text("2"))
        self.peer.send(text("3"))
        for turn in (1, 2, 3):
            self.assertEqual(len(self.recorder.arguments("handle_frame")), turn)
            self.answers[-1].callback(wsx.Ok(turn))
            self.step()
        self.assertEqual(
            self.recorder.calls[1:],
            [("handle_frame", wsx.Text(str(n)), n - 1) for n in (1, 2, 3)],
        )

    def test_pending_cast(self) -> None:
        """A pending cast pauses reading when a frame arrives."""
        client = self.open(self.recorder)
        client.cast("slow")
        self.step()
        self.peer.send(server_frame(PING, b"now"))
        self.assertTrue(self.paused)
        self.answers[0].callback(None)
        self.step()
        self.assertEqual(self.recorder.names[-1], "handle_ping")
        self.assertFalse(self.paused)

    def test_pending_handle_connect(self) -> None:
        """[S19] Frames that arrive with the response pause reading until they are delivered."""
        recorder = Recorder(handle_connect=self.wait)
        self.start(recorder)
        self.peer.answer(text("early"))
        self.assertTrue(self.paused)
        self.step()
        self.assertTrue(self.paused)
        self.answers[0].callback(None)
        self.step()
        self.assertFalse(self.paused)
        self.assertEqual(recorder.names, ["handle_connect", "handle_frame"])

    def test_fast_handler(self) -> None:
        """Casts do not pause reading for a handler that returns at once."""
        recorder = Recorder()
        client = self.open(recorder)
        client.cast(1)
        self.peer.send(text("2"))
        self.step()
        self.assertFalse(self.paused)
        self.assertEqual(recorder.names[1:], ["handle_cast", "handle_frame"])

    def test_state_of_the_next_connection(self) -> None:
        """A connection lost while reading is paused does not pause the next one."""
        self.recorder.answers["handle_disconnect"] = lambda _, s: wsx.Reconnect(s, after=0)
        self.open(self.recorder)
        self.peer.send(text("1") + text("2"))
        self.assertTrue(self.paused)
        self.peer.drop()
        self.step()
        for _ in (1, 2):
            self.answers[-1].callback(None)
            self.step()
        self.peer.answer()
        self.step()
        self.assertFalse(self.paused)
        self.peer.send(text("3"))
        self.assertEqual(self.recorder.arguments("handle_frame")[-1], wsx.Text("3"))


class GatheringTests(ClientCase):
    """What is sent while a callback runs is written together."""

    def setUp(self) -> None:
        super().setUp()
        self.writes: list[int] = []

    def open_watched(self, **answers: Any) -> wsx.Client[Any]:
        """Open a client and record the sizes of its writes."""
        client = self.open(Recorder(**answers))
        transport, write = self.peer.transport, self.peer.transport.write

        def note(data: bytes) -> None:
            self.writes.append(len(data))
            write(data)

        self.patch(transport, "write", note)
        return client

    def test_one_write(self) -> None:
        """Sends and replies of all callbacks of a read are one write, in order."""

        def answer(frame: wsx.Text, state: Any) -> Any:
            self.successResultOf(client.send_frame(wsx.Text(frame.payload + "1")))
            self.successResultOf(client.send_frame(wsx.Text(frame.payload + "2")))
            return wsx.Reply([wsx.Text(frame.payload + "3")], state)

        client = self.open_watched(handle_frame=answer)
        self.peer.send(text("a") + text("b"))
        self.assertEqual(len(self.writes), 1)
        sent = [payload.decode() for _, payload in self.peer.received()]
        self.assertEqual(sent, ["a1", "a2", "a3", "b1", "b2", "b3"])

    def test_coroutine(self) -> None:
        """Sends that a coroutine awaits are one write."""

        async def answer(frame: wsx.Text, state: Any) -> None:
            for _ in range(3):
                await client.send_frame(frame)

        client = self.open_watched(handle_frame=answer)
        self.peer.send(text("a"))
        self.assertEqual(len(self.writes), 1)
        self.assertEqual(self.peer.received(), [(TEXT, b"a")] * 3)

    def test_much(self) -> None:
        """A callback that sends much is written in several parts before it returns."""

        def answer(_: Any, __: Any) -> None:
            for _ in range(4):
                client.send_frame(wsx.Binary(bytes(40_000)))
            self.assertGreaterEqual(len(self.writes), 2)

        client = self.open_watched(handle_frame=answer)
        self.peer.send(text("go"))
        self.assertEqual(client.status, "open")
        self.assertEqual(len(self.peer.received()), 4)

    def test_outside(self) -> None:
        """Outside a callback each send is written at once."""
        client = self.open_watched()
        for _ in range(3):
            client.send_frame(wsx.Text("a"))
        self.assertEqual(len(self.writes), 3)

    def test_request(self) -> None:
        """Frames sent by the function of a system request are written."""
        client = self.open_watched()

        def send(state: Any) -> Any:
            client.send_frame(wsx.Text("a"))
            return state

        self.successResultOf(client.sys.replace_state(send))
        self.assertEqual(self.peer.received(), [(TEXT, b"a")])

    def test_before_a_close_frame(self) -> None:
        """Frames sent before the callback returns ``Close`` precede the close frame."""

        def answer(_: Any, state: Any) -> Any:
            client.send_frame(wsx.Text("last words"))
            return wsx.Close(state)

        client = self.open_watched(handle_frame=answer)
        self.peer.send(text("go"))
        self.assertEqual([opcode for opcode, _ in self.peer.received()], [TEXT, CLOSE])

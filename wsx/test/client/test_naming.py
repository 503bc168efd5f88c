"""Tests of wsx._client.naming: names that a registry gives later and takes away again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import capturedLogs, formatEvent

import wsx
from wsx import Ok, Reconnect, Text
from wsx.errors import ClusterError
from wsx.registry import Registration
from wsx.test.support import MemoryCase, Recorder, text
from wsx.test.support.each import each


class Directory:
    """A registry whose answers the test gives.

    Attributes:
        asked: The arguments of the calls of ``register_name``, as (key, client, standby).
        answers: The Deferreds of these calls.
        losses: The functions that take the name away, of these calls.
        cancelled: The number of cancelled calls.
        released: The keys that were released.
        known: The client that ``whereis_name`` returns.
        releasing: What ``unregister_name`` returns.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any, bool]] = []
        self.answers: list[Deferred[Any]] = []
        self.losses: list[Callable[[str], None]] = []
        self.cancelled = 0
        self.released: list[Any] = []
        self.known: Any = None
        self.releasing: Any = None

    def register_name(
        self, key: Any, client: Any, *, standby: bool, lost: Callable[[str], None]
    ) -> Deferred[Any]:
        self.asked.append((key, client, standby))
        self.losses.append(lost)
        self.answers.append(Deferred(self._cancel))
        return self.answers[-1]

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled += 1

    def unregister_name(self, key: Any, client: Any) -> Any:
        self.released.append(key)
        return self.releasing

    def whereis_name(self, key: Any) -> Any:
        return self.known


class NamingCase(MemoryCase):
    """Base class: clients with a name in a directory."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Directory()
        self.left = math.inf

    def name(self, standby: bool = False) -> wsx.AsyncVia:
        """Return a name in the directory."""
        return wsx.AsyncVia(self.directory, "feed", standby)

    def grant(self, fence: int = 1) -> None:
        """Answer the last call of ``register_name``."""
        self.directory.answers[-1].callback(Registration(fence, lambda: self.left))
        self.step()

    def take_away(self) -> None:
        """Take the name away."""
        self.directory.losses[-1]("no answer for 8 s")
        self.step()

    def opened(self, handler: Any, **options: Any) -> wsx.Client[Any]:
        """Start a client with a name, and complete its opening handshake."""
        started = self.start(handler, name=self.name(), **options)
        self.grant()
        self.peer.answer()
        self.step()
        return self.successResultOf(started)


class AcquireTests(NamingCase):
    """The name is acquired before the client connects."""

    def test_granted(self) -> None:
        """Connect once the registry has answered, and not before."""
        started = self.start(Recorder(), name=self.name())
        self.step()
        self.assertEqual(self.server.attempts, 0)
        self.assertNoResult(started)
        self.grant(17)
        self.peer.answer()
        self.step()
        client = self.successResultOf(started)
        self.assertEqual(self.directory.asked, [("feed", client, False)])
        self.assertEqual(client.fence, 17)

    def test_repr(self) -> None:
        """Log lines show the key, and not the address of the registry."""
        self.assertEqual(repr(self.name(standby=True)), "AsyncVia(key='feed')")

    def test_granted_at_once(self) -> None:
        """A registry may answer without a Deferred, or with a coroutine."""

        async def later(registration: Registration) -> Registration:
            return registration

        for answer in (Registration(), later(Registration(3))):
            directory: Any = self.directory
            directory.register_name = lambda *_, answer=answer, **__: answer
            client = self.open(Recorder(), name=self.name())
            self.assertIn(client.fence, (None, 3))
            self.assertEqual(client.status, "open")

    def test_in_use(self) -> None:
        """If the name is in use, the start fails with the client that has it."""
        self.directory.known = object()
        recorder = Recorder()
        started = self.start(recorder, name=self.name(), async_=True)
        self.directory.answers[-1].callback(None)
        self.step()
        error: Any = self.failureResultOf(started, wsx.AlreadyStartedError).value
        self.assertEqual((error.name, error.client), (self.name(), self.directory.known))
        self.assertEqual((self.server.attempts, self.directory.released), (0, []))
        self.assertEqual(recorder.calls, [])

    def test_registry_fails(self) -> None:
        """Another exception of the registry fails the start, too."""
        started = self.start(Recorder(), name=self.name())
        self.directory.answers[-1].errback(KeyError("feed"))
        self.step()
        self.failureResultOf(started, KeyError)
        self.assertEqual(self.server.attempts, 0)

    def test_registry_raises(self) -> None:
        """A registry that raises fails the start."""

        def register_name(*_: Any, **__: Any) -> Any:
            raise KeyError("feed")

        self.directory.register_name = register_name  # type: ignore[method-assign]
        self.failureResultOf(self.start(Recorder(), name=self.name()), KeyError)

    @each([True, "granted", 1])
    def test_wrong_answer(self, answer: Any) -> None:
        """An answer that is no Registration, such as the True of a Via's registry, is an error."""
        started = self.start(Recorder(), name=self.name(), async_=True)
        self.directory.answers[-1].callback(answer)
        self.step()
        error: Any = self.failureResultOf(started, TypeError).value
        self.assertIn("register_name: expected a Registration or None, got ", str(error))
        self.assertEqual(self.server.attempts, 0)

    def test_cluster_cannot_be_reached(self) -> None:
        """A ClusterError is a failed attempt, which the reconnect policy repeats."""
        started = self.start(
            Defaults(),
            name=self.name(),
            reconnect=wsx.Backoff(jitter=0),
            handle_initial_conn_failure=True,
        )
        self.directory.answers[-1].errback(ClusterError("not connected"))
        self.step()
        self.assertEqual(len(self.directory.answers), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.directory.answers), 2)
        self.grant()
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_async(self) -> None:
        """With ``async_``, the start succeeds once the client has the name."""
        started = self.start(Recorder(), name=self.name(), async_=True)
        self.assertNoResult(started)
        self.grant()
        self.assertEqual(self.successResultOf(started).status, "connecting")

    def test_async_standby(self) -> None:
        """With ``async_``, the start of a standby succeeds at once."""
        started = self.start(Recorder(), name=self.name(standby=True), async_=True)
        client = self.successResultOf(started)
        self.assertEqual((client.status, client.fence), ("connecting", None))
        self.assertEqual(self.directory.asked, [("feed", client, True)])

    def test_stop_while_asking(self) -> None:
        """Stopping the client gives up the registration."""
        started = self.start(Recorder(), name=self.name(standby=True), async_=True)
        client = self.successResultOf(started)
        ended = client.stop()
        self.step()
        self.assertIsInstance(self.successResultOf(ended), wsx.Shutdown)
        self.assertEqual(self.directory.cancelled, 1)
        self.assertEqual((self.server.attempts, self.directory.released), (0, []))

    def test_granted_after_stop(self) -> None:
        """A name that the registry grants although it was asked to give up is released."""
        answer: Deferred[Any] = Deferred()

        async def register_name(*_: Any, **__: Any) -> Registration:
            try:
                await Deferred[Any]()
            except CancelledError:
                await answer
            return Registration(7)

        directory = Directory()
        directory.register_name = register_name  # type: ignore[method-assign, assignment]
        name = wsx.AsyncVia(directory, "feed", standby=True)
        client = self.successResultOf(self.start(Recorder(), name=name, async_=True))
        ended = client.stop()
        self.step()
        self.successResultOf(ended)
        self.assertEqual(directory.released, [])
        answer.callback(None)
        self.assertEqual(directory.released, ["feed"])
        self.assertIsNone(client.fence)

    def test_cancel_start(self) -> None:
        """Cancelling the start gives up the registration."""
        started = self.start(Recorder(), name=self.name())
        started.cancel()
        self.step()
        self.assertEqual(self.directory.cancelled, 1)
        self.failureResultOf(started)


class ReleaseTests(NamingCase):
    """The name is released when the client has ended."""

    def test_after_terminate(self) -> None:
        """Release the name after terminate, and report the end after that."""
        released: list[list[Any]] = []
        recorder = Recorder(
            terminate=lambda *_: released.append(list(self.directory.released)),
        )
        client = self.opened(recorder)
        self.directory.releasing = Deferred()
        ended = client.stop()
        self.peer.drop()
        self.step()
        self.assertEqual((released, self.directory.released), ([[]], ["feed"]))
        self.assertNoResult(ended)
        self.assertIsNone(client.fence)
        self.directory.releasing.callback(None)
        self.assertIsInstance(self.successResultOf(ended), wsx.Shutdown)

    def test_failed_release(self) -> None:
        """A registry that fails to release the name is logged; the client ends."""
        for releasing in (fail(KeyError("feed")), succeed(None)):
            client = self.opened(Recorder())
            self.directory.releasing = releasing
            ended = client.stop()
            self.peer.drop()
            self.step()
            self.assertIsInstance(self.successResultOf(ended), wsx.Shutdown)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class Defaults(wsx.Handler[Any]):
    """A handler with the default ``handle_disconnect``."""

    def __init__(self) -> None:
        self.reasons: list[Any] = []

    def handle_disconnect(self, status: wsx.Disconnect, state: Any) -> Any:
        self.reasons.append(status.reason)
        return super().handle_disconnect(status, state)


class LossTests(NamingCase):
    """The registry takes the name away."""

    def test_reconnects(self) -> None:
        """Close the connection, wait for the name, and connect again, also without a policy."""
        self.left = 2.0
        handler = Defaults()
        client = self.opened(handler)
        with capturedLogs() as events:
            self.take_away()
            self.assertEqual(client.status, "closing")
            self.peer.drop()
            self.step()
        (reason,) = handler.reasons
        self.assertIsInstance(reason, wsx.NameLost)
        self.assertEqual((reason.name, reason.reason), (self.name(), "no answer for 8 s"))
        self.assertIn(
            "lost: no answer for 8 s); waiting for the name", "\n".join(map(formatEvent, events))
        )
        self.assertEqual(self.server.attempts, 1)
        self.assertEqual([asked[2] for asked in self.directory.asked], [False, True])
        self.grant(2)
        self.peer.answer()
        self.step()
        self.assertEqual((client.status, client.fence), ("open", 2))

    def test_closing_handshake(self) -> None:
        """The closing handshake has half of the time that is left."""
        self.left = 2.0
        client = self.opened(Defaults())
        self.take_away()
        self.assertEqual([opcode for opcode, _ in self.peer.received()], [8])
        self.clock.advance(0.9)
        self.assertFalse(self.peer.transport.disconnecting or self.peer._lost)
        self.clock.advance(0.1)
        self.step()
        self.assertTrue(self.peer._lost)
        self.assertEqual(client.status, "connecting")

    def test_no_time_left(self) -> None:
        """Without any time left, abort TCP at once."""
        self.left = 2.0
        client = self.opened(Defaults())
        self.left = 0.0
        self.take_away()
        self.assertTrue(self.peer._lost)
        self.assertEqual(client.status, "connecting")

    def test_overdue(self) -> None:
        """What arrives after the time is over is not delivered: another client may have it."""
        self.left = 2.0
        recorder = Recorder(handle_disconnect=lambda _, state: Reconnect(state))
        client = self.opened(recorder)
        self.left = -3.0
        self.peer.send(text("late"))
        self.step()
        self.assertNotIn("handle_frame", recorder.names)
        (status,) = recorder.arguments("handle_disconnect")
        self.assertIsInstance(status.reason, wsx.NameLost)
        self.assertTrue(self.peer._lost)
        self.assertIsNone(client.fence)
        self.directory.losses[0]("late notice of the same loss")
        self.step()
        self.assertEqual(len(recorder.arguments("handle_disconnect")), 1)

    def paused(self, handler: Any) -> wsx.Client[Any]:
        """Open a client, and let it have no time left, as after a pause of its process."""
        self.left = 2.0
        client = self.opened(handler)
        self.left = -3.0
        return client

    def test_overdue_message(self) -> None:
        """A cast or an info after the time is over waits until the client has the name again."""
        recorder = Recorder(handle_disconnect=lambda _, state: Reconnect(state))
        client = self.paused(recorder)
        client.cast("late")
        client.info("late")
        self.step()
        self.assertEqual(recorder.names[-1], "handle_disconnect")
        self.assertNotIn("handle_cast", recorder.names)
        self.assertTrue(self.peer._lost)
        self.left = 2.0
        self.grant(2)
        self.peer.answer()
        self.step()
        self.assertEqual(recorder.names[-3:], ["handle_connect", "handle_cast", "handle_info"])

    def test_overdue_send(self) -> None:
        """A frame after the time is over is not sent."""
        client = self.paused(Defaults())
        sent = client.send_frame(Text("late"))
        self.failureResultOf(sent, wsx.NotConnectedError)
        self.step()
        self.assertTrue(self.peer._lost)
        self.assertEqual(self.peer.received(), [])

    def test_overdue_fragments(self) -> None:
        """A message in fragments after the time is over is not sent."""
        sent = self.paused(Defaults()).send_fragments(Text, ["late"])
        self.failureResultOf(sent, wsx.NotConnectedError)
        self.step()
        self.assertTrue(self.peer._lost)

    def test_overdue_opening(self) -> None:
        """If the time is over when a connection is open, handle_connect is not called."""
        self.left = 2.0
        recorder = Recorder(handle_disconnect=lambda _, state: Reconnect(state))
        started = self.start(recorder, name=self.name())
        self.grant()
        self.left = -3.0
        self.peer.answer()
        self.step()
        self.assertTrue(self.peer._lost)
        self.assertEqual(recorder.names, ["handle_disconnect"])
        self.left = 2.0
        self.grant(2)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).fence, 2)
        self.assertEqual(recorder.names[-1], "handle_connect")

    def test_frames_behind_a_pending_callback(self) -> None:
        """Frames that wait for a callback are not delivered after the loss."""
        self.left = 2.0
        first: Deferred[Any] = Deferred()
        recorder = Recorder(
            handle_frame=lambda frame, _: first if frame.payload == "1" else None,
            handle_disconnect=lambda _, state: Reconnect(state),
        )
        self.opened(recorder)
        self.peer.send(text("1") + text("2"))
        self.peer.send(text("3"))
        self.take_away()
        self.peer.send(text("4"))
        self.peer.drop()
        self.step()
        self.assertEqual([frame.payload for frame in recorder.arguments("handle_frame")], ["1"])
        self.assertEqual(recorder.names[-1], "handle_disconnect")

    def test_pending_callback(self) -> None:
        """Cancel a pending callback, and ignore its result."""
        self.left = 2.0
        cancelled: list[Any] = []
        pending: Deferred[Any] = Deferred(cancelled.append)
        recorder = Recorder(
            handle_frame=lambda *_: pending, handle_disconnect=lambda _, state: Reconnect(state)
        )
        client = self.opened(recorder)
        self.peer.send(text("slow"))
        self.take_away()
        self.peer.drop()
        self.step()
        self.assertIn("handle_disconnect", recorder.names)
        self.assertEqual(cancelled, [pending])
        self.assertEqual(client.status, "connecting")

    def test_before_the_answer(self) -> None:
        """A name that is lost before the registry answers is not used."""
        handler = Defaults()
        started = self.start(handler, name=self.name(), handle_initial_conn_failure=True)
        self.directory.losses[-1]("expired")
        self.grant()
        (reason,) = handler.reasons
        self.assertIsInstance(reason, wsx.NameLost)
        self.assertEqual((self.server.attempts, len(self.directory.asked)), (0, 2))
        self.grant(2)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).fence, 2)

    def test_registry_is_late(self) -> None:
        """When the time is over, the client disconnects, even if the registry says nothing."""
        self.left = 2.0
        handler = Defaults()
        client = self.opened(handler)
        self.left = 0.5
        self.clock.advance(2.0)
        self.step()
        self.assertEqual(client.status, "open")
        self.left = 0.0
        self.clock.advance(0.5)
        self.step()
        self.assertTrue(self.peer._lost)
        self.assertEqual([type(reason) for reason in handler.reasons], [wsx.NameLost])

    def test_dropped_frames(self) -> None:
        """Frames that wait for a callback are dropped with the name, and counted in the log."""
        self.left = 2.0
        recorder = Recorder(
            handle_frame=lambda *_: Deferred(), handle_disconnect=lambda _, state: Reconnect(state)
        )
        self.opened(recorder)
        self.peer.send(text("1") + text("2") + text("3"))
        with capturedLogs() as events:
            self.take_away()
        self.peer.drop()
        self.step()
        self.assertEqual(recorder.names.count("handle_frame"), 1)
        lines = [formatEvent(event) for event in events]
        self.assertIn("AsyncVia", lines[0])
        self.assertRegex("\n".join(lines), "2 received frames not delivered .*no answer for 8 s")

    def test_while_connecting(self) -> None:
        """The attempt is cancelled, and the next one waits for the name."""
        self.left = 2.0
        handler = Defaults()
        started = self.start(handler, name=self.name(), handle_initial_conn_failure=True)
        self.grant()
        self.take_away()
        self.assertIsInstance(handler.reasons[-1], wsx.NameLost)
        self.assertEqual(len(self.directory.asked), 2)
        self.grant(2)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).fence, 2)

    def test_during_the_delay(self) -> None:
        """A loss during the delay before an attempt lets the attempt wait for the name."""
        recorder = Recorder(handle_disconnect=lambda _, state: Reconnect(state, after=5))
        client = self.opened(recorder)
        self.peer.drop()
        self.step()
        self.take_away()
        self.assertEqual(client.status, "disconnected")
        self.clock.advance(5)
        self.step()
        self.assertEqual((self.server.attempts, len(self.directory.asked)), (1, 2))

    def test_reconnect_keeps_the_name(self) -> None:
        """An ordinary loss does not touch the name."""
        recorder = Recorder(handle_disconnect=lambda _, state: Reconnect(state, after=5))
        client = self.opened(recorder)
        self.peer.drop()
        self.step()
        self.clock.advance(5)
        self.step()
        self.assertEqual((self.server.attempts, len(self.directory.asked)), (2, 1))
        self.assertEqual(client.fence, 1)

    def test_while_ending(self) -> None:
        """A client that is closing its connection has no more than the time that is left."""
        self.left = 2.0
        client = self.opened(Recorder())
        ended = client.stop()
        self.step()
        self.take_away()
        self.clock.advance(1.0)
        self.step()
        self.assertTrue(self.peer._lost)
        self.assertIsInstance(self.successResultOf(ended), wsx.Shutdown)
        self.assertEqual(self.directory.released, [])

    def test_handler_ends_the_client(self) -> None:
        """A handler may decide not to wait for the name."""
        client = self.opened(Recorder(handle_disconnect=Ok(None)))
        self.left = 0.0
        self.take_away()
        self.assertIsInstance(self.successResultOf(client.terminated()), wsx.NameLost)


class SendFrameTests(NamingCase):
    """Functions that take a name."""

    def test_send_frame(self) -> None:
        """wsx.send_frame asks the registry."""
        self.directory.known = client = self.opened(Recorder())
        self.successResultOf(wsx.send_frame(self.name(), Text("x")))
        self.assertEqual(len(self.peer.received()), 1)
        self.assertIs(self.successResultOf(wsx.lookup(self.name())), client)
        self.directory.known = "a process"
        error = self.failureResultOf(wsx.send_frame(self.name(), Text("x")), TypeError).value
        self.assertEqual(
            str(error), 'whereis_name: expected a client with send_frame, got "a process"'
        )
        self.directory.known = None
        self.failureResultOf(wsx.send_frame(self.name(), Text("x")), wsx.UnknownNameError)
        self.assertIsNone(self.successResultOf(wsx.lookup(self.name())))

    def test_local_functions(self) -> None:
        """The functions that answer at once refuse the name, and say what to use."""
        functions: list[Callable[[Any], Any]] = [
            wsx.whereis,
            lambda name: wsx.cast(name, "x"),
            lambda name: wsx.info(name, "x"),
        ]
        for function in functions:
            with self.assertRaisesRegex(TypeError, r"\(use the result of await wsx.lookup\(name\)"):
                function(self.name())

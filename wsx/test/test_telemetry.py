"""Tests of wsx.telemetry: attaching and detaching observers, and observers with side effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.logger import capturedLogs, formatEvent

import wsx
from wsx import telemetry
from wsx._client import lifecycle, reporter
from wsx._text import quote
from wsx._wire.decoder import BATCH_SIZE
from wsx.test.support import (
    MemoryCase,
    Recorder,
    case,
    collect_garbage,
    server_frame,
    text,
)
from wsx.test.support.telemetry import (
    ALL,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    LIFE,
    NAMES,
    OVERDUE,
    RECEIVED,
    SENT,
    SLOW,
    TERMINATE,
    AttachCase,
    TelemetryCase,
    attach,
    forget,
    ids,
)


class AttachTests(AttachCase):
    """``attach``, ``detach`` and ``list_handlers``."""

    def test_events(self) -> None:
        """``EVENTS`` contains exactly the documented events."""
        self.assertEqual(sorted(telemetry.EVENTS), sorted(ALL))

    def test_one_event(self) -> None:
        """An observer of one event receives that event only."""
        attach(self, "id", CONNECTED, self.receive)
        self.emit(*ALL)
        self.assertEqual(self.received, [(None, CONNECTED)])

    def test_several_events(self) -> None:
        """An observer of several events receives those; the events can be any iterable."""
        for events in (
            [CONNECTED, SENT],
            (SENT, CONNECTED),
            {CONNECTED, SENT},
            iter([CONNECTED, SENT]),
        ):
            with case(events):
                self.received.clear()
                attach(self, "id", events, self.receive)
                self.emit(*ALL)
                self.assertEqual(self.received, [(None, CONNECTED), (None, SENT)])
                telemetry.detach("id")

    def test_arguments(self) -> None:
        """The function is called with the event, the measurements, the metadata and its config."""
        calls: list[Any] = []
        config, metadata = object(), {"client": "c"}
        attach(self, "id", SENT, lambda *arguments: calls.append(arguments), config)
        telemetry.execute(SENT, metadata, duration=1.5)
        [(event, measurements, got, passed)] = calls
        self.assertEqual((event, got), (SENT, metadata))
        self.assertEqual(measurements["duration"], 1.5)
        self.assertIs(passed, config)

    def test_an_event_twice(self) -> None:
        """An event that is named twice is received once."""
        attach(self, "id", [CONNECTED, CONNECTED], self.receive)
        self.emit(CONNECTED)
        self.assertEqual(len(self.received), 1)

    def test_order(self) -> None:
        """Observers are called in the order in which they were attached."""
        for number in (3, 1, 2):
            attach(self, number, [DISCONNECTED, CONNECTED], self.receive, number)
        self.emit(CONNECTED)
        self.assertEqual([config for config, _ in self.received], [3, 1, 2])

    def test_order_after_detaching(self) -> None:
        """An observer that was detached and attached again is called last."""
        for number in (1, 2, 3):
            attach(self, number, CONNECTED, self.receive, number)
        telemetry.detach(1)
        telemetry.attach(1, CONNECTED, self.receive, 1)
        self.emit(CONNECTED)
        self.assertEqual([config for config, _ in self.received], [2, 3, 1])

    def test_id_twice(self) -> None:
        """Attaching an id twice raises ValueError, for any events.

        The first observer stays attached.
        """
        attach(self, "id", CONNECTED, self.receive, "first")
        for events in (CONNECTED, SENT, [SENT, CONNECTED]):
            with case(events):
                error = self.assertRaises(
                    ValueError, telemetry.attach, "id", events, self.receive, 2
                )
                self.assertEqual(str(error), 'handler_id: "id" is attached already')
        self.emit(*ALL)
        self.assertEqual(self.received, [("first", CONNECTED)])

    def test_unknown_event(self) -> None:
        """An unknown event raises a ValueError that names it, and attaches nothing."""
        for events in ("wsx.nonsense", "wsx", "", [CONNECTED, "wsx.nonsense"], [7], ["wsx.frame"]):
            with case(events):
                error = self.assertRaises(ValueError, telemetry.attach, "id", events, self.receive)
                bad = events if isinstance(events, str) else events[-1]
                self.assertTrue(str(error).endswith(f", got {quote(bad)}"), error)
                self.assertIn(", ".join(telemetry.EVENTS), str(error))
                self.assertEqual(ids(), [])

    def test_no_event(self) -> None:
        """An empty list of events raises ValueError."""
        error = self.assertRaises(ValueError, telemetry.attach, "id", [], self.receive)
        self.assertTrue(str(error).endswith(", got ()"), error)

    def test_no_function(self) -> None:
        """A function that is not callable raises TypeError, and nothing is attached."""
        for function in (None, "print", 7):
            with case(function):
                error = self.assertRaises(TypeError, telemetry.attach, "id", CONNECTED, function)
                shown = f"function: expected a function that is not async, got {quote(function)}"
                self.assertEqual(str(error), shown)
                self.assertEqual(ids(), [])

    def test_any_id(self) -> None:
        """Any hashable object can be an id."""
        for handler_id in ("a", 0, None, ("a", 1), object(), AttachTests):
            with case(handler_id):
                attach(self, handler_id, CONNECTED, self.receive)
                self.assertEqual(ids(), [handler_id])
                telemetry.detach(handler_id)
                self.assertEqual(ids(), [])

    def test_detach(self) -> None:
        """A detached observer receives no events; the other observers still do."""
        attach(self, "first", ALL, self.receive, "first")
        attach(self, "second", CONNECTED, self.receive, "second")
        telemetry.detach("first")
        self.emit(*ALL)
        self.assertEqual(self.received, [("second", CONNECTED)])

    def test_detach_unknown(self) -> None:
        """Detaching an id that is not attached raises a LookupError that names it."""
        attach(self, "id", CONNECTED, self.receive)
        telemetry.detach("id")
        for handler_id in ("id", "other"):
            with case(handler_id):
                error = self.assertRaises(LookupError, telemetry.detach, handler_id)
                self.assertEqual(str(error), f'handler_id: "{handler_id}" is not attached')

    def test_list_fields(self) -> None:
        """A listed observer has the id, event, function and config that were attached."""
        attach(self, "id", CONNECTED, self.receive, "config")
        [observer] = telemetry.list_handlers()
        self.assertEqual(
            (observer.handler_id, observer.event, observer.function, observer.config),
            ("id", CONNECTED, self.receive, "config"),
        )

    def test_list_each_event(self) -> None:
        """An observer of several events is listed once for each event."""
        attach(self, "id", [SENT, CONNECTED], self.receive)
        events = [observer.event for observer in telemetry.list_handlers()]
        self.assertEqual(sorted(events), sorted([SENT, CONNECTED]))

    def test_list_prefix(self) -> None:
        """A prefix selects events by whole words of their names."""
        for event in ALL:
            attach(self, event, event, self.receive)
        for prefix, expected in (
            ("", set(ALL)),
            ("wsx", set(ALL)),
            ("wsx.", set(ALL)),
            ("wsx.frame", {RECEIVED, SENT}),
            ("wsx.frame.", {RECEIVED, SENT}),
            (SENT, {SENT}),
            (CONNECTED, {CONNECTED}),
            ("wsx.connect", set()),
            ("frame", set()),
            ("wsx.frame.sent.more", set()),
        ):
            with case(prefix):
                self.assertEqual(set(ids(prefix)), expected)

    def test_list_is_a_copy(self) -> None:
        """Changing the returned list does not affect the observers."""
        attach(self, "id", CONNECTED, self.receive)
        telemetry.list_handlers().clear()
        self.assertEqual(ids(), ["id"])


class RaisingTests(AttachCase):
    """Observers that raise, and observers that attach or detach observers."""

    def fail_with(self, event: str, *_: Any) -> None:
        raise ZeroDivisionError(event)

    def test_raising(self) -> None:
        """An observer that raises is detached from all its events.

        The other observers are still called.
        """
        attach(self, "before", CONNECTED, self.receive, "before")
        attach(self, "bad", [CONNECTED, SENT], self.fail_with)
        attach(self, "after", CONNECTED, self.receive, "after")
        self.emit(CONNECTED)
        self.assertEqual(ids(), ["before", "after"])
        self.emit(CONNECTED, SENT)
        self.assertEqual([config for config, _ in self.received], ["before", "after"] * 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_raising_is_logged(self) -> None:
        """One log event names the observer that raised and has the traceback."""
        attach(self, ("my", "id"), CONNECTED, self.fail_with)
        with capturedLogs() as events:
            self.emit(CONNECTED, CONNECTED)
        [event] = [event for event in events if event["log_namespace"] == "wsx.telemetry"]
        self.assertEqual(event["id"], ("my", "id"))
        self.assertEqual(
            formatEvent(event),
            "telemetry observer ('my', 'id') raised an exception for wsx.connected and is detached",
        )
        self.assertIsInstance(event["log_failure"].value, ZeroDivisionError)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_all_raise(self) -> None:
        """If several observers raise, each of them is detached."""
        for number in range(3):
            attach(self, number, ALL, self.fail_with)
        self.emit(SENT)
        self.assertEqual(ids(), [])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_id_is_free_after_raising(self) -> None:
        """The id of an observer that raised can be attached again."""
        attach(self, "id", CONNECTED, self.fail_with)
        self.emit(CONNECTED)
        self.flushLoggedErrors(ZeroDivisionError)
        telemetry.attach("id", CONNECTED, self.receive)
        self.emit(CONNECTED)
        self.assertEqual(self.received, [(None, CONNECTED)])

    def test_attaches_inside(self) -> None:
        """An observer attached by another observer receives the following events, each once."""

        def grow(event: str, *_: Any) -> None:
            if "new" not in ids():
                attach(self, "new", ALL, self.receive)

        attach(self, "id", ALL, grow)
        self.emit(CONNECTED, SENT, TERMINATE)
        self.assertEqual(self.received[-2:], [(None, SENT), (None, TERMINATE)])
        self.assertLessEqual(len(self.received), 3)

    def test_detaches_itself(self) -> None:
        """An observer can detach itself; the observers after it still receive the event."""

        def once(event: str, *_: Any) -> None:
            self.received.append(("once", event))
            telemetry.detach("once")

        attach(self, "once", ALL, once)
        attach(self, "other", ALL, self.receive, "other")
        self.emit(CONNECTED, SENT)
        self.assertEqual(
            self.received, [("once", CONNECTED), ("other", CONNECTED), ("other", SENT)]
        )

    def test_detaches_an_earlier_one(self) -> None:
        """An observer can detach one that has already received the event."""
        attach(self, "first", ALL, self.receive, "first")
        attach(self, "second", ALL, lambda *_: forget("first"))
        attach(self, "third", ALL, self.receive, "third")
        self.emit(CONNECTED, SENT)
        self.assertEqual(
            self.received, [("first", CONNECTED), ("third", CONNECTED), ("third", SENT)]
        )

    def test_detaches_a_later_one(self) -> None:
        """A detached observer is not called, not even for the event that is being emitted."""
        attach(self, "first", ALL, lambda *_: forget("second"))
        attach(self, "second", ALL, self.receive)
        self.emit(CONNECTED, SENT)
        self.assertEqual(self.received, [])

    def test_detaches_itself_and_raises(self) -> None:
        """An exception of an observer that has just detached itself is logged."""

        def leave(event: str, *_: Any) -> None:
            telemetry.detach("id")
            raise ZeroDivisionError

        attach(self, "id", ALL, leave)
        attach(self, "other", ALL, self.receive)
        self.emit(CONNECTED)
        self.assertEqual(self.received, [(None, CONNECTED)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_replaces_itself_and_raises(self) -> None:
        """An observer attached under the id of one that then raises stays attached."""

        def replace(event: str, *_: Any) -> None:
            telemetry.detach("id")
            telemetry.attach("id", ALL, self.receive)
            raise ZeroDivisionError

        attach(self, "id", ALL, replace)
        self.emit(CONNECTED, SENT)
        self.assertIn((None, SENT), self.received)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class MeddlingTests(TelemetryCase):
    """[T6] Observers that call methods of the client."""

    maxDiff = None

    def serve(self) -> None:
        """Act as a server for one second.

        Each connection is accepted, then gets some frames, and is dropped after seven more seconds.
        """
        for peer in self.server.peers:
            if peer.transport.aborted or peer._lost:
                continue
            if peer not in self.answered:
                self.answered.append(peer)
                peer.answer(text("early") + server_frame(9, b"p"))
            elif self.answered.count(peer) == 1:
                self.answered.append(peer)
                peer.send(text("hello") + server_frame(10) + text("again"))
            elif self.answered.count(peer) < 8:
                self.answered.append(peer)
            else:
                peer.drop()
        self.clock.advance(1)

    def live(
        self, meddle: Callable[[Any], object], event: str, refusing: bool, handled: bool = False
    ) -> None:
        """Run a client with an observer that calls ``meddle`` for each such event."""
        self.server.__init__(self.clock)  # type: ignore[misc]
        self.server.refusal = Refused() if refusing else None
        self.answered: list[Any] = []
        self.recorded.clear()
        inside = False

        def observer(event: str, _: Any, metadata: Any, __: Any) -> None:
            nonlocal inside
            if not inside:  # Sending a frame emits an event as well.
                inside = True
                meddle(metadata["client"])
                inside = False

        losses = iter([True, True])
        handler = Recorder(
            handle_frame=lambda _, state: wsx.Reply(wsx.Text("reply"), state),
            handle_disconnect=lambda _, state: (
                wsx.Reconnect(state, after=1.0) if next(losses, False) else wsx.Ok(state)
            ),
        )
        self.watch()
        attach(self, "meddler", event, observer)
        options = {"handle_initial_conn_failure": handled, "ping_interval": 3.0}
        self.start(handler, **options).addErrback(lambda _: None)
        for _ in range(60):
            self.serve()

    def problem(self, meddle: Callable[[Any], object], event: str, *server: bool) -> str:
        """Run a client like ``live``; return a description of what went wrong, or ""."""
        try:
            self.live(meddle, event, *server)
            client = self.assert_complete()
            if event in self.events():
                self.assertIn("meddler", ids(), "the observer raised")
            self.assertEqual(client.status, "terminated")
            self.assertEqual(self.clock.getDelayedCalls(), [], "a timer is left")
            left = [p for p in self.server.peers if not (p._lost or p.transport.aborted)]
            self.assertEqual(left, [], "a connection is left")
        except Exception as error:
            return f"{event}: {type(error).__name__}: {error}"
        finally:
            forget(self)
            forget("meddler")
            self.clock.calls.clear()
        self.server.peers.clear()
        self.recorded.clear()
        collect_garbage()
        logged = [failure.value for failure in self.flushLoggedErrors()]
        return f"{event}: logged {logged}" if logged else ""

    def check(self, meddle: Callable[[Any], object]) -> None:
        """Run a client for each event, with a server that accepts and one that refuses."""
        problems = [
            f"{problem} (refusing, and that is handled: {server})"
            for server in ((False, False), (True, False), (True, True))
            for event in ALL
            if (problem := self.problem(meddle, event, *server))
        ]
        self.assertEqual("\n".join(problems), "")

    def test_nothing(self) -> None:
        """[T6] An observer that does nothing: all events happen except those of slow callbacks."""
        self.check(lambda client: None)
        self.live(lambda client: None, CONNECTING, False)
        self.assertEqual(set(self.events()), set(ALL) - {SLOW, OVERDUE, *NAMES})
        self.assertEqual(self.events().count(CONNECTED), 3)

    def test_close(self) -> None:
        """[T6] An observer can call ``client.close()`` in every event."""
        self.check(lambda client: client.close())

    def test_stop(self) -> None:
        """[T6] An observer can call ``client.stop()`` in every event."""
        self.check(lambda client: client.stop())

    def test_abort(self) -> None:
        """[T6] An observer can call ``client.abort()`` in every event."""
        self.check(lambda client: client.abort())

    def test_close_when_the_first_attempt_failed(self) -> None:
        """[T6] ``client.close()`` has no effect after a failed first attempt."""
        self.watch(*LIFE)
        attach(
            self, "meddler", DISCONNECTED, lambda _, __, metadata, ___: metadata["client"].close()
        )
        self.server.refusal = Refused()
        self.failureResultOf(self.start(Recorder()), wsx.ConnError)
        self.assertEqual(self.events(), [CONNECTING, DISCONNECTED, TERMINATE])
        self.assertIn("meddler", ids(), "the observer raised")

    def test_abort_while_ending(self) -> None:
        """[T6] An observer can call ``client.abort()`` at the end of the connection."""
        self.watch(*LIFE)
        attach(
            self, "meddler", DISCONNECTED, lambda _, __, metadata, ___: metadata["client"].abort()
        )
        client = self.open(Recorder())
        client.stop()
        self.peer.drop()
        self.step()
        self.assertIn("meddler", ids(), "the observer raised")
        self.assert_complete()

    def test_send_frame(self) -> None:
        """[T6] An observer can call ``client.send_frame()`` in every event."""
        self.check(lambda client: client.send_frame(wsx.Text("more")).addErrback(lambda _: None))

    def test_cast(self) -> None:
        """[T6] An observer can call ``client.cast()`` in every event.

        Only an ended client refuses it.
        """

        def cast(client: Any) -> None:
            if "casts" not in vars(client.handler):
                client.handler.casts = 0
            if client.handler.casts < 5:  # Each cast causes another ``wsx.callback`` event.
                client.handler.casts += 1
                try:
                    client.cast("from an observer")
                except wsx.NotConnectedError as error:
                    self.assertIn(client.status, (error.connection_state, "connecting"))

        self.check(cast)

    def test_system_requests(self) -> None:
        """[T6] An observer can get the status and replace the state in every event."""

        def look(client: Any) -> None:
            client.sys.get_status()
            client.sys.replace_state(lambda state: state).addErrback(lambda _: None)

        self.check(look)

    def test_cast_is_delivered_once(self) -> None:
        """A cast in ``wsx.connected`` is delivered once, after ``handle_connect``."""
        attach(
            self, "meddler", CONNECTED, lambda _, __, metadata, ___: metadata["client"].cast("x")
        )
        handler = Recorder()
        self.open(handler)
        self.assertEqual(handler.names, ["handle_connect", "handle_cast"])

    def test_frames_in_order(self) -> None:
        """A frame sent in ``wsx.frame.sent`` is written after the frame that the event is about."""
        sent = []

        def echo(_: str, __: Any, metadata: Any, ___: Any) -> None:
            if metadata["frame"] != wsx.Text("second"):
                sent.append(metadata["client"].send_frame(wsx.Text("second")))

        attach(self, "meddler", SENT, echo)
        client = self.open(Recorder())
        client.send_frame(wsx.Text("first"))
        self.assertEqual(self.peer.received(), [(1, b"first"), (1, b"second")])
        self.successResultOf(sent[0])

    def test_a_frame_before_the_close(self) -> None:
        """If an observer of a sent frame closes the client, the close frame comes second."""
        attach(self, "meddler", SENT, lambda _, __, metadata, ___: metadata["client"].close())
        client = self.open(Recorder(handle_frame=lambda _, s: wsx.Reply(wsx.Text("reply"), s)))
        self.peer.send(text(""))
        self.assertEqual([code for code, _ in self.peer.received()], [1, 8])
        self.assertEqual(client.status, "closing")


class CountingTable(dict[str, Any]):
    """An empty table of observers that counts how often it is read."""

    count = 0

    def __len__(self) -> int:
        self.count += 1
        return 0

    def __contains__(self, key: object) -> bool:
        self.count += 1
        return False

    def get(self, key: str, default: Any = None) -> Any:
        self.count += 1
        return default


class NothingAttachedTests(MemoryCase):
    """Without observers, the client does no work for telemetry."""

    def setUp(self) -> None:
        super().setUp()
        self.work: list[str] = []
        self.table = CountingTable()
        self.patch(telemetry, "observers", self.table)
        for owner, name in (
            (telemetry, "execute"),
            (lifecycle.Lifecycle, "callback_finished"),
            (wsx.Conn, "redacted"),
        ):
            self.patch(owner, name, lambda *_, name=name, **__: self.work.append(name))

    def reads_for(self, frames: int) -> int:
        """Send ``2 * frames`` messages in one read.

        Return how often the table of observers was read.
        """
        batch = (text("x") + server_frame(2)) * frames
        before = self.table.count
        self.peer.send(batch)
        return self.table.count - before

    def test_counting_table(self) -> None:
        """The table in these tests counts reads."""
        telemetry.list_handlers()
        self.assertGreater(self.table.count, 0)

    def test_frames(self) -> None:
        """A batch of hundreds of messages reads the table as often as one of two."""
        self.open(Recorder())
        few, many = self.reads_for(1), self.reads_for(BATCH_SIZE // 2 - 1)
        self.assertEqual(few, many)
        self.assertLessEqual(many, 2)
        self.assertEqual(self.work, [])

    def test_no_event_per_frame(self) -> None:
        """Without observers, no event is built for frames that are received or sent."""
        self.patch(reporter.Reporter, "_notify", lambda *_, **__: self.work.append("_notify"))
        client = self.open(Recorder(handle_frame=lambda _, s: wsx.Reply(wsx.Text("r"), s)))
        self.work.clear()
        self.reads_for(100)
        client.send_frame(wsx.Text("x"))
        self.assertEqual(self.work, [])

    def test_a_whole_life(self) -> None:
        """Without observers, the other events of a client's life are not built either."""
        client = self.open(Recorder(), ping_interval=5.0)
        self.clock.advance(5)
        client.close()
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.work, [])

"""Tests of wsx.telemetry: observers, attached, detached, raising and meddling."""

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
    RECEIVED,
    SENT,
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
        """There are these events, and no others."""
        self.assertEqual(sorted(telemetry.EVENTS), sorted(ALL))

    def test_one_event(self) -> None:
        """An observer of one event hears that one only."""
        attach(self, "id", CONNECTED, self.hear)
        self.tell(*ALL)
        self.assertEqual(self.heard, [(None, CONNECTED)])

    def test_several_events(self) -> None:
        """An observer of several events hears those, whatever iterable they came in."""
        for events in (
            [CONNECTED, SENT],
            (SENT, CONNECTED),
            {CONNECTED, SENT},
            iter([CONNECTED, SENT]),
        ):
            with case(events):
                self.heard.clear()
                attach(self, "id", events, self.hear)
                self.tell(*ALL)
                self.assertEqual(self.heard, [(None, CONNECTED), (None, SENT)])
                telemetry.detach("id")

    def test_arguments(self) -> None:
        """The function gets the event, measurements, metadata and its config."""
        calls: list[Any] = []
        config, metadata = object(), {"client": "c"}
        attach(self, "id", SENT, lambda *arguments: calls.append(arguments), config)
        telemetry.execute(SENT, metadata, duration=1.5)
        [(event, measurements, got, passed)] = calls
        self.assertEqual((event, got), (SENT, metadata))
        self.assertEqual(measurements["duration"], 1.5)
        self.assertIs(passed, config)

    def test_an_event_twice(self) -> None:
        """An event that is named twice is told once."""
        attach(self, "id", [CONNECTED, CONNECTED], self.hear)
        self.tell(CONNECTED)
        self.assertEqual(len(self.heard), 1)

    def test_order(self) -> None:
        """Observers hear in the order in which they were attached."""
        for number in (3, 1, 2):
            attach(self, number, [DISCONNECTED, CONNECTED], self.hear, number)
        self.tell(CONNECTED)
        self.assertEqual([config for config, _ in self.heard], [3, 1, 2])

    def test_order_after_detaching(self) -> None:
        """One that was detached and attached again is the last."""
        for number in (1, 2, 3):
            attach(self, number, CONNECTED, self.hear, number)
        telemetry.detach(1)
        telemetry.attach(1, CONNECTED, self.hear, 1)
        self.tell(CONNECTED)
        self.assertEqual([config for config, _ in self.heard], [2, 3, 1])

    def test_id_twice(self) -> None:
        """An id that is attached is a ValueError, for other events too; the first one stays."""
        attach(self, "id", CONNECTED, self.hear, "first")
        for events in (CONNECTED, SENT, [SENT, CONNECTED]):
            with case(events):
                error = self.assertRaises(ValueError, telemetry.attach, "id", events, self.hear, 2)
                self.assertEqual(str(error), 'handler_id: "id" is attached already')
        self.tell(*ALL)
        self.assertEqual(self.heard, [("first", CONNECTED)])

    def test_unknown_event(self) -> None:
        """An event that does not exist is a ValueError that names it; nothing is attached."""
        for events in ("wsx.nonsense", "wsx", "", [CONNECTED, "wsx.nonsense"], [7], ["wsx.frame"]):
            with case(events):
                error = self.assertRaises(ValueError, telemetry.attach, "id", events, self.hear)
                bad = events if isinstance(events, str) else events[-1]
                self.assertTrue(str(error).endswith(f", got {quote(bad)}"), error)
                self.assertIn(", ".join(telemetry.EVENTS), str(error))
                self.assertEqual(ids(), [])

    def test_no_event(self) -> None:
        """No event at all is a ValueError."""
        error = self.assertRaises(ValueError, telemetry.attach, "id", [], self.hear)
        self.assertTrue(str(error).endswith(", got ()"), error)

    def test_no_function(self) -> None:
        """What cannot be called is a TypeError that shows it; nothing is attached."""
        for function in (None, "print", 7):
            with case(function):
                error = self.assertRaises(TypeError, telemetry.attach, "id", CONNECTED, function)
                shown = f"function: expected a function that is not async, got {quote(function)}"
                self.assertEqual(str(error), shown)
                self.assertEqual(ids(), [])

    def test_any_id(self) -> None:
        """An id is any hashable thing."""
        for handler_id in ("a", 0, None, ("a", 1), object(), AttachTests):
            with case(handler_id):
                attach(self, handler_id, CONNECTED, self.hear)
                self.assertEqual(ids(), [handler_id])
                telemetry.detach(handler_id)
                self.assertEqual(ids(), [])

    def test_detach(self) -> None:
        """What was detached hears nothing of any of its events; the others go on."""
        attach(self, "first", ALL, self.hear, "first")
        attach(self, "second", CONNECTED, self.hear, "second")
        telemetry.detach("first")
        self.tell(*ALL)
        self.assertEqual(self.heard, [("second", CONNECTED)])

    def test_detach_unknown(self) -> None:
        """Detaching what is not attached, or no more, is a LookupError that names it."""
        attach(self, "id", CONNECTED, self.hear)
        telemetry.detach("id")
        for handler_id in ("id", "other"):
            with case(handler_id):
                error = self.assertRaises(LookupError, telemetry.detach, handler_id)
                self.assertEqual(str(error), f'handler_id: "{handler_id}" is not attached')

    def test_list_fields(self) -> None:
        """What is listed says what was attached: id, event, function and config."""
        attach(self, "id", CONNECTED, self.hear, "config")
        [observer] = telemetry.list_handlers()
        self.assertEqual(
            (observer.handler_id, observer.event, observer.function, observer.config),
            ("id", CONNECTED, self.hear, "config"),
        )

    def test_list_each_event(self) -> None:
        """An observer of several events is listed once for each."""
        attach(self, "id", [SENT, CONNECTED], self.hear)
        events = [observer.event for observer in telemetry.list_handlers()]
        self.assertEqual(sorted(events), sorted([SENT, CONNECTED]))

    def test_list_prefix(self) -> None:
        """A prefix is whole words of an event's name."""
        for event in ALL:
            attach(self, event, event, self.hear)
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
        """Changing the list changes nothing."""
        attach(self, "id", CONNECTED, self.hear)
        telemetry.list_handlers().clear()
        self.assertEqual(ids(), ["id"])


class RaisingTests(AttachCase):
    """Observers that raise, and observers that attach and detach."""

    def fail_with(self, event: str, *_: Any) -> None:
        raise ZeroDivisionError(event)

    def test_raising(self) -> None:
        """One that raises is detached from all its events; the others hear this one and more."""
        attach(self, "before", CONNECTED, self.hear, "before")
        attach(self, "bad", [CONNECTED, SENT], self.fail_with)
        attach(self, "after", CONNECTED, self.hear, "after")
        self.tell(CONNECTED)
        self.assertEqual(ids(), ["before", "after"])
        self.tell(CONNECTED, SENT)
        self.assertEqual([config for config, _ in self.heard], ["before", "after"] * 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_raising_is_logged(self) -> None:
        """The log says once which one it was, with the traceback."""
        attach(self, ("my", "id"), CONNECTED, self.fail_with)
        with capturedLogs() as events:
            self.tell(CONNECTED, CONNECTED)
        [event] = [event for event in events if event["log_namespace"] == "wsx.telemetry"]
        self.assertEqual(event["id"], ("my", "id"))
        self.assertEqual(
            formatEvent(event),
            "telemetry observer ('my', 'id') raised an exception for wsx.connected and is detached",
        )
        self.assertIsInstance(event["log_failure"].value, ZeroDivisionError)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_all_raise(self) -> None:
        """Each of several that raise is detached."""
        for number in range(3):
            attach(self, number, ALL, self.fail_with)
        self.tell(SENT)
        self.assertEqual(ids(), [])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_id_is_free_after_raising(self) -> None:
        """The id of one that raised may be attached again."""
        attach(self, "id", CONNECTED, self.fail_with)
        self.tell(CONNECTED)
        self.flushLoggedErrors(ZeroDivisionError)
        telemetry.attach("id", CONNECTED, self.hear)
        self.tell(CONNECTED)
        self.assertEqual(self.heard, [(None, CONNECTED)])

    def test_attaches_inside(self) -> None:
        """One that is attached by an observer hears from the next event on, once each."""

        def grow(event: str, *_: Any) -> None:
            if "new" not in ids():
                attach(self, "new", ALL, self.hear)

        attach(self, "id", ALL, grow)
        self.tell(CONNECTED, SENT, TERMINATE)
        self.assertEqual(self.heard[-2:], [(None, SENT), (None, TERMINATE)])
        self.assertLessEqual(len(self.heard), 3)

    def test_detaches_itself(self) -> None:
        """An observer may detach itself; those after it hear the event all the same."""

        def once(event: str, *_: Any) -> None:
            self.heard.append(("once", event))
            telemetry.detach("once")

        attach(self, "once", ALL, once)
        attach(self, "other", ALL, self.hear, "other")
        self.tell(CONNECTED, SENT)
        self.assertEqual(self.heard, [("once", CONNECTED), ("other", CONNECTED), ("other", SENT)])

    def test_detaches_an_earlier_one(self) -> None:
        """An observer may detach one that has heard this event already."""
        attach(self, "first", ALL, self.hear, "first")
        attach(self, "second", ALL, lambda *_: forget("first"))
        attach(self, "third", ALL, self.hear, "third")
        self.tell(CONNECTED, SENT)
        self.assertEqual(self.heard, [("first", CONNECTED), ("third", CONNECTED), ("third", SENT)])

    def test_detaches_a_later_one(self) -> None:
        """One that was detached is called no more, also where the event is on its way to it."""
        attach(self, "first", ALL, lambda *_: forget("second"))
        attach(self, "second", ALL, self.hear)
        self.tell(CONNECTED, SENT)
        self.assertEqual(self.heard, [])

    def test_detaches_itself_and_raises(self) -> None:
        """An observer that is gone when it raises is logged, and nothing else breaks."""

        def leave(event: str, *_: Any) -> None:
            telemetry.detach("id")
            raise ZeroDivisionError

        attach(self, "id", ALL, leave)
        attach(self, "other", ALL, self.hear)
        self.tell(CONNECTED)
        self.assertEqual(self.heard, [(None, CONNECTED)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_replaces_itself_and_raises(self) -> None:
        """What was attached anew under the id of one that then raises stays."""

        def replace(event: str, *_: Any) -> None:
            telemetry.detach("id")
            telemetry.attach("id", ALL, self.hear)
            raise ZeroDivisionError

        attach(self, "id", ALL, replace)
        self.tell(CONNECTED, SENT)
        self.assertIn((None, SENT), self.heard)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class MeddlingTests(TelemetryCase):
    """[T6] observers that reach into the client in the middle of things."""

    maxDiff = None

    def serve(self) -> None:
        """One second of a server that answers, talks, and drops every connection in the end."""
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
        """Runs a life in which one observer meddles at each telling of one event."""
        self.server.__init__(self.clock)  # type: ignore[misc]
        self.server.refusal = Refused() if refusing else None
        self.answered: list[Any] = []
        self.told.clear()
        inside = False

        def observer(event: str, _: Any, metadata: Any, __: Any) -> None:
            nonlocal inside
            if not inside:  # sending a frame is told as well
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
        """Says what is wrong with such a life; nothing, where all is well."""
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
        self.told.clear()
        collect_garbage()
        logged = [failure.value for failure in self.flushLoggedErrors()]
        return f"{event}: logged {logged}" if logged else ""

    def check(self, meddle: Callable[[Any], object]) -> None:
        """Does it in every event, with a server that is there and with one that is not."""
        problems = [
            f"{problem} (refusing, and that is handled: {server})"
            for server in ((False, False), (True, False), (True, True))
            for event in ALL
            if (problem := self.problem(meddle, event, *server))
        ]
        self.assertEqual("\n".join(problems), "")

    def test_nothing(self) -> None:
        """[T6] an observer that does nothing: the server of these tests makes whole lives."""
        self.check(lambda client: None)
        self.live(lambda client: None, CONNECTING, False)
        self.assertEqual(set(self.events()), set(ALL))
        self.assertEqual(self.events().count(CONNECTED), 3)

    def test_close(self) -> None:
        """[T6] client.close() in every event."""
        self.check(lambda client: client.close())

    def test_stop(self) -> None:
        """[T6] client.stop() in every event."""
        self.check(lambda client: client.stop())

    def test_abort(self) -> None:
        """[T6] client.abort() in every event."""
        self.check(lambda client: client.abort())

    def test_close_when_the_first_attempt_failed(self) -> None:
        """[T6] client.close() in the telling of the loss: there is nothing left to lose."""
        self.watch(*LIFE)
        attach(
            self, "meddler", DISCONNECTED, lambda _, __, metadata, ___: metadata["client"].close()
        )
        self.server.refusal = Refused()
        self.failureResultOf(self.start(Recorder()), wsx.ConnError)
        self.assertEqual(self.events(), [CONNECTING, DISCONNECTED, TERMINATE])
        self.assertIn("meddler", ids(), "the observer raised")

    def test_abort_while_ending(self) -> None:
        """[T6] client.abort() when the connection of a client that was stopped has ended."""
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
        """[T6] client.send_frame() in every event."""
        self.check(lambda client: client.send_frame(wsx.Text("more")).addErrback(lambda _: None))

    def test_cast(self) -> None:
        """[T6] client.cast() in every event that may be answered so."""

        def cast(client: Any) -> None:
            if "casts" not in vars(client.handler):
                client.handler.casts = 0
            if client.handler.casts < 5:  # what observes callbacks makes one with each
                client.handler.casts += 1
                try:
                    client.cast("from an observer")
                except wsx.NotConnectedError as error:
                    self.assertIn(client.status, (error.connection_state, "connecting"))

        self.check(cast)

    def test_system_requests(self) -> None:
        """[T6] looking at the client and replacing its state in every event."""

        def look(client: Any) -> None:
            client.sys.get_status()
            client.sys.replace_state(lambda state: state).addErrback(lambda _: None)

        self.check(look)

    def test_cast_is_delivered_once(self) -> None:
        """What an observer casts when the connection is there comes after handle_connect, once."""
        attach(
            self, "meddler", CONNECTED, lambda _, __, metadata, ___: metadata["client"].cast("x")
        )
        handler = Recorder()
        self.open(handler)
        self.assertEqual(handler.names, ["handle_connect", "handle_cast"])

    def test_frames_in_order(self) -> None:
        """What an observer sends when it is told of a frame goes out after that frame, whole."""
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
        """A frame whose telling closes the client goes out before the close frame."""
        attach(self, "meddler", SENT, lambda _, __, metadata, ___: metadata["client"].close())
        client = self.open(Recorder(handle_frame=lambda _, s: wsx.Reply(wsx.Text("reply"), s)))
        self.peer.send(text(""))
        self.assertEqual([code for code, _ in self.peer.received()], [1, 8])
        self.assertEqual(client.status, "closing")


class Looks(dict[str, Any]):
    """Stands in for the table of observers, empty, and counts how often somebody looks."""

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
    """Where nothing is attached, nothing is done."""

    def setUp(self) -> None:
        super().setUp()
        self.work: list[str] = []
        self.looks = Looks()
        self.patch(telemetry, "observers", self.looks)
        for owner, name in (
            (telemetry, "execute"),
            (lifecycle.Lifecycle, "callback_finished"),
            (wsx.Conn, "redacted"),
        ):
            self.patch(owner, name, lambda *_, name=name, **__: self.work.append(name))

    def looks_for(self, frames: int) -> int:
        """Gives how often somebody looked while twice so many messages came in one read."""
        batch = (text("x") + server_frame(2)) * frames
        before = self.looks.count
        self.peer.send(batch)
        return self.looks.count - before

    def test_stand_in(self) -> None:
        """The stand-in sees a look."""
        telemetry.list_handlers()
        self.assertGreater(self.looks.count, 0)

    def test_frames(self) -> None:
        """A batch costs as many looks with hundreds of messages as with two, and no work."""
        self.open(Recorder())
        few, many = self.looks_for(1), self.looks_for(BATCH_SIZE // 2 - 1)
        self.assertEqual(few, many)
        self.assertLessEqual(many, 2)
        self.assertEqual(self.work, [])

    def test_told_one_by_one(self) -> None:
        """With nothing attached no frame is told, neither received nor sent."""
        self.patch(reporter.Reporter, "_notify", lambda *_, **__: self.work.append("_notify"))
        client = self.open(Recorder(handle_frame=lambda _, s: wsx.Reply(wsx.Text("r"), s)))
        self.work.clear()
        self.looks_for(100)
        client.send_frame(wsx.Text("x"))
        self.assertEqual(self.work, [])

    def test_a_whole_life(self) -> None:
        """Nor is anything made to be told in the rest of a client's life."""
        client = self.open(Recorder(), ping_interval=5.0)
        self.clock.advance(5)
        client.close()
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.work, [])

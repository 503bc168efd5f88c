"""Tests of wsx.telemetry: who is told what of the clients of this process, and that all is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import telemetry
from wsx._client import lifecycle
from wsx._wire.decoder import BATCH
from wsx._wire.encoder import FIN
from wsx.test.support import (
    MemoryCase,
    Recorder,
    case,
    close,
    collect_garbage,
    read_frames,
    server_frame,
    text,
)

SECRET = "s3cr3t"
CONNECTING = "wsx.connecting"
CONNECTED = "wsx.connected"
DISCONNECTED = "wsx.disconnected"
RECEIVED = "wsx.frame.received"
SENT = "wsx.frame.sent"
CALLBACK = "wsx.callback"
TERMINATE = "wsx.terminate"
ALL = (CONNECTING, CONNECTED, DISCONNECTED, RECEIVED, SENT, CALLBACK, TERMINATE)
LIFE = (CONNECTING, CONNECTED, DISCONNECTED, TERMINATE)
CODES = {wsx.Text: 1, wsx.Binary: 2, wsx.Ping: 9, wsx.Pong: 10}

Told = tuple[str, dict[str, Any], dict[str, Any]]


def attach(test: SynchronousTestCase, *arguments: Any) -> None:
    """Attaches an observer until the end of the test."""
    telemetry.attach(*arguments)
    test.addCleanup(forget, arguments[0])


def forget(handler_id: Any) -> None:
    """Detaches an observer, if it is attached."""
    if any(observer.handler_id == handler_id for observer in telemetry.list_handlers()):
        telemetry.detach(handler_id)


def ids(prefix: str = "") -> list[Any]:
    """Gives the ids of what is attached."""
    return [observer.handler_id for observer in telemetry.list_handlers(prefix)]


def again(status: Any, state: Any) -> Any:
    """A ``handle_disconnect`` that always connects again, after a second."""
    return wsx.Reconnect(state, after=1.0)


class AttachCase(SynchronousTestCase):
    """Observers without a client."""

    def setUp(self) -> None:
        self.heard: list[Any] = []

    def tearDown(self) -> None:
        self.assertEqual(telemetry.list_handlers(), [], "the test leaves an observer behind")

    def hear(self, event: str, _: Any, __: Any, config: Any) -> None:
        self.heard.append((config, event))

    def tell(self, *events: str) -> None:
        for event in events:
            telemetry.execute(event, {})


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
                self.assertIn("'id'", str(error))
        self.tell(*ALL)
        self.assertEqual(self.heard, [("first", CONNECTED)])

    def test_unknown_event(self) -> None:
        """An event that does not exist is a ValueError that names it; nothing is attached."""
        for events in ("wsx.nonsense", "wsx", "", [CONNECTED, "wsx.nonsense"], [7], ["wsx.frame"]):
            with case(events):
                error = self.assertRaises(ValueError, telemetry.attach, "id", events, self.hear)
                bad = events if isinstance(events, str) else events[-1]
                self.assertIn(repr(bad), str(error))
                self.assertEqual(ids(), [])

    def test_no_event(self) -> None:
        """No event at all is a ValueError."""
        self.assertRaises(ValueError, telemetry.attach, "id", [], self.hear)

    def test_no_function(self) -> None:
        """What cannot be called is a TypeError; nothing is attached."""
        for function in (None, "print", 7):
            with case(function):
                self.assertRaises(TypeError, telemetry.attach, "id", CONNECTED, function)
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
                self.assertIn(repr(handler_id), str(error))

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


class TelemetryCase(MemoryCase):
    """A client, and an observer that writes down what it is told."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[Told] = []

    def watch(self, *events: str) -> None:
        """Begins to write down these events; all without an argument."""
        attach(self, self, events or ALL, self.write_down)

    def write_down(self, event: str, measurements: Any, metadata: Any, _: Any) -> None:
        self.told.append((event, dict(measurements), dict(metadata)))

    def events(self, wanted: Iterable[str] = ALL) -> list[str]:
        """Gives the names of the events so far."""
        return [event for event, _, _ in self.told if event in wanted]

    def all_of(self, event: str, key: str) -> list[Any]:
        """Gives one entry of the metadata of each telling of an event."""
        return [metadata[key] for name, _, metadata in self.told if name == event]

    def end(self, client: Any) -> None:
        """Brings a client to its end, whatever it is doing."""
        client.stop()
        self.let_time_pass()

    def let_time_pass(self) -> None:
        """Lets all time-outs of a closing run out."""
        for _ in range(30):
            self.clock.advance(1)

    def assert_complete(self) -> Any:
        """What was told of one client's life is complete and without doubles; gives the client."""
        [client] = {metadata["client"] for _, _, metadata in self.told}
        life = self.events(LIFE)
        self.assertEqual(life.count(TERMINATE), 1, life)
        self.assertEqual(life[-1], TERMINATE, life)
        is_open = False
        for event, _, metadata in self.told:
            if event == CONNECTED:
                self.assertFalse(is_open, life)
                is_open = True
            elif event == DISCONNECTED:
                # A connection that was established has the server's answer in its Conn.
                self.assertEqual(metadata["conn"].resp_status is not None, is_open, life)
                is_open = False
            elif event in (RECEIVED, SENT):
                self.assertTrue(is_open, f"{event} without a connection")
        self.assertFalse(is_open, life)
        self.assertEqual(
            self.all_of(TERMINATE, "reason"), [self.successResultOf(client.terminated())]
        )
        return client


class ContentTests(TelemetryCase):
    """Measurements and metadata, of each event."""

    further: ClassVar[dict[str, set[str]]] = {
        CONNECTING: set(),
        CONNECTED: set(),
        DISCONNECTED: {"reason"},
        RECEIVED: {"frame"},
        SENT: {"frame"},
        CALLBACK: {"callback"},
        TERMINATE: {"reason"},
    }

    def whole_life(self, handler: Any = None, **options: Any) -> Any:
        """A client's life with every event in it."""
        client = self.open(handler or Recorder(), **options)
        client.send_frame(wsx.Text("out"))
        self.peer.send(text("in"))
        self.peer.send(close(1000))
        self.peer.drop()
        self.step()
        self.assertEqual(set(self.events()), set(ALL))
        return client

    def test_metadata(self) -> None:
        """[T1] [T2] [T3] [T4] [T5] every event has client, name, handler, conn, and its own."""
        self.watch()
        self.whole_life()
        for event, _, metadata in self.told:
            with case(event):
                common = {"client", "name", "handler", "conn"}
                self.assertEqual(set(metadata), common | self.further[event])

    def test_client(self) -> None:
        """``client`` is the client."""
        self.watch()
        client = self.whole_life()
        for event in ALL:
            self.assertEqual(set(self.all_of(event, "client")), {client}, event)

    def test_name(self) -> None:
        """``name`` is what the client was started with: a str, ``Global``, ``Via``, or None."""
        registry = SimpleNamespace(
            register_name=lambda key, client: True,
            unregister_name=lambda key: None,
            whereis_name=lambda key: None,
            send=lambda key, message: None,
        )
        names = (None, "wsx.test.telemetry", wsx.Global(("t", 7)), wsx.Via(registry, "k"))
        for name in names:
            with case(name):
                self.told.clear()
                self.watch()
                self.whole_life(name=name)
                forget(self)
                self.assertTrue(all(metadata["name"] == name for _, _, metadata in self.told))

    def test_handler(self) -> None:
        """``handler`` is the class, whether a class or an instance was started."""

        class Silent(wsx.Handler[Any]):
            def handle_frame(self, frame: Any, state: Any) -> None:
                return None

        self.watch()
        for handler in (Silent, Silent()):
            with case(handler):
                self.told.clear()
                self.whole_life(handler)
                self.assertEqual({metadata["handler"] for _, _, metadata in self.told}, {Silent})

    def test_handler_is_replaced(self) -> None:
        """``handler`` is the new class after a hot code change."""

        class Newer(Recorder):
            pass

        client = self.open(Recorder())
        self.watch(SENT)
        self.successResultOf(client.sys.change_code(Newer))
        client.send_frame(wsx.Text("x"))
        self.assertEqual(self.all_of(SENT, "handler"), [Newer])

    def test_conn_has_no_secret(self) -> None:
        """``conn`` says where, and the server's answer once there is one, but has no secret."""
        self.watch()
        client = self.start(
            Recorder(),
            url=f"ws://user:{SECRET}@example.test/feed?token={SECRET}",
            extra_headers={"Cookie": SECRET, "Authorization": SECRET},
        )
        self.peer.answer(Set_Cookie=SECRET, X_Shown="yes")
        self.step()
        self.peer.drop()
        self.step()
        for event, _, metadata in self.told:
            with case(event):
                conn = metadata["conn"]
                self.assertNotIn(SECRET, f"{conn.url} {conn.parsed.password} {conn.extra_headers}")
                self.assertNotIn(SECRET, f"{conn.parsed.resource} {conn.resp_headers}")
                self.assertEqual(conn.parsed.host, "example.test")
        [connected] = self.all_of(CONNECTED, "conn")
        self.assertEqual(connected.resp_header("x-shown"), "yes")
        self.assertEqual(self.all_of(CONNECTING, "conn")[0].resp_status, None)
        own = self.successResultOf(client).conn
        self.assertEqual((own.parsed.password, own.extra_headers[0][1]), (SECRET, SECRET))
        self.assertEqual(own.resp_header("set-cookie"), SECRET)

    def test_time(self) -> None:
        """The measurement ``time`` is in nanoseconds since the epoch."""
        self.patch(telemetry, "time", SimpleNamespace(time_ns=lambda: 1_700_000_000_123_456_789))
        self.watch()
        self.whole_life()
        for event, measurements, _ in self.told:
            self.assertEqual(measurements["time"], 1_700_000_000_123_456_789, event)

    def test_measurements(self) -> None:
        """``wsx.callback`` has a ``duration`` too, the others nothing else."""
        self.watch()
        self.whole_life()
        for event, measurements, _ in self.told:
            expected = {"time", "duration"} if event == CALLBACK else {"time"}
            self.assertEqual(set(measurements), expected, event)


class ConnectTests(TelemetryCase):
    """``wsx.connecting`` and ``wsx.connected``."""

    def test_first(self) -> None:
        """[T1] one of each for a first connection."""
        self.watch(CONNECTING, CONNECTED)
        self.start(Recorder())
        self.assertEqual(self.events(), [CONNECTING])
        self.peer.answer()
        self.assertEqual(self.events(), [CONNECTING, CONNECTED])
        self.step()
        self.assertEqual(self.events(), [CONNECTING, CONNECTED])

    def test_before_handle_connect(self) -> None:
        """[T1] observers hear of a connection before ``handle_connect`` and its first frame."""
        handler = Recorder()
        attach(
            self, self, [CONNECTED, RECEIVED], lambda event, *_: handler.calls.append((event, 0, 0))
        )
        self.start(handler)
        self.peer.answer(text("at once"))
        self.step()
        expected = [CONNECTED, "handle_connect", RECEIVED, "handle_frame"]
        self.assertEqual(handler.names, expected)

    def test_each_reconnect(self) -> None:
        """[T1] [T6] one of each for each reconnect."""
        self.watch(CONNECTING, CONNECTED)
        self.open(Recorder(handle_disconnect=again))
        for _ in range(3):
            self.peer.drop()
            self.step()
            self.clock.advance(1)
            self.peer.answer()
            self.step()
        self.assertEqual(self.events(), [CONNECTING, CONNECTED] * 4)

    def test_failed_attempts(self) -> None:
        """Attempts that fail are begun, and connect nothing."""
        self.watch(CONNECTING, CONNECTED)
        self.server.refusal = Refused()
        self.start(Recorder(handle_disconnect=again), handle_initial_conn_failure=True, async_=True)
        for _ in range(2):
            self.step()
            self.clock.advance(1)
        self.assertEqual(self.events(), [CONNECTING] * 3)

    def test_another_conn(self) -> None:
        """``conn`` is the one of ``Reconnect``, from the attempt on."""
        other = wsx.Conn("ws://other.test/", endpoint=self.server, ping_interval=None)
        self.watch(CONNECTING, CONNECTED, DISCONNECTED)
        self.open(Recorder(handle_disconnect=lambda status, state: wsx.Reconnect(state, other, 0)))
        self.peer.drop()
        self.step()
        self.peer.answer()
        hosts = [(event, metadata["conn"].parsed.host) for event, _, metadata in self.told]
        here, there = "example.test", "other.test"
        self.assertEqual(
            hosts,
            [
                (CONNECTING, here),
                (CONNECTED, here),
                (DISCONNECTED, here),
                (CONNECTING, there),
                (CONNECTED, there),
            ],
        )

    def test_suspended(self) -> None:
        """A connection that is made while the client is suspended is told at once."""
        self.watch(CONNECTED)
        client = self.successResultOf(self.start(Recorder(), async_=True))
        client.sys.suspend()
        self.peer.answer()
        self.assertEqual(self.events(), [CONNECTED])
        client.sys.resume()
        self.step()
        self.assertEqual(self.events(), [CONNECTED])

    def test_start_that_never_began(self) -> None:
        """A taken name begins nothing: nothing is told."""
        self.open(Recorder(), name="wsx.test.telemetry")
        self.watch()
        self.failureResultOf(
            self.start(Recorder(), name="wsx.test.telemetry"), wsx.AlreadyStartedError
        )
        self.assertEqual(self.told, [])
        self.end(wsx.whereis("wsx.test.telemetry"))


class DisconnectTests(TelemetryCase):
    """``wsx.disconnected``: each connection that ended, each attempt that failed."""

    def ways(self) -> dict[str, Callable[[Any], object]]:
        """Gives the ways in which an open connection ends, with handle_disconnect to follow."""
        return {
            "the peer drops it": lambda client: self.peer.drop(),
            "the peer closes it": lambda client: self.peer.send(close(1000, "bye")),
            "close()": lambda client: client.close(3000, "enough"),
            "Close from a callback": lambda client: client.cast("close"),
            "the peer breaks the protocol": lambda client: self.peer.send(b"\xff\xff"),
            "a reply that is no frame": lambda client: client.cast("nonsense"),
            "no pong": lambda client: self.clock.pump([1] * 12),
        }

    def answer_cast(self, message: str, state: Any) -> Any:
        return wsx.Close(state) if message == "close" else wsx.Reply("no frame", state)  # type: ignore[arg-type]

    def test_each_way(self) -> None:
        """[T2] every end of a connection is told once, with the reason handle_disconnect gets."""
        self.watch(DISCONNECTED)
        for what, happen in self.ways().items():
            with case(what):
                self.told.clear()
                handler = Recorder(handle_cast=self.answer_cast)
                client = self.open(handler, ping_interval=5.0, ping_timeout=5.0)
                happen(client)
                self.step()
                self.peer.drop()
                self.step()
                [status] = handler.arguments("handle_disconnect")
                self.assertEqual(self.all_of(DISCONNECTED, "reason"), [status.reason])
                self.assertEqual(self.all_of(DISCONNECTED, "client"), [client])
        self.flushLoggedErrors()

    def test_data_timeout(self) -> None:
        """[T2] silence past ``data_timeout`` is told as such."""
        self.watch(DISCONNECTED)
        self.open(Recorder(), data_timeout=3.0)
        self.let_time_pass()
        [reason] = self.all_of(DISCONNECTED, "reason")
        self.assertIsInstance(reason, wsx.DataTimeout)

    def test_conn(self) -> None:
        """[T2] ``conn`` has the server's answer for a connection, and none for an attempt."""
        self.watch(DISCONNECTED)
        self.open(Recorder(handle_disconnect=again))
        self.peer.drop()
        self.server.refusal = Refused()
        self.step()
        self.clock.advance(1)
        statuses = [conn.resp_status for conn in self.all_of(DISCONNECTED, "conn")]
        self.assertEqual(statuses, [101, None])

    def refuse_tcp(self) -> None:
        pass  # the endpoint did

    def refuse_with_status(self) -> None:
        self.peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    def answer_nonsense(self) -> None:
        self.peer.answer(accept="wrong")

    def hang_up(self) -> None:
        self.peer.drop()

    def never_answer(self) -> None:
        self.clock.advance(6)

    def failures(self) -> list[tuple[Callable[[], None], type]]:
        """Gives the ways in which an attempt fails, with the reason's class."""
        return [
            (self.refuse_tcp, wsx.ConnError),
            (self.refuse_with_status, wsx.RequestError),
            (self.answer_nonsense, wsx.HandshakeError),
            (self.hang_up, wsx.ConnError),
            (self.never_answer, wsx.ConnError),
        ]

    def fail_one(self, fail: Callable[[], None], **options: Any) -> Deferred[Any]:
        self.told.clear()
        self.server.refusal = Refused() if fail == self.refuse_tcp else None
        started = self.start(Recorder(), **options)
        fail()
        self.step()
        return started

    def test_first_attempt(self) -> None:
        """[T2] a first attempt that fails is told once, whether somebody handles that or not."""
        self.watch(*LIFE)
        for fail, kind in self.failures():
            for handled in (False, True):
                with case((fail.__name__, handled)):
                    started = self.fail_one(fail, handle_initial_conn_failure=handled)
                    self.assertEqual(self.events(), [CONNECTING, DISCONNECTED, TERMINATE])
                    error = self.failureResultOf(started, kind).value
                    self.assertEqual(self.all_of(DISCONNECTED, "reason"), [error])
                    self.assertEqual(self.all_of(TERMINATE, "reason"), [error])

    def test_later_attempts(self) -> None:
        """[T2] [T6] each later attempt that fails is told once."""
        for fail, kind in self.failures():
            with case(fail.__name__):
                self.told.clear()
                self.server.refusal = None
                client = self.open(Recorder(handle_disconnect=again))
                self.watch(*LIFE)
                self.peer.drop()
                self.server.refusal = Refused() if fail == self.refuse_tcp else None
                for _ in range(2):
                    self.step()
                    self.clock.advance(1)
                    fail()
                    self.step()
                self.assertEqual(self.events(), [DISCONNECTED, *[CONNECTING, DISCONNECTED] * 2])
                kinds = [type(reason) for reason in self.all_of(DISCONNECTED, "reason")]
                self.assertEqual(kinds, [wsx.ConnectionDropped, kind, kind])
                self.end(client)
                forget(self)

    def test_close_while_connecting(self) -> None:
        """[T2] close() while connecting counts as lost with LocalClose, and is told once."""
        for silent in (True, False):
            for handled in (True, False):
                with case((silent, handled)):
                    self.told.clear()
                    self.watch(*LIFE)
                    self.server.silent = silent
                    options = {"handle_initial_conn_failure": handled}
                    client = self.successResultOf(self.start(Recorder(), async_=True, **options))
                    client.close(1000, "enough")
                    self.step()
                    reasons = self.all_of(DISCONNECTED, "reason")
                    self.assertEqual(reasons, [wsx.LocalClose(1000, "enough")])
                    self.assertEqual(self.events(), [CONNECTING, DISCONNECTED, TERMINATE])
                    forget(self)

    def test_close_while_waiting(self) -> None:
        """[T2] close() while waiting to connect again counts as a loss as well."""
        self.watch(DISCONNECTED)
        answers = iter([wsx.Reconnect(None, after=60.0), wsx.Ok(None)])
        client = self.open(Recorder(handle_disconnect=lambda *_: next(answers)))
        self.peer.drop()
        self.step()
        client.close()
        self.step()
        [_, second] = self.all_of(DISCONNECTED, "reason")
        self.assertEqual(second, wsx.LocalClose())


class ReceivedTests(TelemetryCase):
    """``wsx.frame.received``."""

    def setUp(self) -> None:
        super().setUp()
        self.handler = Recorder()
        self.watch(RECEIVED)

    def frames(self) -> list[Any]:
        """Gives the frames that were told."""
        return self.all_of(RECEIVED, "frame")

    def test_each_kind(self) -> None:
        """[T3] each message, ping and pong, whether it comes alone or with others."""
        expected = [wsx.Text("t"), wsx.Binary(b"b"), wsx.Ping(b"i"), wsx.Pong(b"o"), wsx.Text("")]
        self.open(self.handler)
        wire = [
            text("t"),
            server_frame(2, b"b"),
            server_frame(9, b"i"),
            server_frame(10, b"o"),
            text(""),
        ]
        self.peer.send(b"".join(wire))
        self.assertEqual(self.frames(), expected)
        for frame in wire:
            self.peer.send(frame)
        self.assertEqual(self.frames(), expected * 2)

    def test_fragments(self) -> None:
        """[T3] a message in fragments is told once, whole; a ping between them before it."""
        self.open(self.handler)
        self.peer.send(server_frame(1, b"a", 0) + server_frame(0, b"b", 0))
        self.assertEqual(self.frames(), [])
        self.peer.send(server_frame(9) + server_frame(0, b"c", FIN))
        self.assertEqual(self.frames(), [wsx.Ping(), wsx.Text("abc")])

    def test_with_the_handshake(self) -> None:
        """[T3] what comes together with the handshake's answer is told."""
        self.start(self.handler)
        self.peer.answer(text("early"))
        self.step()
        self.assertEqual(self.frames(), [wsx.Text("early")])

    def test_own_pong(self) -> None:
        """[T3] the answers to keepalive pings are told, though no callback gets them."""
        self.open(self.handler, ping_interval=5.0)
        self.clock.advance(5)
        [(_, payload)] = self.peer.received()
        self.peer.send(server_frame(10, payload))
        self.assertEqual(self.frames(), [wsx.Pong(payload)])
        self.assertNotIn("handle_pong", self.handler.names)

    def test_no_close_frame(self) -> None:
        """[T3] close frames are not frames here."""
        self.open(self.handler)
        self.peer.send(text("last") + close(1000))
        self.assertEqual(self.frames(), [wsx.Text("last")])

    def test_before_a_violation(self) -> None:
        """[T3] what came whole before the protocol was broken is told, what came broken is not."""
        self.open(self.handler)
        self.peer.send(text("whole") + server_frame(1, b"\xff"))
        self.assertEqual(self.frames(), [wsx.Text("whole")])

    def test_after_our_close_frame(self) -> None:
        """[T3] what is thrown away is not told."""
        client = self.open(self.handler)
        client.close()
        self.peer.send(text("late"))
        self.assertEqual(self.frames(), [])

    def test_while_a_callback_is_pending(self) -> None:
        """[T3] a frame is told once, when it arrives, however long it waits for the handler."""
        pending: Deferred[Any] = Deferred()
        self.handler.answers["handle_frame"] = lambda frame, state: pending
        self.open(self.handler)
        self.peer.send(text("1"))
        self.peer.send(text("2") + text("3"))
        expected = [wsx.Text(number) for number in "123"]
        self.assertEqual(self.frames(), expected)
        self.handler.answers.clear()
        pending.callback(None)
        self.step()
        self.assertEqual(self.handler.arguments("handle_frame"), expected)
        self.assertEqual(self.frames(), expected)

    def test_reconnect(self) -> None:
        """[T3] [T6] frames of later connections are told."""
        self.handler.answers["handle_disconnect"] = again
        self.open(self.handler)
        for number in "123":
            self.peer.send(text(number))
            self.peer.drop()
            self.step()
            self.clock.advance(1)
            self.peer.answer()
        self.assertEqual(self.frames(), [wsx.Text(number) for number in "123"])


class SentTests(TelemetryCase):
    """``wsx.frame.sent``."""

    def setUp(self) -> None:
        super().setUp()
        self.watch(SENT)

    def frames(self) -> list[Any]:
        """Gives the frames that were told."""
        return self.all_of(SENT, "frame")

    def assert_told_what_was_sent(self) -> None:
        """What the peer got is what was told, in that order; close frames apart."""
        told = [
            (
                CODES[type(frame)],
                frame.payload.encode() if type(frame) is wsx.Text else frame.payload,
            )
            for frame in self.frames()
        ]
        sent = [frame for frame in read_frames(self.peer.transport.value()) if frame[0] != 8]
        self.assertEqual(told, sent)
        self.assertTrue(told)

    def test_send_frame(self) -> None:
        """[T4] each kind of frame that send_frame sends."""
        frames = [wsx.Text("t"), wsx.Binary(b"b"), wsx.Ping(b"i"), wsx.Pong(b"o")]
        client = self.open(Recorder())
        for frame in frames:
            client.send_frame(frame)
        self.assertEqual(self.frames(), frames)
        self.assert_told_what_was_sent()

    def test_replies(self) -> None:
        """[T4] [T6] the replies of every callback that may reply, each frame of a list in order."""

        def answer(name: str) -> Callable[[Any, Any], Any]:
            return lambda _, state: wsx.Reply([wsx.Text(name), wsx.Ping(name.encode())], state)

        names = ["connect", "frame", "ping", "pong", "cast", "info"]
        handler = Recorder(**{f"handle_{name}": answer(name) for name in names})
        client = self.open(handler)
        self.peer.send(text("") + server_frame(9) + server_frame(10))
        client.cast("")
        client.info("")
        self.step()
        expected = [frame for name in names for frame in (wsx.Text(name), wsx.Ping(name.encode()))]
        self.assertEqual(self.frames(), expected)
        self.assert_told_what_was_sent()

    def test_asynchronous_reply(self) -> None:
        """[T4] a reply that comes later is told when it is sent."""
        pending: Deferred[Any] = Deferred()
        self.open(Recorder(handle_frame=lambda *_: pending))
        self.peer.send(text(""))
        self.assertEqual(self.frames(), [])
        pending.callback(wsx.Reply(wsx.Text("late"), None))
        self.assertEqual(self.frames(), [wsx.Text("late")])

    def test_default_pong(self) -> None:
        """[T4] the default answer to a ping."""

        class Plain(wsx.Handler[Any]):
            pass

        self.open(Plain)
        self.peer.send(server_frame(9, b"x"))
        self.assertEqual(self.frames(), [wsx.Pong(b"x")])

    def test_keepalive(self) -> None:
        """[T4] keepalive pings, one for one."""
        self.open(Recorder(), ping_interval=5.0, ping_timeout=None)
        self.clock.pump([5, 5, 5])
        self.assertEqual([type(frame) for frame in self.frames()], [wsx.Ping] * 3)
        self.assert_told_what_was_sent()

    def test_no_close_frame(self) -> None:
        """[T4] close frames are not frames here, whoever began."""
        ends: list[Callable[[Any], object]] = [
            lambda client: client.close(),
            lambda client: client.stop(),
            lambda client: self.peer.send(close(1000)),
            lambda client: self.peer.send(b"\xff\xff"),
        ]
        for number, end in enumerate(ends):
            with case(number):
                end(self.open(Recorder()))
                self.assertEqual([code for code, _ in self.peer.received()], [8])
                self.assertEqual(self.frames(), [])

    def test_refused_frames(self) -> None:
        """[T4] what send_frame refuses is not told."""
        client = self.open(Recorder())
        for frame in ("no frame", wsx.Text(7), wsx.Ping(b"x" * 126), wsx.Text("\ud800")):  # type: ignore[arg-type]
            with case(frame):
                self.failureResultOf(client.send_frame(frame))
        client.close()
        self.failureResultOf(client.send_frame(wsx.Text("late")), wsx.NotConnectedError)
        self.assertEqual(self.frames(), [])

    def test_bad_reply(self) -> None:
        """[T4] of a reply that cannot be encoded no frame is sent, and none is told."""
        bad = wsx.Reply([wsx.Text("good"), wsx.Ping(b"x" * 126)], None)
        self.open(Recorder(handle_frame=bad))
        self.peer.send(text(""))
        self.assertEqual(self.frames(), [])

    def test_reply_that_comes_too_late(self) -> None:
        """[T4] a reply to a connection that is open no more is dropped, and not told."""
        pending: Deferred[Any] = Deferred()
        self.open(Recorder(handle_frame=lambda *_: pending))
        self.peer.send(text(""))
        self.peer.drop()
        pending.callback(wsx.Reply(wsx.Text("late"), None))
        self.step()
        self.assertEqual(self.frames(), [])

    def test_pongs_to_a_peer_that_does_not_read(self) -> None:
        """[T4] pongs that are left out are not told; the one that goes out is, then."""
        self.open(
            Recorder(handle_ping=lambda ping, state: wsx.Reply(wsx.Pong(ping.payload), state))
        )
        self.peer.buffer.pauseProducing()
        self.peer.send(b"".join(server_frame(9, number) for number in (b"1", b"2", b"3")))
        self.assertEqual(self.frames(), [])
        self.peer.buffer.resumeProducing()
        self.assertEqual(self.frames(), [wsx.Pong(b"3")])
        self.assert_told_what_was_sent()

    def test_full_buffer(self) -> None:
        """[T4] a frame that waits in the transport's buffer was sent, and is told once."""
        client = self.open(Recorder())
        self.peer.buffer.pauseProducing()
        sent = client.send_frame(wsx.Text("x"))
        self.assertEqual(self.frames(), [wsx.Text("x")])
        self.peer.buffer.resumeProducing()
        self.successResultOf(sent)
        self.assertEqual(self.frames(), [wsx.Text("x")])


class CallbackTests(TelemetryCase):
    """``wsx.callback``: a callback has answered."""

    def setUp(self) -> None:
        super().setUp()
        self.watch(CALLBACK)

    def durations(self) -> list[tuple[str, float]]:
        """Gives the callbacks so far with their durations."""
        return [(metadata["callback"], m["duration"]) for _, m, metadata in self.told]

    def names(self) -> list[str]:
        """Gives the names of the callbacks so far."""
        return [name for name, _ in self.durations()]

    def test_each_callback(self) -> None:
        """Every callback is told, under its name, in order."""
        handler = Recorder()
        client = self.open(handler)
        self.peer.send(text("") + server_frame(2) + server_frame(9) + server_frame(10))
        client.cast("")
        client.info("")
        self.step()
        self.peer.drop()
        self.step()
        self.assertEqual(self.names(), [name for name in handler.names if name != "terminate"])
        self.assertEqual(set(self.names()) | {"terminate"}, set(handler.names))

    def test_duration(self) -> None:
        """The duration is what the client's clock says, in seconds."""

        def work(frame: Any, state: Any) -> None:
            self.clock.rightNow += 0.25

        self.open(Recorder(handle_frame=work))
        self.told.clear()
        self.peer.send(text(""))
        self.assertEqual(self.durations(), [("handle_frame", 0.25)])

    def test_deferred(self) -> None:
        """The duration of an asynchronous callback lasts until its answer."""
        pending: Deferred[Any] = Deferred()
        self.open(Recorder(handle_frame=lambda *_: pending))
        self.told.clear()
        self.peer.send(text(""))
        self.clock.advance(3)
        self.assertEqual(self.told, [])
        pending.callback(None)
        self.assertEqual(self.durations(), [("handle_frame", 3.0)])

    def test_coroutine(self) -> None:
        """So does that of a coroutine."""
        pending: Deferred[Any] = Deferred()

        async def wait(*_: Any) -> None:
            await pending

        self.open(Recorder(handle_cast=wait)).cast("")
        self.step()
        self.told.clear()
        self.clock.advance(2)
        pending.callback(None)
        self.assertEqual(self.durations(), [("handle_cast", 2.0)])

    def test_raising(self) -> None:
        """A callback that raises is told, whether at once or later."""
        pending: Deferred[Any] = Deferred()
        for answer in (ZeroDivisionError(), wsx.Exit(), lambda *_: pending):
            with case(answer):
                client = self.open(Recorder(handle_frame=answer))
                self.told.clear()
                self.peer.send(text(""))
                if callable(answer):
                    pending.errback(ZeroDivisionError())
                self.assertEqual(self.names(), ["handle_frame"])
                self.end(client)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_cancelled(self) -> None:
        """A callback that is cancelled has not answered."""
        client = self.open(Recorder(handle_frame=lambda *_: Deferred()))
        self.peer.send(text(""))
        self.told.clear()
        self.end(client)
        self.assertNotIn("handle_frame", self.names())

    def test_attached_while_pending(self) -> None:
        """Attached while a callback is pending, an observer hears of the next one on."""
        forget(self)
        pending: Deferred[Any] = Deferred()
        handler = Recorder(handle_frame=lambda *_: pending)
        self.open(handler)
        self.peer.send(text(""))
        self.watch(CALLBACK)
        pending.callback(None)
        handler.answers.clear()
        self.peer.send(text("") + text(""))
        self.step()
        self.assertEqual(self.names()[-2:], ["handle_frame", "handle_frame"])

    def test_detached_while_pending(self) -> None:
        """Detached while a callback is pending, it hears nothing, and the client goes on."""
        pending: Deferred[Any] = Deferred()
        handler = Recorder(handle_frame=lambda *_: pending)
        self.open(handler)
        self.peer.send(text(""))
        self.told.clear()
        forget(self)
        pending.callback(None)
        self.peer.send(server_frame(9))
        self.assertIn("handle_ping", handler.names)
        self.assertEqual(self.told, [])

    def test_delivery_is_the_same(self) -> None:
        """Where somebody observes, frames are delivered as otherwise: order, replies, state."""

        def count(frame: Any, state: Any) -> Any:
            return wsx.Reply(wsx.Text(f"{state}"), state + 1) if state % 2 else wsx.Ok(state + 1)

        handler = Recorder(handle_frame=count)
        client = self.open(handler, 0)
        self.peer.send(b"".join(text(f"{number}") for number in range(6)))
        self.assertEqual(client.sys.get_state(), 6)
        self.assertEqual([int(f.payload) for f in handler.arguments("handle_frame")], [*range(6)])
        self.assertEqual(self.peer.received(), [(1, b"1"), (1, b"3"), (1, b"5")])


class TerminateTests(TelemetryCase):
    """``wsx.terminate``: a client has ended, once."""

    def setUp(self) -> None:
        super().setUp()
        self.watch(*LIFE)

    def ended(self) -> Any:
        """Gives the reason that was told: once, last, and the same as ``terminated()``'s."""
        client = self.assert_complete()
        self.assertEqual(client.status, "terminated")
        return self.all_of(TERMINATE, "reason")[0]

    def test_normal(self) -> None:
        """[T5] a client that closed normally."""
        self.open(Recorder()).close()
        self.peer.drop()
        self.step()
        self.assertEqual(self.ended(), wsx.LocalClose())

    def test_crash(self) -> None:
        """[T5] [T6] a crash: the connection ended for that reason, then the client did."""
        for answer in (ZeroDivisionError(), "nonsense"):
            with case(answer):
                self.told.clear()
                self.open(Recorder(handle_frame=answer))
                self.peer.send(text("") + text(""))
                self.peer.drop()
                self.step()
                reason = self.ended()
                self.assertIsInstance(reason, (ZeroDivisionError, wsx.BadResponseError))
                self.assertEqual(self.all_of(DISCONNECTED, "reason"), [reason])
        self.flushLoggedErrors()

    def test_crash_in_each_callback(self) -> None:
        """[T5] [T6] a crash in any callback ends the client once."""
        for name in ("handle_connect", "handle_disconnect", "terminate"):
            with case(name):
                self.told.clear()
                self.start(Recorder(**{name: ZeroDivisionError()})).addErrback(lambda _: None)
                self.peer.answer()
                self.step()
                self.peer.drop()
                self.step()
                self.assertIsInstance(self.ended(), ZeroDivisionError)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_exit_from_terminate(self) -> None:
        """[T5] the reason is the last one: an ``Exit`` from ``terminate`` replaces it."""
        self.open(Recorder(terminate=wsx.Exit("another")))
        self.peer.drop()
        self.step()
        self.assertEqual(self.ended(), "another")

    def test_sys_terminate(self) -> None:
        """[T5] a system request ends it with the given reason."""
        self.open(Recorder()).sys.terminate("why not")
        self.peer.drop()
        self.step()
        self.assertEqual(self.ended(), "why not")

    def test_never_initialised(self) -> None:
        """[T5] [T6] a client whose first attempt failed has ended too, without ``terminate``."""
        handler = Recorder()
        self.server.refusal = Refused()
        self.failureResultOf(self.start(handler), wsx.ConnError)
        self.assertIsInstance(self.ended(), wsx.ConnError)
        self.assertNotIn("terminate", handler.names)

    def test_start_is_cancelled(self) -> None:
        """[T5] [T6] so has one whose start was cancelled."""
        for silent in (True, False):
            with case(silent):
                self.told.clear()
                self.server.silent = silent
                started = self.start(Recorder())
                started.cancel()
                self.step()
                self.failureResultOf(started)
                self.assertIsInstance(self.ended(), wsx.Shutdown)

    def test_name_is_free(self) -> None:
        """[T5] when it is told, the client's name is free again."""
        found: list[Any] = []
        attach(self, "look", TERMINATE, lambda *_: found.append(wsx.whereis("wsx.test.telemetry")))
        client = self.open(Recorder(), name="wsx.test.telemetry")
        self.end(client)
        self.assertEqual(found, [None])

    def test_the_deferreds_fire_after_it(self) -> None:
        """[T5] whoever waits for ``terminated()`` finds that it was told."""
        client = self.open(Recorder())
        seen: list[int] = []
        client.terminated().addCallback(lambda _: seen.append(self.events().count(TERMINATE)))
        self.end(client)
        self.assertEqual(seen, [1])


class EveryStateTests(TelemetryCase):
    """[T6] whatever ends a client in whatever state: one end, and no connection left open."""

    def connecting(self) -> Any:
        self.server.silent = True
        return self.successResultOf(self.start(Recorder(), async_=True))

    def shaking_hands(self) -> Any:
        return self.successResultOf(self.start(Recorder(), async_=True))

    def initialising(self) -> Any:
        client = self.shaking_hands()
        client.handler.answers["handle_connect"] = lambda *_: Deferred()
        self.peer.answer()
        self.step()
        return client

    def is_open(self) -> Any:
        return self.open(Recorder())

    def suspended(self) -> Any:
        client = self.open(Recorder())
        client.sys.suspend()
        return client

    def busy(self) -> Any:
        client = self.open(Recorder(handle_frame=lambda *_: Deferred()))
        self.peer.send(text(""))
        return client

    def closing(self) -> Any:
        client = self.open(Recorder())
        client.close()
        return client

    def closed_by_peer(self) -> Any:
        client = self.open(Recorder())
        self.peer.send(close(1000))
        return client

    def disconnected(self) -> Any:
        client = self.open(Recorder(handle_disconnect=lambda *_: Deferred()))
        self.peer.drop()
        self.step()
        return client

    def waiting(self) -> Any:
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=9.0)))
        self.peer.drop()
        self.step()
        return client

    def connecting_again(self) -> Any:
        client = self.open(Recorder(handle_disconnect=again))
        self.peer.drop()
        self.step()
        self.clock.advance(1)
        return client

    def open_again(self) -> Any:
        client = self.connecting_again()
        self.peer.answer()
        self.step()
        return client

    def terminating(self) -> Any:
        client = self.open(Recorder(terminate=lambda *_: Deferred()))
        self.peer.drop()
        self.step()
        return client

    def terminated(self) -> Any:
        client = self.open(Recorder())
        self.peer.drop()
        self.step()
        return client

    def check(self, *ends: Callable[[Any], object]) -> None:
        """Brings a client into each state and lets these things happen there."""
        for reach in (
            self.connecting,
            self.shaking_hands,
            self.initialising,
            self.is_open,
            self.suspended,
            self.busy,
            self.closing,
            self.closed_by_peer,
            self.disconnected,
            self.waiting,
            self.connecting_again,
            self.open_again,
            self.terminating,
            self.terminated,
        ):
            with case(reach.__name__):
                self.server.__init__(self.clock)  # type: ignore[misc]
                self.told.clear()
                self.watch(*LIFE, RECEIVED, SENT)
                client = reach()
                for end in ends:
                    end(client)
                self.let_time_pass()
                self.assert_complete()
                forget(self)

    def test_stop(self) -> None:
        """[T6] stop."""
        self.check(lambda client: client.stop())

    def test_stop_twice(self) -> None:
        """[T6] stop, and again a step later."""
        self.check(lambda client: client.stop(), lambda _: self.step(), lambda c: c.stop())

    def test_abort(self) -> None:
        """[T6] abort."""
        self.check(lambda client: client.abort())

    def test_stop_and_abort(self) -> None:
        """[T6] abort after stop."""
        self.check(lambda client: client.stop(), lambda client: client.abort())

    def test_close_and_stop(self) -> None:
        """[T6] stop after close."""
        self.check(lambda client: client.close(), lambda _: self.step(), lambda c: c.stop())

    def test_sys_terminate(self) -> None:
        """[T6] a system request, which an ended client refuses."""
        self.check(lambda client: client.sys.terminate("x").addErrback(lambda _: None))

    def test_stop_while_the_peer_drops(self) -> None:
        """[T6] the connection is lost right after stop."""

        def drop(_: Any) -> None:
            if self.server.peers:
                self.peer.drop()

        self.check(lambda client: client.stop(), drop)


class LongLifeTests(TelemetryCase):
    """[T6] one life with everything in it."""

    def test_everything(self) -> None:
        """[T6] the whole story in order, callbacks apart: nothing is missing, nothing is double."""

        def disconnect(status: Any, state: Any) -> Any:
            return wsx.Reconnect(state + 1, after=1.0) if state < 3 else wsx.Ok(state)

        handler = Recorder(
            handle_connect=lambda _, state: wsx.Reply(wsx.Text("hello"), state),
            handle_ping=lambda ping, state: wsx.Reply(wsx.Pong(ping.payload), state),
            handle_disconnect=disconnect,
        )
        self.watch(*LIFE, RECEIVED, SENT)
        self.server.refusal = Refused()
        started = self.start(handler, 0, handle_initial_conn_failure=True, ping_interval=20.0)
        self.step()
        self.server.refusal = None
        self.clock.advance(1)  # the second attempt, which the server refuses
        self.peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        self.step()
        self.clock.advance(1)  # the third works
        self.peer.answer(text("early"))
        self.step()
        client = self.successResultOf(started)
        self.peer.send(server_frame(9, b"p"))
        self.clock.advance(20)
        self.peer.send(server_frame(10, self.peer.received()[-1][1]))
        self.peer.drop()
        self.step()
        self.clock.advance(1)
        self.peer.answer()
        self.step()
        client.send_frame(wsx.Binary(b"b"))
        client.close()
        self.peer.drop()
        self.step()
        self.assertEqual(
            self.events(),
            [
                *[CONNECTING, DISCONNECTED] * 2,
                *[CONNECTING, CONNECTED],
                *[SENT, RECEIVED],  # hello, early
                *[RECEIVED, SENT],  # a ping and its pong
                *[SENT, RECEIVED],  # keepalive
                *[DISCONNECTED, CONNECTING, CONNECTED],
                *[SENT, SENT],  # hello, b
                *[DISCONNECTED, TERMINATE],
            ],
        )
        kinds = [type(reason) for reason in self.all_of(DISCONNECTED, "reason")]
        expected = [wsx.ConnError, wsx.RequestError, wsx.ConnectionDropped, wsx.LocalClose]
        self.assertEqual(kinds, expected)
        self.assert_complete()

    def test_two_clients(self) -> None:
        """[T6] each client's story is its own."""
        self.watch(*LIFE)
        first = self.open(Recorder())
        peer = self.peer
        second = self.open(Recorder())
        self.peer.drop()
        self.step()
        peer.drop()
        self.step()
        whole = [CONNECTING, CONNECTED, DISCONNECTED, TERMINATE]
        for client in (first, second):
            mine = [event for event, _, metadata in self.told if metadata["client"] is client]
            self.assertEqual(mine, whole)


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
            (lifecycle.Lifecycle, "answered"),
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
        few, many = self.looks_for(1), self.looks_for(BATCH // 2 - 1)
        self.assertEqual(few, many)
        self.assertLessEqual(many, 2)
        self.assertEqual(self.work, [])

    def test_told_one_by_one(self) -> None:
        """With nothing attached no frame is told, neither received nor sent."""
        self.patch(lifecycle.Lifecycle, "_tell", lambda *_, **__: self.work.append("_tell"))
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

"""Tests of the telemetry of connections, and of the measurements and metadata of every event."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refused

import wsx
from wsx import telemetry
from wsx.test.support import (
    Recorder,
    case,
    close,
    server_frame,
    text,
)
from wsx.test.support.telemetry import (
    CALLBACK,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    LIFE,
    OVERDUE,
    RECEIVED,
    SECRET,
    SENT,
    SLOW,
    TERMINATE,
    WITHOUT_NAMES,
    TelemetryCase,
    again,
    attach,
    forget,
)


class ContentTests(TelemetryCase):
    """Measurements and metadata of each event."""

    further: ClassVar[dict[str, set[str]]] = {
        CONNECTING: set(),
        CONNECTED: set(),
        DISCONNECTED: {"reason"},
        RECEIVED: {"frame"},
        SENT: {"frame"},
        CALLBACK: {"callback"},
        SLOW: {"callback"},
        OVERDUE: {"callback"},
        TERMINATE: {"reason"},
    }

    def whole_life(self, handler: Any = None, **options: Any) -> Any:
        """Run a client that emits every event, and return it."""
        handler = handler or Recorder()
        client = self.open(handler, **options)
        client.send_frame(wsx.Text("out"))
        answer: Deferred[Any] = Deferred()
        self.patch(handler, "handle_pong", lambda *_: answer)
        self.peer.send(server_frame(10))
        self.clock.pump([1.0] * 10)
        answer.callback(None)
        self.patch(handler, "handle_frame", lambda *_: self.clock.pump([1.0]))
        self.peer.send(text("in"))
        self.peer.send(close(1000))
        self.peer.drop()
        self.step()
        self.assertEqual(set(self.events()), set(WITHOUT_NAMES))
        return client

    def test_metadata(self) -> None:
        """[T1] [T2] [T3] [T4] [T5] The metadata have the common keys and those of the event."""
        self.watch()
        self.whole_life()
        for event, _, metadata in self.recorded:
            with case(event):
                common = {"client", "name", "handler", "conn"}
                self.assertEqual(set(metadata), common | self.further[event])

    def test_client(self) -> None:
        """``client`` is the client."""
        self.watch()
        client = self.whole_life()
        for event in WITHOUT_NAMES:
            self.assertEqual(set(self.all_of(event, "client")), {client}, event)

    def test_name(self) -> None:
        """``name`` is the name passed to ``start``: a str, ``Global``, ``Via``, or None."""
        registry = SimpleNamespace(
            register_name=lambda key, client: True,
            unregister_name=lambda key: None,
            whereis_name=lambda key: None,
            send=lambda key, message: None,
        )
        names = (None, "wsx.test.telemetry", wsx.Global(("t", 7)), wsx.Via(registry, "k"))
        for name in names:
            with case(name):
                self.recorded.clear()
                self.watch()
                self.whole_life(name=name)
                forget(self)
                self.assertTrue(all(metadata["name"] == name for _, _, metadata in self.recorded))

    def test_handler(self) -> None:
        """``handler`` is the handler class, also if an instance was passed to ``start``."""

        class Silent(wsx.Handler[Any]):
            def handle_frame(self, frame: Any, state: Any) -> None:
                return None

        self.watch()
        for handler in (Silent, Silent()):
            with case(handler):
                self.recorded.clear()
                self.whole_life(handler)
                self.assertEqual(
                    {metadata["handler"] for _, _, metadata in self.recorded}, {Silent}
                )

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
        """``conn`` has the URL and, once received, the server's response, but no secrets."""
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
        for event, _, metadata in self.recorded:
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
        """The measurement ``time`` is the time in nanoseconds since the epoch."""
        self.patch(telemetry, "time", SimpleNamespace(time_ns=lambda: 1_700_000_000_123_456_789))
        self.watch()
        self.whole_life()
        for event, measurements, _ in self.recorded:
            self.assertEqual(measurements["time"], 1_700_000_000_123_456_789, event)

    def test_measurements(self) -> None:
        """The events about callbacks have further measurements."""
        self.watch()
        self.whole_life()
        for event, measurements, _ in self.recorded:
            further = {CALLBACK: {"duration"}, SLOW: {"duration", "calls"}}
            further[OVERDUE] = {"duration"}
            expected = {"time"} | further.get(event, set())
            self.assertEqual(set(measurements), expected, event)


class ConnectTests(TelemetryCase):
    """``wsx.connecting`` and ``wsx.connected``."""

    def test_first(self) -> None:
        """[T1] The first connection emits each event once."""
        self.watch(CONNECTING, CONNECTED)
        self.start(Recorder())
        self.assertEqual(self.events(), [CONNECTING])
        self.peer.answer()
        self.assertEqual(self.events(), [CONNECTING, CONNECTED])
        self.step()
        self.assertEqual(self.events(), [CONNECTING, CONNECTED])

    def test_before_handle_connect(self) -> None:
        """[T1] ``wsx.connected`` precedes ``handle_connect`` and the first frame."""
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
        """[T1] [T6] Each reconnect emits each event once."""
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
        """A failed attempt emits ``wsx.connecting`` but not ``wsx.connected``."""
        self.watch(CONNECTING, CONNECTED)
        self.server.refusal = Refused()
        self.start(Recorder(handle_disconnect=again), handle_initial_conn_failure=True, async_=True)
        for _ in range(2):
            self.step()
            self.clock.advance(1)
        self.assertEqual(self.events(), [CONNECTING] * 3)

    def test_another_conn(self) -> None:
        """``conn`` is the Conn of the ``Reconnect`` result, beginning with the attempt."""
        other = wsx.Conn("ws://other.test/", endpoint=self.server, ping_interval=None)
        self.watch(CONNECTING, CONNECTED, DISCONNECTED)
        self.open(Recorder(handle_disconnect=lambda status, state: wsx.Reconnect(state, other, 0)))
        self.peer.drop()
        self.step()
        self.peer.answer()
        hosts = [(event, metadata["conn"].parsed.host) for event, _, metadata in self.recorded]
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
        """``wsx.connected`` is emitted immediately while the client is suspended."""
        self.watch(CONNECTED)
        client = self.successResultOf(self.start(Recorder(), async_=True))
        client.sys.suspend()
        self.peer.answer()
        self.assertEqual(self.events(), [CONNECTED])
        client.sys.resume()
        self.step()
        self.assertEqual(self.events(), [CONNECTED])

    def test_start_that_never_began(self) -> None:
        """A start that fails because the name is taken emits no events."""
        self.open(Recorder(), name="wsx.test.telemetry")
        self.watch()
        self.failureResultOf(
            self.start(Recorder(), name="wsx.test.telemetry"), wsx.AlreadyStartedError
        )
        self.assertEqual(self.recorded, [])
        self.end(wsx.whereis("wsx.test.telemetry"))


class DisconnectTests(TelemetryCase):
    """``wsx.disconnected``: emitted when a connection ends and when an attempt fails."""

    def ways(self) -> dict[str, Callable[[Any], object]]:
        """Return the ways in which an open connection ends with ``handle_disconnect``."""
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
        """[T2] Every end emits one event, with the reason of ``handle_disconnect``."""
        self.watch(DISCONNECTED)
        for what, happen in self.ways().items():
            with case(what):
                self.recorded.clear()
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
        """[T2] The reason of a connection that exceeds ``data_timeout`` is DataTimeout."""
        self.watch(DISCONNECTED)
        self.open(Recorder(), data_timeout=3.0)
        self.let_time_pass()
        [reason] = self.all_of(DISCONNECTED, "reason")
        self.assertIsInstance(reason, wsx.DataTimeout)

    def test_conn(self) -> None:
        """[T2] ``conn`` has the server's response, and none for a failed attempt."""
        self.watch(DISCONNECTED)
        self.open(Recorder(handle_disconnect=again))
        self.peer.drop()
        self.server.refusal = Refused()
        self.step()
        self.clock.advance(1)
        statuses = [conn.resp_status for conn in self.all_of(DISCONNECTED, "conn")]
        self.assertEqual(statuses, [101, None])

    def refuse_tcp(self) -> None:
        pass  # The endpoint has refused the connection.

    def refuse_with_status(self) -> None:
        self.peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    def answer_nonsense(self) -> None:
        self.peer.answer(accept="wrong")

    def hang_up(self) -> None:
        self.peer.drop()

    def never_answer(self) -> None:
        self.clock.advance(6)

    def failures(self) -> list[tuple[Callable[[], None], type]]:
        """Return the ways in which an attempt can fail, with the class of the reason."""
        return [
            (self.refuse_tcp, wsx.ConnError),
            (self.refuse_with_status, wsx.RequestError),
            (self.answer_nonsense, wsx.HandshakeError),
            (self.hang_up, wsx.ConnError),
            (self.never_answer, wsx.ConnError),
        ]

    def fail_one(self, fail: Callable[[], None], **options: Any) -> Deferred[Any]:
        self.recorded.clear()
        self.server.refusal = Refused() if fail == self.refuse_tcp else None
        started = self.start(Recorder(), **options)
        fail()
        self.step()
        return started

    def test_first_attempt(self) -> None:
        """[T2] A failed first attempt emits one event, whether the handler is asked or not."""
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
        """[T2] [T6] Each later attempt that fails emits one event."""
        for fail, kind in self.failures():
            with case(fail.__name__):
                self.recorded.clear()
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
        """[T2] ``close()`` while connecting emits one event with the reason LocalClose."""
        for silent in (True, False):
            for handled in (True, False):
                with case((silent, handled)):
                    self.recorded.clear()
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
        """[T2] ``close()`` while waiting to reconnect emits an event with LocalClose."""
        self.watch(DISCONNECTED)
        answers = iter([wsx.Reconnect(None, after=60.0), wsx.Ok(None)])
        client = self.open(Recorder(handle_disconnect=lambda *_: next(answers)))
        self.peer.drop()
        self.step()
        client.close()
        self.step()
        [_, second] = self.all_of(DISCONNECTED, "reason")
        self.assertEqual(second, wsx.LocalClose())

"""Tests of the telemetry of the whole life of a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refused

import wsx
from wsx.test.support import (
    Recorder,
    case,
    close,
    server_frame,
    text,
)
from wsx.test.support.telemetry import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    LIFE,
    RECEIVED,
    SENT,
    TERMINATE,
    TelemetryCase,
    again,
    attach,
    forget,
)


class TerminateTests(TelemetryCase):
    """``wsx.terminate``: emitted once, when a client has ended."""

    def setUp(self) -> None:
        super().setUp()
        self.watch(*LIFE)

    def ended(self) -> Any:
        """Return the reason of the event.

        It is emitted once, last, and ``terminated()`` has the same.
        """
        client = self.assert_complete()
        self.assertEqual(client.status, "terminated")
        return self.all_of(TERMINATE, "reason")[0]

    def test_normal(self) -> None:
        """[T5] A client that closes normally emits the event with LocalClose."""
        self.open(Recorder()).close()
        self.peer.drop()
        self.step()
        self.assertEqual(self.ended(), wsx.LocalClose())

    def test_crash(self) -> None:
        """[T5] [T6] After a crash, both events have the exception as reason."""
        for answer in (ZeroDivisionError(), "nonsense"):
            with case(answer):
                self.recorded.clear()
                self.open(Recorder(handle_frame=answer))
                self.peer.send(text("") + text(""))
                self.peer.drop()
                self.step()
                reason = self.ended()
                self.assertIsInstance(reason, (ZeroDivisionError, wsx.BadResponseError))
                self.assertEqual(self.all_of(DISCONNECTED, "reason"), [reason])
        self.flushLoggedErrors()

    def test_crash_in_each_callback(self) -> None:
        """[T5] [T6] A crash in any callback emits the event once."""
        for name in ("handle_connect", "handle_disconnect", "terminate"):
            with case(name):
                self.recorded.clear()
                self.start(Recorder(**{name: ZeroDivisionError()})).addErrback(lambda _: None)
                self.peer.answer()
                self.step()
                self.peer.drop()
                self.step()
                self.assertIsInstance(self.ended(), ZeroDivisionError)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_exit_from_terminate(self) -> None:
        """[T5] An ``Exit`` raised in ``terminate`` replaces the reason."""
        self.open(Recorder(terminate=wsx.Exit("another")))
        self.peer.drop()
        self.step()
        self.assertEqual(self.ended(), "another")

    def test_sys_terminate(self) -> None:
        """[T5] ``sys.terminate`` emits the event with the given reason."""
        self.open(Recorder()).sys.terminate("why not")
        self.peer.drop()
        self.step()
        self.assertEqual(self.ended(), "why not")

    def test_never_initialised(self) -> None:
        """[T5] [T6] A failed first attempt emits the event, without ``terminate``."""
        handler = Recorder()
        self.server.refusal = Refused()
        self.failureResultOf(self.start(handler), wsx.ConnError)
        self.assertIsInstance(self.ended(), wsx.ConnError)
        self.assertNotIn("terminate", handler.names)

    def test_start_is_cancelled(self) -> None:
        """[T5] [T6] A cancelled start emits the event."""
        for silent in (True, False):
            with case(silent):
                self.recorded.clear()
                self.server.silent = silent
                started = self.start(Recorder())
                started.cancel()
                self.step()
                self.failureResultOf(started)
                self.assertIsInstance(self.ended(), wsx.Shutdown)

    def test_name_is_free(self) -> None:
        """[T5] When the event is emitted, the client's name is free."""
        found: list[Any] = []
        attach(self, "look", TERMINATE, lambda *_: found.append(wsx.whereis("wsx.test.telemetry")))
        client = self.open(Recorder(), name="wsx.test.telemetry")
        self.end(client)
        self.assertEqual(found, [None])

    def test_the_deferreds_fire_after_it(self) -> None:
        """[T5] The event is emitted before the Deferreds of ``terminated()`` fire."""
        client = self.open(Recorder())
        seen: list[int] = []
        client.terminated().addCallback(lambda _: seen.append(self.events().count(TERMINATE)))
        self.end(client)
        self.assertEqual(seen, [1])


class EveryStateTests(TelemetryCase):
    """[T6] Every way to end a client in any state emits one event."""

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
        """For each state: bring a client into it, apply the ends, and check the events."""
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
                self.recorded.clear()
                self.watch(*LIFE, RECEIVED, SENT)
                client = reach()
                for end in ends:
                    end(client)
                self.let_time_pass()
                self.assert_complete()
                forget(self)

    def test_stop(self) -> None:
        """[T6] ``stop`` in each state."""
        self.check(lambda client: client.stop())

    def test_stop_twice(self) -> None:
        """[T6] ``stop`` in each state, and again one step later."""
        self.check(lambda client: client.stop(), lambda _: self.step(), lambda c: c.stop())

    def test_abort(self) -> None:
        """[T6] ``abort`` in each state."""
        self.check(lambda client: client.abort())

    def test_stop_and_abort(self) -> None:
        """[T6] ``abort`` right after ``stop``."""
        self.check(lambda client: client.stop(), lambda client: client.abort())

    def test_close_and_stop(self) -> None:
        """[T6] ``stop`` one step after ``close``."""
        self.check(lambda client: client.close(), lambda _: self.step(), lambda c: c.stop())

    def test_sys_terminate(self) -> None:
        """[T6] ``sys.terminate`` in each state; an ended client refuses it."""
        self.check(lambda client: client.sys.terminate("x").addErrback(lambda _: None))

    def test_stop_while_the_peer_drops(self) -> None:
        """[T6] The server drops TCP right after ``stop``."""

        def drop(_: Any) -> None:
            if self.server.peers:
                self.peer.drop()

        self.check(lambda client: client.stop(), drop)


class LongLifeTests(TelemetryCase):
    """[T6] Clients with several connections."""

    def test_everything(self) -> None:
        """[T6] All events except those of callbacks are emitted once and in order."""

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
        self.clock.advance(1)  # The server refuses the second attempt.
        self.peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        self.step()
        self.clock.advance(1)  # The third attempt succeeds.
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
        """[T6] The events of two clients do not mix."""
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
            mine = [event for event, _, metadata in self.recorded if metadata["client"] is client]
            self.assertEqual(mine, whole)

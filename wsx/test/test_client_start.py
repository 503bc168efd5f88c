"""Tests of starting a client: arguments, cancellation and the parent it is linked to."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock

import wsx
from wsx.frames import CLOSE
from wsx.test.support import URL, MemoryServer, Recorder, close, text
from wsx.test.support.clients import ClientCase


class StartTests(ClientCase):
    """Arguments of ``start``, and when its Deferred fires."""

    def test_url(self) -> None:
        """[S1] A client started with a URL is open once the handshake is complete."""
        client = self.open(Recorder(), url="ws://example.test/a/b?c=d")
        self.assertEqual(client.status, "open")
        self.assertEqual(client.conn.url, "ws://example.test/a/b?c=d")

    def test_request_target(self) -> None:
        """[S1] The request has path, query and host of the URL."""
        self.start(Recorder(), url="ws://example.test:8080/a/b?c=d").addErrback(lambda _: None)
        line, headers = self.peer.request
        self.assertEqual(line, "GET /a/b?c=d HTTP/1.1")
        self.assertEqual(headers["host"], "example.test:8080")

    def test_conn(self) -> None:
        """[S2] A client can be started with a Conn, whose options are used."""
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None, subprotocols=["chat"])
        started = wsx.start(conn, Recorder(), reactor=self.clock)
        self.assertEqual(self.peer.request[1]["sec-websocket-protocol"], "chat")
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).conn.url, URL)

    def test_bad_url(self) -> None:
        """[S3] A bad URL fails the Deferred with URLError, and nothing is started."""
        for url in ("", "example.test", "ftp://example.test/", "ws://", "ws://a/#b", "ws://a:b/"):
            with self.given(url=url):
                error = self.failed_start(self.start(Recorder(), url=url), wsx.URLError)
                self.assertEqual(error.url, url)
                self.assertIsInstance(error, ValueError)
                self.assertEqual(self.server.attempts, 0)

    def test_default_ports(self) -> None:
        """[S4] [S5] Each scheme has its default port; http and https are synonyms."""
        ports = {"ws": 80, "http": 80, "wss": 443, "https": 443}
        for scheme, port in ports.items():
            with self.given(scheme=scheme):
                reactor = MemoryReactorClock()
                started = wsx.start(f"{scheme}://127.0.0.1", Recorder(), reactor=reactor)
                self.assertEqual([call[:2] for call in reactor.tcpClients], [("127.0.0.1", port)])
                started.cancel()
                self.failureResultOf(started, CancelledError)

    def test_port_of_the_url(self) -> None:
        """[S4] A port in the URL replaces the default."""
        reactor = MemoryReactorClock()
        started = wsx.start("ws://127.0.0.1:8080/", Recorder(), reactor=reactor)
        self.assertEqual([call[:2] for call in reactor.tcpClients], [("127.0.0.1", 8080)])
        started.cancel()
        self.failureResultOf(started, CancelledError)

    def test_default_path(self) -> None:
        """[S4] An empty path means ``/``."""
        for url, line in (
            ("ws://example.test", "GET / HTTP/1.1"),
            ("ws://example.test?a=b", "GET /?a=b HTTP/1.1"),
        ):
            with self.given(url=url):
                self.start(Recorder(), url=url)
                self.assertEqual(self.peer.request[0], line)

    def test_http_is_ws(self) -> None:
        """[S5] An http URL is a ws URL."""
        client = self.open(Recorder(), url="http://example.test/feed")
        self.assertEqual(client.status, "open")

    def test_not_before_the_handshake(self) -> None:
        """The Deferred does not fire before the opening handshake is complete."""
        started = self.start(Recorder())
        self.step()
        self.assertNoResult(started)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_not_before_handle_connect_answered(self) -> None:
        """The Deferred fires once ``handle_connect`` has returned, and not before."""
        answer: Deferred[Any] = Deferred()
        started = self.start(Recorder(handle_connect=lambda *_: answer))
        self.peer.answer()
        self.step()
        self.assertNoResult(started)
        answer.callback(None)
        self.step()
        self.successResultOf(started)

    def test_answered_after_the_loss(self) -> None:
        """It also fires if the connection is lost before ``handle_connect`` returns."""
        answer: Deferred[Any] = Deferred()
        recorder = Recorder(handle_connect=lambda *_: answer)
        started = self.start(recorder)
        self.peer.answer()
        self.peer.drop()
        self.step()
        self.assertNoResult(started)
        self.assertEqual(recorder.names, ["handle_connect"])
        answer.callback(None)
        self.step()
        self.successResultOf(started)
        self.assertEqual(recorder.names, ["handle_connect", "handle_disconnect", "terminate"])

    def test_handle_connect_raises(self) -> None:
        """The Deferred fails with the exception of ``handle_connect``."""
        started = self.start(Recorder(handle_connect=KeyError("no")))
        self.peer.answer()
        self.peer.drop()
        self.step()
        self.failureResultOf(started, KeyError)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_reason_that_is_no_exception(self) -> None:
        """A reason that is not an exception fails the Deferred as ``ClientEnded(reason)``."""
        started = self.start(Recorder(handle_connect=wsx.Exit("enough")))
        self.peer.answer()
        self.peer.drop()
        error = self.failed_start(started, wsx.ClientEnded)
        self.assertEqual(error.reason, "enough")

    def test_exit_without_a_reason(self) -> None:
        """``Exit()`` in the first ``handle_connect`` is ``ClientEnded(LocalClose(1000))``."""
        started = self.start(Recorder(handle_connect=wsx.Exit()))
        self.peer.answer()
        self.peer.drop()
        error = self.failed_start(started, wsx.ClientEnded)
        self.assertEqual(error.reason, wsx.LocalClose(1000, ""))

    def test_close_is_an_answer_too(self) -> None:
        """If the first ``handle_connect`` returns ``Close``, the Deferred fires."""
        started = self.start(Recorder(handle_connect=lambda _, state: wsx.Close(state)))
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "closing")

    def test_async(self) -> None:
        """[S6] With ``async_``, the Deferred fires before there is a connection."""
        self.server.silent = True
        client = self.successResultOf(self.start(Recorder(), async_=True))
        self.assertEqual(client.status, "connecting")

    def test_async_opens(self) -> None:
        """[S6] A client started with ``async_`` connects like any other."""
        recorder = Recorder()
        client = self.successResultOf(self.start(recorder, async_=True))
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(recorder.names, ["handle_connect"])

    def test_async_failure(self) -> None:
        """[S7] A failure after an asynchronous start ends the client, not the caller."""
        for delayed in (False, True):
            with self.given(delayed=delayed):
                server = MemoryServer(self.clock)
                server.silent, refusal = delayed, ConnectionRefusedError()
                server.refusal = None if delayed else refusal
                recorder = Recorder()
                client = self.successResultOf(self.start(recorder, async_=True, endpoint=server))
                ended = client.terminated()
                self.clock.advance(6)
                self.step()
                self.assertIsInstance(self.successResultOf(ended), wsx.ConnError)
                self.assertEqual(client.status, "terminated")
                self.assertEqual(recorder.names, ["terminate"])
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_handler_class(self) -> None:
        """A handler class is instantiated without arguments for each client."""
        first, second = self.open(Recorder), self.open(Recorder)
        self.assertIs(type(first.handler), Recorder)
        self.assertIsNot(first.handler, second.handler)

    def test_handler_class_with_a_type_argument(self) -> None:
        """The type argument of a generic handler has no effect at run time."""
        self.assertIs(type(self.open(wsx.Handler[int]).handler), wsx.Handler)

    def test_handler_instance(self) -> None:
        """A handler instance is used as it is."""
        recorder = Recorder()
        self.assertIs(self.open(recorder).handler, recorder)

    def test_handler_client(self) -> None:
        """``handler.client`` is the handler's client, set before the first callback."""

        class Handler(Recorder):
            def handle_connect(self, conn: Any, state: Any) -> Any:
                self.seen = self.client

        for handler in (Handler(), Handler):
            with self.given(handler=handler):
                client: Any = self.open(handler)
                self.assertIs(client.handler.seen, client)
                self.assertIs(client.handler.client, client)

    def test_default_state(self) -> None:
        """The initial state is the third argument, by default None."""
        for arguments, state in (((), None), (([1],), [1])):
            recorder = Recorder()
            self.open(recorder, *arguments)
            self.assertEqual(recorder.calls[0][2], state)

    def test_never_inside_start(self) -> None:
        """No callback runs inside the call of ``start``, even if the server is fast."""

        class Fast(MemoryServer):
            def connect(self, factory: Any) -> Deferred[Any]:
                connecting = super().connect(factory)
                self.peer.answer(text("early"))
                return connecting

        recorder = Recorder()
        started = self.start(recorder, endpoint=Fast(self.clock))
        self.assertEqual(recorder.names, [])
        self.step()
        self.successResultOf(started)
        self.assertEqual(recorder.names, ["handle_connect", "handle_frame"])

    def test_refusal_never_inside_start(self) -> None:
        """No callback runs inside the call of ``start`` if the attempt fails at once."""
        self.server.refusal = ConnectionRefusedError()
        for option, callback in (
            ("handle_initial_conn_failure", "handle_disconnect"),
            ("async_", "terminate"),
        ):
            with self.given(option=option):
                recorder = Recorder()
                started = self.start(recorder, **{option: True})
                self.assertEqual(recorder.names, [])
                self.step()
                self.assertEqual(recorder.names, [callback])
                started.addErrback(lambda _: None)


class WrongArgumentTests(ClientCase):
    """A wrong argument fails the Deferred and starts nothing."""

    def assert_refused(self, handler: Any, *kinds: type[BaseException], **options: Any) -> None:
        started = self.start(handler, **options)
        self.failed_start(started, *kinds)
        self.assertEqual(self.server.attempts, 0)

    def test_options(self) -> None:
        """Unknown options and values out of range are TypeErrors or ValueErrors."""
        wrong: list[dict[str, Any]] = [
            {"colour": "red"},
            {"async": True},
            {"socket_connect_timeout": 0},
            {"socket_recv_timeout": -1},
            {"close_timeout": "5"},
            {"ping_interval": 0},
            {"max_message_size": -1},
            {"compression": "brotli"},
            {"subprotocols": "chat"},
            {"extra_headers": [("X-A", "1\r\nX-B: 2")]},
            {"extra_headers": [("X A", "1")]},
            {"proxy": "socks://proxy.test"},
            {"reconnect": 5},
            {"reconnect": True},
            {"stable_after": -1},
            {"stable_after": "5"},
            {"mailbox_limit": -1},
            {"mailbox_limit": None},
            {"name": 42},
            {"name": b"feed"},
            {"name": ""},
        ]
        for options in wrong:
            with self.given(options=options):
                self.assert_refused(Recorder(), TypeError, ValueError, **options)

    def test_handler(self) -> None:
        """A value that is neither a Handler subclass nor an instance is a TypeError."""
        for handler in (None, object(), object, "Echo", lambda frame, state: None):
            with self.given(handler=handler):
                self.assert_refused(handler, TypeError)

    def test_handler_that_cannot_be_made(self) -> None:
        """An exception of the handler's constructor fails the Deferred."""

        class NeedsArguments(Recorder):
            def __init__(self, argument: object) -> None:
                super().__init__()

        class Broken(Recorder):
            def __init__(self) -> None:
                raise LookupError("no such thing")

        self.assert_refused(NeedsArguments, TypeError, name="no handler")
        self.assert_refused(Broken, LookupError, name="no handler")
        self.assertIsNone(wsx.whereis("no handler"))

    def test_url_is_no_str(self) -> None:
        """A value that is neither a URL nor a Conn fails the Deferred."""
        for url in (None, 42, b"ws://example.test/"):
            with self.given(url=url):
                self.assert_refused(Recorder(), wsx.URLError, TypeError, url=url)

    def test_conn_and_options_of_a_conn(self) -> None:
        """Options of ``Conn`` beside a Conn fail the Deferred."""
        conn = wsx.Conn(URL, endpoint=self.server)
        started = wsx.start(conn, Recorder(), reactor=self.clock, close_timeout=1.0)
        self.failed_start(started, TypeError)
        self.assertEqual(self.server.attempts, 0)

    def test_endpoint_that_cannot_be_used(self) -> None:
        """An invalid endpoint fails the Deferred. The name is free and no timer is left."""
        for endpoint in ("nonsense", "tcp:", "tcp:example.test:http", 42):
            with self.given(endpoint=endpoint):
                name = f"at {endpoint}"
                started = self.start(Recorder(), endpoint=endpoint, name=name)
                self.failed_start(started, Exception)
                self.assertIsNone(wsx.whereis(name))

    def test_endpoint_that_raises(self) -> None:
        """An endpoint whose ``connect`` raises is a failed attempt, and leaves nothing."""

        class Broken(MemoryServer):
            def connect(self, factory: Any) -> Deferred[Any]:
                raise RuntimeError("not today")

        started = self.start(Recorder(), endpoint=Broken(self.clock), name="broken endpoint")
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, RuntimeError)
        self.assertIsNone(wsx.whereis("broken endpoint"))


class CancelTests(ClientCase):
    """Cancelling the Deferred of ``start`` stops the attempt, in every phase."""

    def assert_cancelled(self, started: Deferred[Any], recorder: Recorder, *names: str) -> None:
        """Assert that the start failed, nothing is left, and these callbacks were called."""
        self.failed_start(started, CancelledError)
        self.assertEqual(recorder.names, list(names))
        self.assertIsNone(wsx.whereis("feed"))

    def test_while_connecting(self) -> None:
        """While TCP is being connected, the attempt is cancelled."""
        self.server.silent = True
        recorder = Recorder()
        started = self.start(recorder, name="feed")
        started.cancel()
        self.assert_cancelled(started, recorder)
        self.assertEqual(self.server.cancelled, 1)

    def test_during_the_handshake(self) -> None:
        """While the response is pending, TCP is aborted."""
        for said in (b"", b"HTTP/1.1 101 Swi", b"HTTP/1.1 500 Oh\r\n\r\nbody"):
            with self.given(said=said):
                recorder = Recorder()
                started = self.start(recorder, name="feed")
                if said:
                    self.peer.send(said)
                started.cancel()
                self.assertTrue(self.peer.transport.aborted)
                self.assert_cancelled(started, recorder)

    def test_late_response(self) -> None:
        """A response that arrives after the cancellation has no effect."""
        for rest in (b"", text("late")):
            with self.given(rest=rest):
                recorder = Recorder()
                started = self.start(recorder, name="feed")
                started.cancel()
                self.peer.answer(rest)
                self.assert_cancelled(started, recorder)

    def test_in_handle_connect(self) -> None:
        """A pending ``handle_connect`` is cancelled and the connection is closed."""
        cancelled: list[object] = []
        recorder = Recorder(handle_connect=lambda *_: Deferred(cancelled.append))
        started = self.start(recorder, name="feed")
        self.peer.answer()
        self.step()
        started.cancel()
        self.step()
        self.failureResultOf(started, CancelledError)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual([opcode for opcode, _ in self.peer.received()], [CLOSE])
        self.peer.drop()
        self.step()
        self.assertEqual(recorder.names, ["handle_connect"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(wsx.whereis("feed"))

    def test_in_handle_connect_with_a_silent_peer(self) -> None:
        """A server that does not answer the close frame is aborted after ``close_timeout``."""
        started = self.start(Recorder(handle_connect=lambda *_: Deferred()), name="feed")
        self.peer.answer()
        self.step()
        started.cancel()
        self.failureResultOf(started, CancelledError)
        self.clock.advance(5)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(wsx.whereis("feed"))

    def test_between_two_attempts(self) -> None:
        """Between two attempts, no further attempt is made."""
        self.server.refusal = ConnectionRefusedError()
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=3.0))
        started = self.start(recorder, name="feed", handle_initial_conn_failure=True)
        self.step()
        started.cancel()
        self.assert_cancelled(started, recorder, "handle_disconnect")
        self.clock.advance(10)
        self.assertEqual(self.server.attempts, 1)

    def test_in_handle_disconnect(self) -> None:
        """The pending ``handle_disconnect`` of a first attempt is cancelled."""
        self.server.refusal = ConnectionRefusedError()
        cancelled: list[object] = []
        recorder = Recorder(handle_disconnect=lambda *_: Deferred(cancelled.append))
        started = self.start(recorder, name="feed", handle_initial_conn_failure=True)
        self.step()
        started.cancel()
        self.assert_cancelled(started, recorder, "handle_disconnect")
        self.assertEqual(len(cancelled), 1)

    def test_too_late(self) -> None:
        """Cancelling has no effect once the Deferred has fired."""
        started = self.start(Recorder())
        self.peer.answer()
        self.step()
        started.cancel()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "open")


class LinkTests(ClientCase):
    """``start_link``: a client that is stopped with its parent."""

    def setUp(self) -> None:
        super().setUp()
        self.parent = MultiService()
        self.parent.startService()

    def link(self, parent: Any, handler: Any, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Start a linked client."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        return wsx.start_link(parent, options.pop("url", URL), handler, **options)

    def open_link(self, parent: Any, handler: Any) -> wsx.Client[Any]:
        """Start a linked client and complete its opening handshake."""
        started = self.link(parent, handler)
        self.peer.answer()
        self.step()
        return self.successResultOf(started)

    def assert_ends_with(self, parent: Any) -> None:
        """Assert that the stop of the parent stops the client and waits for it."""
        recorder = Recorder()
        client = self.open_link(parent, recorder)
        service = IService(parent)
        stopping = service.stopService()
        self.step()
        self.assertEqual(self.peer.received(), [(CLOSE, (1001).to_bytes(2, "big"))])
        self.assertNoResult(stopping)
        self.peer.send(close(1001))
        self.peer.drop()
        self.step()
        self.successResultOf(stopping)
        self.assertEqual(recorder.names, ["handle_connect", "terminate"])
        self.assertIsInstance(self.successResultOf(client.terminated()), wsx.Shutdown)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_multi_service(self) -> None:
        """[S9] The end of a MultiService stops its client."""
        self.assert_ends_with(self.parent)

    def test_application(self) -> None:
        """[S9] The end of an Application stops its client."""
        application = Application("test")
        IService(application).startService()
        self.assert_ends_with(application)

    def test_parent_that_runs_later(self) -> None:
        """[S9] A parent that is started after the client stops it."""
        parent = MultiService()
        client = self.open_link(parent, Recorder())
        parent.startService()
        self.assertEqual(client.status, "open")
        parent.stopService()
        self.assertEqual(client.status, "closing")

    def test_parent_that_stops_first(self) -> None:
        """[S9] [V5] A parent that stops during the first attempt fails the Deferred."""
        recorder = Recorder()
        self.server.silent = True
        started = self.link(self.parent, recorder, name="feed")
        stopping = self.parent.stopService()
        error = self.failed_start(started, wsx.ClientEnded)
        self.assertIsInstance(error.reason, wsx.Shutdown)
        self.successResultOf(stopping)
        self.assertEqual(recorder.names, [])
        self.assertEqual(self.server.cancelled, 1)
        self.assertIsNone(wsx.whereis("feed"))

    def test_client_that_ends_first(self) -> None:
        """[S9] A client that has ended leaves its parent, which goes on."""
        client = self.open_link(self.parent, Recorder())
        self.assertEqual(len(list(self.parent)), 1)
        self.end(client)
        self.assertEqual(list(self.parent), [])
        self.assertTrue(self.parent.running)

    def test_start_that_fails(self) -> None:
        """[S8] [S9] A start that fails leaves nothing with the parent."""
        self.server.refusal = ConnectionRefusedError()
        self.failed_start(self.link(self.parent, Recorder()), wsx.ConnError)
        self.assertEqual(list(self.parent), [])
        self.server.refusal = None
        started = self.link(self.parent, Recorder())
        self.peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.failed_start(started, wsx.RequestError)
        self.assertEqual(list(self.parent), [])

    def test_cancelled(self) -> None:
        """[S9] A start that is cancelled leaves nothing with the parent."""
        self.server.silent = True
        started = self.link(self.parent, Recorder())
        started.cancel()
        self.failed_start(started, CancelledError)
        self.assertEqual(list(self.parent), [])

    def test_wrong_arguments(self) -> None:
        """[S9] Wrong arguments fail the Deferred and affect neither the parent nor the server."""
        wrong: list[tuple[Any, Any, dict[str, Any]]] = [
            (None, Recorder(), {}),
            (object(), Recorder(), {}),
            (self.parent, object(), {}),
            (self.parent, Recorder(), {"url": "nonsense"}),
            (self.parent, Recorder(), {"colour": "red"}),
        ]
        for parent, handler, options in wrong:
            with self.given(parent=parent, handler=handler, options=options):
                self.failed_start(self.link(parent, handler, **options), TypeError, ValueError)
                self.assertEqual(list(self.parent), [])
                self.assertEqual(self.server.attempts, 0)

    def test_taken_name(self) -> None:
        """[S9] [S12] A taken name fails the Deferred, and the parent gets no child."""
        client = self.open(Recorder(), name="feed")
        self.failed_start(self.link(self.parent, Recorder(), name="feed"), wsx.AlreadyStartedError)
        self.assertEqual(list(self.parent), [])
        self.end(client)

    def test_unlinked(self) -> None:
        """[S10] A client started with ``start`` outlives the services around it."""
        linked = self.open_link(self.parent, Recorder())
        recorder = Recorder()
        client = self.open(recorder)
        self.parent.stopService()
        self.step()
        self.assertEqual(linked.status, "closing")
        self.assertEqual(client.status, "open")
        self.assertEqual(self.peer.received(), [])

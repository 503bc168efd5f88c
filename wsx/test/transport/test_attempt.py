"""Tests of ``wsx._transport.attempt``: timeouts, failures and cancelling."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx import ConnError, HandshakeError, Ping, RequestError, Text
from wsx.test.support import Peer, close, server_frame, text
from wsx.test.support.connections import ProtocolCase
from wsx.test.support.each import each


class TimerTests(ProtocolCase):
    """Timers run on the given reactor, with exact times."""

    def test_nothing_on_the_global_reactor(self) -> None:
        """A connection schedules nothing on the global reactor, from its start to its end."""
        from twisted.internet import reactor

        before = set(reactor.getDelayedCalls())
        connection = self.open()
        self.send(Text("hi"), Ping(b"p"))
        self.peer.send(text("hi") + server_frame(9, b"p"))
        connection.start_closing(1000, "")
        self.peer.send(close(1000))
        self.assertEqual(set(reactor.getDelayedCalls()), before)
        self.peer.drop()
        self.assertEqual(set(reactor.getDelayedCalls()), before)

    def test_connect_timeout_is_exact(self) -> None:
        """[S17] A connect timeout of 0.25 s takes exactly that long."""
        self.server.silent = True
        self.attempt(socket_connect_timeout=0.25)
        self.clock.advance(0.249)
        self.assertEqual(self.log.events, [])
        self.clock.advance(0.002)
        self.assertIsInstance(self.failure(ConnError).original, TimeoutError)
        self.assertEqual(self.server.cancelled, 1)

    def test_response_timeout_is_exact(self) -> None:
        """[S17] The timeout of the response is exactly ``socket_recv_timeout``; TCP is aborted."""
        self.attempt(socket_connect_timeout=99.0, socket_recv_timeout=0.3)
        self.clock.advance(0.299)
        self.assertEqual(self.log.events, [])
        self.clock.advance(0.002)
        self.assertIsInstance(self.failure(ConnError).original, TimeoutError)
        self.assertTrue(self.peer.transport.aborted)

    def test_response_in_small_parts(self) -> None:
        """[S17] The timeout is for the whole response, also if it arrives byte by byte."""
        self.attempt(socket_recv_timeout=1.0)
        for byte in b"HTTP/1.1 101":
            self.peer.send(bytes([byte]))
            self.clock.advance(0.1)
        self.assertIsInstance(self.failure(ConnError).original, TimeoutError)

    def test_connect_timeout_ends_with_the_connection(self) -> None:
        """[S17] The connect timeout ends when TCP is connected."""
        self.attempt(socket_connect_timeout=1.0, socket_recv_timeout=5.0)
        self.clock.advance(4.9)
        self.peer.answer()
        self.assertEqual(self.log.names, ["opened"])

    def test_no_timer_is_left(self) -> None:
        """An open connection has no timer of the attempt."""
        self.open()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FailureTests(ProtocolCase):
    """Attempts that fail."""

    def test_hang_up_before_the_response(self) -> None:
        """[S8] A connection that ends during the opening handshake is a ConnError."""
        self.attempt()
        self.peer.send(b"HTTP/1.1 10")
        self.peer.drop(ConnectionLost())
        self.assertIsInstance(self.failure(ConnError).original, ConnectionLost)

    def test_refused_tcp(self) -> None:
        """[S8] A failing endpoint is a ConnError with its exception; no timer is left."""
        self.server.refusal = OSError("no way")
        self.attempt()
        self.assertIs(self.failure(ConnError).original, self.server.refusal)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_proxy_that_refuses_tcp(self) -> None:
        """An error of TCP names the proxy if there is one."""
        self.server.refusal = ConnectionRefusedError()
        self.attempt(proxy="http://user:s3cr3t@proxy.test:8080")
        error = self.failure(ConnError)
        self.assertEqual(str(error), "connection failed: proxy proxy.test:8080: connection refused")

    def test_endpoint_that_refuses(self) -> None:
        """An error of an endpoint names its description, because the URL leads elsewhere."""
        self.clock.connectUNIX = self._refuse  # type: ignore[attr-defined]
        self.attempt(endpoint="unix:/run/no.sock")
        expected = f'connection failed: endpoint "unix:/run/no.sock": {os.strerror(2).lower()}'
        self.assertEqual(str(self.failure(ConnError)), expected)

    def _refuse(self, path: str, factory: Any, timeout: int, checkPID: int) -> None:
        factory.clientConnectionFailed(None, Failure(ConnectError(2, "odd")))

    def test_unusable_options(self) -> None:
        """[S8] Options that ``endpoint_for`` cannot use fail the attempt."""
        cases: list[dict[str, Any]] = [
            {"endpoint": "nonsense:1"},
            {"endpoint": "tcp:host"},
            {"endpoint": "tcp:host:80:bogus=1"},
            {"url": "wss://example.test", "cacerts": "/no/such/file.pem"},
            {"url": "wss://example.test", "cacerts": b"no PEM"},
            {"url": "wss://h.test", "insecure": True, "ssl_options": {"server_name": "-\xfc"}},
            {"url": "wss://h.test", "insecure": True, "ssl_options": {"server_name": "a\0b"}},
            {"url": "wss://h.test", "ssl_options": {"alpn": [""]}},
        ]
        for options in cases:
            self.log.events.clear()
            try:
                self.attempt(**options)
            except Exception as error:
                self.fail(f"{options}: start raised {error!r}")
            self.failure(ConnError)
            self.assertEqual(self.clock.getDelayedCalls(), [], options)


REFUSAL = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno"


class RefusalTests(ProtocolCase):
    """Attempts that the server refuses."""

    def test_refused(self) -> None:
        """[S8] A refusal is a RequestError with status, headers and body."""
        self.attempt()
        self.peer.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nnot")
        self.assertEqual(self.log.events, [])
        self.peer.send(b" today")
        error = self.failure(RequestError)
        self.assertEqual((error.code, error.message, error.body), (503, "Busy", b"not today"))
        self.assertIn(("Retry-After", "7"), error.headers)
        self.assert_closed_gently(self.peer)

    def test_refused_with_part_of_a_body(self) -> None:
        """[S8] An incomplete refusal has the part of its body that has arrived."""
        ends: dict[str, Callable[[], None]] = {
            "hang-up": lambda: self.peer.drop(),
            "time-out": lambda: self.clock.advance(5.1),
        }
        for name, end in ends.items():
            self.log.events.clear()
            self.attempt()
            self.peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\npart")
            self.assertEqual(self.log.events, [], name)
            end()
            self.assertEqual(self.failure(RequestError).body, b"part", name)

    def test_refusal_without_length(self) -> None:
        """[S8] The body of a refusal without a length ends with the connection."""
        self.attempt()
        self.peer.send(b"HTTP/1.1 404 Not Found\r\n\r\nwhere?")
        self.peer.drop()
        error = self.failure(RequestError)
        self.assertEqual((error.code, error.body), (404, b"where?"))

    def test_interim_responses(self) -> None:
        """[S8] An interim response before a refusal is skipped."""
        self.attempt()
        self.peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + REFUSAL)
        error = self.failure(RequestError)
        self.assertEqual((error.code, error.body), (503, b"no"))
        self.assertEqual(error.headers, (("Content-Length", "2"),))


class EndTests(ProtocolCase):
    """How TCP ends after a failure: with FIN after a refusal, otherwise with RST."""

    def refuse(self, response: bytes = REFUSAL) -> Peer:
        """Refuse an attempt and return the server's side of the connection."""
        self.attempt()
        self.peer.send(response)
        return self.peer

    def test_refusal(self) -> None:
        """After a complete refusal the connection is closed with FIN, and no timer is left."""
        peer = self.refuse()
        self.failure(RequestError)
        self.assert_closed_gently(peer)
        self.assertEqual(self.log.names, ["failed"])

    @each(
        {
            "no body": b"HTTP/1.1 204 No\r\n\r\n",
            "empty body": b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
            "chunked body": b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "long body": b"HTTP/1.1 404 No\r\n\r\n" + bytes(64 * 1024),
        }.items()
    )
    def test_each_refusal(self, name: str, response: bytes) -> None:
        """The connection is closed with FIN after each kind of complete refusal."""
        self.assert_closed_gently(self.refuse(response))

    def test_refusal_byte_by_byte(self) -> None:
        """The connection is closed with the last byte of the refusal, and not before."""
        self.attempt()
        for byte in REFUSAL:
            self.assertFalse(self.peer.transport.disconnecting)
            self.peer.send(bytes([byte]))
        self.assert_closed_gently(self.peer)

    def test_abort_after_a_second(self) -> None:
        """If the connection has not ended after one second, it is aborted."""
        self.attempt()
        self.peer.transport.write_blocked = True
        self.peer.send(REFUSAL)
        self.assertTrue(self.peer.transport.disconnecting)
        self.clock.advance(0.999)
        self.assertFalse(self.peer.transport.aborted)
        self.clock.advance(0.002)
        self.assertTrue(self.peer.transport.aborted)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failure(RequestError)

    def test_end_within_the_second(self) -> None:
        """If the server ends TCP first, no timer is left and nothing is aborted."""
        self.attempt()
        self.peer.transport.write_blocked = True
        self.peer.send(REFUSAL)
        self.clock.advance(0.5)
        self.peer.drop(ConnectionLost())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.peer.transport.aborted)
        self.failure(RequestError)

    def test_bytes_after_the_refusal(self) -> None:
        """Bytes that arrive after the refusal are discarded."""
        peer = self.refuse()
        peer.send(b"more" + REFUSAL)
        self.assert_closed_gently(peer)
        self.failure(RequestError)

    def test_cancel_after_a_refusal(self) -> None:
        """Cancelling an attempt that was refused does not abort its connection."""
        attempt = self.attempt()
        self.peer.send(REFUSAL)
        attempt.cancel()
        self.assert_closed_gently(self.peer)

    def test_refusal_that_ends_with_the_connection(self) -> None:
        """If the end of TCP completes the refusal, no timer is left."""
        self.attempt()
        self.peer.send(b"HTTP/1.1 404 Not Found\r\n\r\nwhere?")
        self.peer.drop()
        self.failure(RequestError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_incomplete_refusal(self) -> None:
        """A refusal whose body does not arrive in time leaves no connection behind."""
        self.attempt(socket_recv_timeout=2.0)
        self.peer.transport.write_blocked = True
        self.peer.send(b"HTTP/1.1 404 Not Found\r\n\r\nwhere")
        self.clock.advance(2.001)
        self.assertEqual(self.failure(RequestError).body, b"where")
        self.clock.advance(1.001)
        self.assertTrue(self.peer.transport.aborted)

    @each(
        {
            "not HTTP": b"SSH-2.0",
            "bad status": b"HTTP/1.1 OK\r\n\r\n",
            "no accept": b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 17,
        }.items()
    )
    def test_other_failures(self, name: str, response: bytes) -> None:
        """After a response that is not valid the connection is aborted at once."""
        peer = self.refuse(response)
        self.failure(HandshakeError)
        self.assertTrue(peer.transport.aborted)
        self.assertFalse(peer.transport.disconnecting)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """After a timeout the connection is aborted at once."""
        self.attempt(socket_recv_timeout=2.0)
        self.clock.advance(2.001)
        self.failure(ConnError)
        self.assertTrue(self.peer.transport.aborted)
        self.assertFalse(self.peer.transport.disconnecting)


@implementer(IStreamClientEndpoint)
class UncancellableEndpoint:
    """An endpoint that ignores being cancelled."""

    def __init__(self) -> None:
        self.factory: Any = None

    def connect(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        return Deferred(lambda deferred: deferred.callback(None))


class CancelTests(ProtocolCase):
    """Cancel an attempt."""

    def test_while_tcp_is_being_made(self) -> None:
        """A cancelled attempt stops connecting and does not notify its listener."""
        self.server.silent = True
        self.attempt().cancel()
        self.clock.advance(60)
        self.assertEqual((self.server.cancelled, self.log.events), (1, []))

    def test_while_waiting_for_the_response(self) -> None:
        """Cancelling while waiting for the response aborts TCP and does not notify the listener."""
        attempt = self.attempt()
        self.peer.send(b"HTTP/1.1 101 ")
        attempt.cancel()
        self.assertTrue(self.peer.transport.aborted)
        self.clock.advance(60)
        self.assertEqual(self.log.events, [])

    def test_while_a_refusal_is_coming_in(self) -> None:
        """Cancelling during the body of a refusal reports nothing."""
        attempt = self.attempt()
        self.peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nab")
        attempt.cancel()
        self.assertTrue(self.peer.transport.aborted)
        self.clock.advance(60)
        self.assertEqual(self.log.events, [])

    def test_connection_that_comes_too_late(self) -> None:
        """A connection that is made after the attempt was cancelled is aborted."""
        endpoint = UncancellableEndpoint()
        self.attempt(endpoint=endpoint).cancel()
        late = Peer(endpoint.factory.buildProtocol(None), self.clock)
        late.protocol.makeConnection(late.transport)
        self.assertTrue(late.transport.aborted)
        self.clock.advance(60)
        self.assertEqual(self.log.events, [])

    def test_after_the_end(self) -> None:
        """Cancelling a failed attempt, or cancelling twice, does nothing."""
        attempt = self.attempt()
        self.peer.drop()
        attempt.cancel()
        attempt.cancel()
        self.failure(ConnError)

    def test_abort_during_the_handshake(self) -> None:
        """A connection can be aborted during the opening handshake."""
        self.attempt()
        self.peer.protocol.abort()
        self.clock.advance(0)
        self.failure(ConnError)

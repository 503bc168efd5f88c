"""Tests of ``wsx._transport.connection`` on real loopback sockets: the end of TCP, and TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from wsx import Conn, ConnError, HandshakeError, RequestError, WsxError, is_retryable
from wsx._transport.attempt import Attempt
from wsx._wire.handshake import accept_value
from wsx.test.support.connections import Log
from wsx.test.support.each import each
from wsx.test.support.extras import trustme
from wsx.test.support.sockets import HOST, AiohttpServer, SocketCase, global_reactor
from wsx.test.support.tls import expired, not_yet_valid

REFUSAL = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
ESTABLISHED = b"HTTP/1.1 200 OK\r\n\r\n"


class Outcome(Log):
    """A listener with a Deferred for the outcome of its attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.done: Deferred[WsxError | None] = Deferred()

    def opened(self, *arguments: Any) -> None:
        super().opened(*arguments)
        self.done.callback(None)

    def failed(self, error: WsxError) -> None:
        super().failed(error)
        self.done.callback(error)


def receive_request(connection: socket.socket) -> bytes:
    """Receive an HTTP request without a body, or the beginning of a TLS handshake."""
    request = b""
    while not request.endswith(b"\r\n\r\n") and not request.startswith(b"\x16"):
        part = connection.recv(65536)
        if not part:
            break
        request += part
    return request


def receive_end(connection: socket.socket) -> bytes | str:
    """Return what ``recv`` says of the end of TCP: empty bytes for FIN, an error's name for RST."""
    try:
        return connection.recv(65536)
    except OSError as error:
        return type(error).__name__


class RawServer:
    """A server of one connection, in a thread, with blocking sockets.

    Args:
        case: The test, which closes the server at its end.
        responses: The response to each request on the connection. A function is called with the
            request.
        tls: Makes the server speak TLS.
    """

    def __init__(
        self,
        case: SocketCase,
        *responses: bytes | Callable[[bytes], bytes],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(10)
        case.addCleanup(self._listener.close)
        self._responses = responses
        self._tls = tls
        self.port: int = self._listener.getsockname()[1]
        self.end: Deferred[bytes | str] = deferToThread(self._serve)

    def _serve(self) -> bytes | str:
        """Respond to the requests, and return how the client ended the connection."""
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        if self._tls is not None:
            connection = self._tls.wrap_socket(
                connection, server_side=True, suppress_ragged_eofs=False
            )
        with connection:
            for response in self._responses:
                request = receive_request(connection)
                connection.sendall(response if isinstance(response, bytes) else response(request))
            return receive_end(connection)


def accept(request: bytes) -> bytes:
    """Return the response that accepts an opening handshake."""
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_value(key)}\r\n\r\n"
    ).encode()


class RawCase(SocketCase):
    """Base class: attempts to connect to servers with blocking sockets."""

    def attempt(self, url: str, **options: Any) -> Outcome:
        """Start an attempt to connect."""
        options = {"cacerts": self.ca.cert_pem.bytes()} | options
        self.outcome = Outcome()
        Attempt(Conn(url, **options), global_reactor(), self.outcome).start()
        return self.outcome

    async def failed(self, url: str, kind: type[Exception], **options: Any) -> Any:
        """Return the error of an attempt that must fail."""
        error = await self.attempt(url, **options).done
        self.assertIsInstance(error, kind)
        return error


class EndTests(RawCase):
    """How the server sees the end of TCP."""

    async def test_refusal(self) -> None:
        """[S8] After a refusal the server sees FIN, not RST."""
        server = RawServer(self, REFUSAL)
        error = await self.failed(f"ws://{HOST}:{server.port}", RequestError)
        self.assertEqual((error.code, error.body), (403, b"no"))
        self.assertEqual(await server.end, b"")

    async def test_refusal_by_a_proxy(self) -> None:
        """[S8] After a refusal by the proxy, the proxy sees FIN, not RST."""
        for scheme in ("ws", "wss"):
            server = RawServer(self, REFUSAL)
            error = await self.failed(
                f"{scheme}://example.test", ConnError, proxy=f"http://{HOST}:{server.port}"
            )
            self.assertIsInstance(error.original, RequestError)
            self.assertEqual(await server.end, b"", scheme)

    async def test_refusal_behind_a_proxy(self) -> None:
        """[S8] After a refusal by the server behind the proxy, the proxy sees FIN, not RST."""
        server = RawServer(self, ESTABLISHED, REFUSAL)
        proxy = f"http://{HOST}:{server.port}"
        await self.failed("ws://example.test", RequestError, proxy=proxy)
        self.assertEqual(await server.end, b"")

    async def test_refusal_over_tls(self) -> None:
        """[S8] After a refusal over TLS the server sees close_notify."""
        server = RawServer(self, REFUSAL, tls=self.server_context())
        await self.failed(f"wss://{HOST}:{server.port}", RequestError)
        self.assertEqual(await server.end, b"")

    async def test_other_failure(self) -> None:
        """After another failure the server sees RST, which shows that the tests above can fail."""
        server = RawServer(self, b"SSH-2.0-OpenSSH\r\n")
        await self.failed(f"ws://{HOST}:{server.port}", HandshakeError)
        self.assertEqual(await server.end, "ConnectionResetError")

    async def test_accepted(self) -> None:
        """A connection that is accepted stays open until it is aborted."""
        server = RawServer(self, accept)
        self.assertIsNone(await self.attempt(f"ws://{HOST}:{server.port}").done)
        self.outcome.connections[0].abort()
        self.assertEqual(await server.end, "ConnectionResetError")

    async def test_interim_response(self) -> None:
        """[S8] An interim response before a 101 or a refusal is skipped."""
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        server = RawServer(self, hints + REFUSAL)
        error = await self.failed(f"ws://{HOST}:{server.port}", RequestError)
        self.assertEqual(error.code, 403)
        await server.end
        server = RawServer(self, lambda request: hints + accept(request))
        self.assertIsNone(await self.attempt(f"ws://{HOST}:{server.port}").done)
        self.outcome.connections[0].abort()
        await server.end


class WrongSchemeTests(RawCase):
    """URLs whose scheme does not fit the server."""

    no_tls = "the server does not speak TLS on this port; did you mean ws://?"
    bad_request = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    async def test_wss_to_a_plain_server(self) -> None:
        """[S8] ``wss`` to a server without TLS is a ConnError that suggests ``ws``."""
        server = RawServer(self, self.bad_request)
        error = await self.failed(f"wss://{HOST}:{server.port}", ConnError)
        self.assertEqual(error.explanation, self.no_tls)
        self.assertIn(self.no_tls, str(error))
        await server.end

    async def test_wss_to_a_plain_server_behind_a_proxy(self) -> None:
        """[S8] ``wss`` to a server without TLS behind a proxy is the same ConnError."""
        server = RawServer(self, ESTABLISHED, self.bad_request)
        proxy = f"http://{HOST}:{server.port}"
        error = await self.failed("wss://example.test", ConnError, proxy=proxy)
        self.assertEqual(error.explanation, self.no_tls)
        await server.end

    async def test_wss_to_aiohttp(self) -> None:
        """[S8] ``wss`` to the server of aiohttp, which responds with 400, is the same ConnError."""
        server = self.serve(AiohttpServer)
        error = await self.failed(f"wss://{HOST}:{server.port}", ConnError)
        self.assertEqual(error.explanation, self.no_tls)

    async def test_wss_to_websockets(self) -> None:
        """[S8] A server without TLS that closes without a response is a ConnError."""
        server = self.serve()
        await self.failed(f"wss://{HOST}:{server.port}", ConnError)

    async def test_ws_to_a_server_that_sends_an_alert(self) -> None:
        """[S8] ``ws`` to a server that responds with a TLS alert suggests ``wss``."""
        server = RawServer(self, b"\x15\x03\x03\x00\x02\x02\x46")  # The alert protocol_version.
        error = await self.failed(f"ws://{HOST}:{server.port}", HandshakeError)
        self.assertIn("TLS; did you mean wss://?", str(error))
        await server.end

    async def test_ws_to_a_tls_server(self) -> None:
        """[S8] ``ws`` to a server of OpenSSL, which closes without an alert, is a ConnError."""
        server = self.serve(tls=self.server_context())
        await self.failed(f"ws://{HOST}:{server.port}", ConnError)


class CertificateTests(RawCase):
    """Certificates that are not accepted, on real sockets."""

    @each(
        {
            "expired": (
                lambda ca: expired(ca, HOST),
                "the server's certificate has expired",
            ),
            "not yet valid": (
                lambda ca: not_yet_valid(ca, HOST),
                "the server's certificate is not valid yet",
            ),
            "unknown authority": (
                lambda ca: trustme.CA().issue_cert(HOST),
                "the server's certificate is signed by an authority that is not trusted; if you "
                "trust it, add its root certificate to cacerts",
            ),
            "other host": (
                lambda ca: ca.issue_cert("127.0.0.2"),
                'the server\'s certificate is valid for "127.0.0.2", not for "127.0.0.1"',
            ),
        }.items()
    )
    async def test_explained(
        self, name: str, case: tuple[Callable[[trustme.CA], trustme.LeafCert], str]
    ) -> None:
        """[S18] The error describes the flaw of the certificate; no other attempt is made."""
        issue, expected = case
        server = self.serve(tls=self.server_context(issue(self.ca)))
        error = await self.failed(server.url(), ConnError)
        self.assertEqual(str(error), f"connection failed: {expected}")
        self.assertFalse(is_retryable(error))

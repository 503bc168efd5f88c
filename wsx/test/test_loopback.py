"""Tests over real loopback sockets, with servers of other libraries."""

from __future__ import annotations

import datetime
import socket
import ssl
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

import wsx
from wsx import (
    Binary,
    ConnectionDropped,
    ConnError,
    LocalClose,
    NotConnectedError,
    Ping,
    Pong,
    RemoteClose,
    RequestError,
    SendTimeout,
    Shutdown,
    Text,
    is_retryable,
)
from wsx._transport import tls as tls_module
from wsx._transport.connection import Connection
from wsx._wire import handshake
from wsx.test.support.extras import trustme
from wsx.test.support.handlers import Probe
from wsx.test.support.sockets import (
    BODY,
    HOST,
    AiohttpServer,
    Server,
    SocketCase,
    WebsocketsServer,
    global_reactor,
)
from wsx.test.support.wire import text


class ServerTests:
    """Tests for every server, plain and with TLS; mixed into a test case for each server."""

    kind: type[Server]
    tls: bool

    async def open(
        self: Any, path: str = "/", **options: Any
    ) -> tuple[wsx.Client[Any], Probe, Server]:
        """Start a server and a client that is connected to it."""
        server = self.serve(self.kind, self.server_context() if self.tls else None)
        probe = options.pop("handler", None) or Probe()
        client = await self.start(server.url(path), probe, **options)
        return client, probe, server

    async def test_echo(self: Any) -> None:
        """[S1][F1][N1] Text, binary, empty and large messages are echoed unchanged."""
        client, probe, _ = await self.open()
        large = bytes(range(256)) * 4000
        sent = [Text("h\xe9llo \U0001f600"), Binary(b"\x00\xff"), Text(""), Binary(large)]
        for frame in [*sent, Text("x" * 65536), Binary(bytes(126))]:
            await client.send_frame(frame)
            got = await probe.frames.get()
            self.assertEqual(type(got), type(frame))
            self.assertTrue(got == frame, f"{got!r} is not {frame!r}")

    async def test_large(self: Any) -> None:
        """Large messages arrive complete; nothing copies them if Twisted does no TLS."""
        client, probe, _ = await self.open()
        buffer_updated, filled = Connection.buffer_updated, []

        def noting(connection: Connection, size: int) -> None:
            filled.append(size)
            buffer_updated(connection, size)

        self.patch(Connection, "buffer_updated", noting)
        for size in (70_000, 1_000_000):
            frame = Text("aé€😀" * (size // 10))
            await client.send_frame(frame)
            self.assertTrue(await probe.frames.get() == frame, f"{size} bytes came out different")
        self.assertEqual(bool(filled), tls_module.uses_stdlib or not self.tls)

    async def test_ping(self: Any) -> None:
        """[N1][C11] A ping of the client is answered with its payload."""
        client, probe, _ = await self.open()
        await client.send_frame(Ping(b"are you there?"))
        self.assertEqual(await probe.frames.get(), Pong(b"are you there?"))

    async def test_deflate(self: Any) -> None:
        """``compression="deflate"`` is negotiated, and messages of all sizes are echoed."""
        client, probe, _ = await self.open(compression="deflate")
        self.assertIn("permessage-deflate", client.conn.extensions[0])
        for frame in (Text("abc" * 70_000), Text(""), Text("abc" * 10), Binary(bytes(1_000_000))):
            await client.send_frame(frame)
            self.assertTrue(await probe.frames.get() == frame, repr(frame))

    async def test_subprotocol(self: Any) -> None:
        """The subprotocol that both sides support is chosen."""
        client, _, _ = await self.open(subprotocols=["unknown", "chat"])
        self.assertEqual(client.conn.subprotocol, "chat")

    async def test_headers(self: Any) -> None:
        """[S15][S16] The server sees request headers.

        The client sees response headers and the peer address.
        """
        client, probe, server = await self.open(extra_headers={"X-Token": "s3cret"})
        await client.send_frame(Text("header X-Token"))
        self.assertEqual(await probe.frames.get(), Text("s3cret"))
        await client.send_frame(Text("header Host"))
        self.assertEqual(await probe.frames.get(), Text(f"{HOST}:{server.port}"))
        conn = await probe.connected.get()
        self.assertEqual((conn.resp_status, conn.peer), (101, f"{HOST}:{server.port}"))
        self.assertEqual(conn.resp_header("UPGRADE"), "websocket")

    async def test_server_closes(self: Any) -> None:
        """[D1] The server's close code and message are the reason."""
        client, probe, _ = await self.open()
        await client.send_frame(Text("close 4001 good bye"))
        status = await probe.lost.get()
        self.assertEqual(status.reason, RemoteClose(4001, "good bye"))
        self.assertEqual(await client.terminated(), status.reason)
        self.assertEqual(probe.names, ["handle_connect", "handle_disconnect", "terminate"])

    async def test_client_closes(self: Any) -> None:
        """[D1] The client's close code reaches the server, and the reason is LocalClose."""
        client, probe, server = await self.open()
        await client.close(4000, "done")
        self.assertEqual((await probe.lost.get()).reason, LocalClose(4000, "done"))
        self.assertEqual(await server.closes.get(), 4000)

    async def test_stop(self: Any) -> None:
        """``stop`` closes with 1001 and does not call ``handle_disconnect``."""
        client, probe, server = await self.open()
        self.assertEqual(await client.stop("bye"), Shutdown("bye"))
        self.assertEqual(await server.closes.get(), 1001)
        self.assertEqual(probe.names, ["handle_connect", "terminate"])

    async def test_drop_and_reconnect(self: Any) -> None:
        """[D1][D3] If the server drops TCP (ConnectionDropped), the client reconnects."""
        client, probe, _ = await self.open(handler=Probe(again=True))
        for _ in range(2):
            await probe.connected.get()
            client.mark_healthy()
            await client.send_frame(Text("drop"))
            status = await probe.lost.get()
            self.assertIsInstance(status.reason, ConnectionDropped)
            self.assertEqual(status.attempt_number, 1)
        await probe.connected.get()
        await client.send_frame(Text("back again"))
        self.assertEqual(await probe.frames.get(), Text("back again"))

    async def test_found_dead_while_sending(self: Any) -> None:
        """[N4] Sending on a dead connection leads to ``handle_disconnect``."""
        client, probe, server = await self.open()
        # The blocked reactor keeps the client from noticing the end of the connection.
        server.run(server.drop_all())
        sent = client.send_frame(Text("into the void"))
        sent.addErrback(lambda failure: failure.trap(ConnError))
        self.assertIsInstance((await probe.lost.get()).reason, ConnectionDropped)
        await sent
        await client.terminated()
        try:
            await client.send_frame(Text("later"))
        except NotConnectedError as error:
            self.assertEqual(error.connection_state, "terminated")
        else:
            self.fail("a frame was sent by an ended client")

    async def test_refused(self: Any) -> None:
        """[S8] HTTP 404 and 503 are RequestErrors with headers and body."""
        server = self.serve(self.kind, self.server_context() if self.tls else None)
        for status, retryable in [(404, False), (503, True)]:
            error = await self.failure(server.url(f"/{status}"))
            self.assertIsInstance(error, RequestError)
            self.assertEqual(error.code, status)
            self.assertEqual(error.body.strip(), BODY.encode())
            self.assertIn("content-length", [name.lower() for name, _ in error.headers])
            self.assertEqual(is_retryable(error), retryable)


class WebsocketsTests(ServerTests, SocketCase):
    """Tests with the ``websockets`` library."""

    kind = WebsocketsServer
    tls = False


class WebsocketsTLSTests(ServerTests, SocketCase):
    """Tests with the ``websockets`` library and TLS."""

    kind = WebsocketsServer
    tls = True


class AiohttpTests(ServerTests, SocketCase):
    """Tests with aiohttp."""

    kind = AiohttpServer
    tls = False


class AiohttpTLSTests(ServerTests, SocketCase):
    """Tests with aiohttp and TLS."""

    kind = AiohttpServer
    tls = True


class FailureTests(SocketCase):
    """[S8] Connections that fail."""

    async def test_refused_port(self) -> None:
        """[S8] No server listens on the port."""
        with socket.socket() as unused:
            unused.bind((HOST, 0))
            port = unused.getsockname()[1]
        for scheme in ("ws", "wss"):
            error = await self.failure(f"{scheme}://{HOST}:{port}/")
            self.assertIsInstance(error, ConnError)
            self.assertIsInstance(error.original, ConnectionRefusedError)
            self.assertTrue(is_retryable(error))

    async def test_unknown_host(self) -> None:
        """[S8] The host does not exist."""
        error = await self.failure("ws://no-such-host.invalid/")
        self.assertIsInstance(error, ConnError)
        self.assertIsInstance(error.original, DNSLookupError)

    async def test_hang_up(self) -> None:
        """[S8] The server hangs up at once."""

        class Rude(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.loseConnection()

        error = await self.failure(f"ws://{HOST}:{self.listen(Rude)}/")
        self.assertIsInstance(error, ConnError)

    async def test_silence(self) -> None:
        """[S8][S17] The server is silent: plain, the response times out.

        With TLS, the TLS handshake.
        """
        port = self.listen(Protocol)
        for url, options in [
            (f"ws://{HOST}:{port}/", {"socket_recv_timeout": 0.1}),
            (f"wss://{HOST}:{port}/", {"socket_connect_timeout": 0.1}),
        ]:
            error = await self.failure(url, **options)
            self.assertIsInstance(error, ConnError, url)
            self.assertIsInstance(error.original, TimeoutError, url)

    async def test_wrong_scheme(self) -> None:
        """[S8] TLS to a plain server and plain TCP to a TLS server fail."""
        plain, secure = self.serve(), self.serve(tls=self.server_context())
        self.assertIsInstance(await self.failure(f"wss://{HOST}:{plain.port}/"), ConnError)
        error = await self.failure(f"ws://{HOST}:{secure.port}/")
        self.assertIsInstance(error, (ConnError, wsx.HandshakeError))


class TrustTests(SocketCase):
    """[S18] Which certificates a client trusts."""

    def secure(self, leaf: trustme.LeafCert | None = None) -> str:
        """Start a TLS server and return its URL."""
        return self.serve(tls=self.server_context(leaf)).url()

    async def refuse(self, url: str, **options: Any) -> None:
        """Assert that the server's certificate is refused and not retried."""
        error = await self.failure(url, **options)
        self.assertIsInstance(error, ConnError)
        self.assertNotIsInstance(error.original, TimeoutError)
        self.assertFalse(is_retryable(error), repr(error))

    async def test_custom_ca(self) -> None:
        """[S18] A user-defined CA is trusted, for a name and for an address."""
        url = self.secure()
        for host in (HOST, "localhost"):
            await self.start(url.replace(HOST, host), endpoint=f"tcp:{url[6:-1]}")

    async def test_unknown_ca(self) -> None:
        """[S18] Another CA and the platform's CAs are refused."""
        url = self.secure()
        await self.refuse(url, cacerts=trustme.CA().cert_pem.bytes())
        await self.refuse(url, cacerts=None)

    async def test_wrong_host(self) -> None:
        """[S18] A certificate for another name or address is refused."""
        await self.refuse(self.secure(self.ca.issue_cert("other.test", "127.0.0.2")))
        url = self.secure()
        address = url[6:-1]
        await self.refuse(url.replace(HOST, "other.test"), endpoint=f"tcp:{address}")

    async def test_expired(self) -> None:
        """[S18] An expired certificate is refused."""
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        await self.refuse(self.secure(self.ca.issue_cert(HOST, not_after=yesterday)))

    async def test_insecure(self) -> None:
        """[S18] ``insecure=True`` accepts each of them."""
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        for leaf in (
            trustme.CA().issue_cert(HOST),
            self.ca.issue_cert("other.test"),
            self.ca.issue_cert(HOST, not_after=yesterday),
        ):
            client = await self.start(self.secure(leaf), insecure=True, cacerts=None)
            self.assertEqual(client.status, "open")

    async def test_client_certificate(self) -> None:
        """[S18] A server that requires a client certificate accepts only a client with one."""
        context = self.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        self.ca.configure_trust(context)
        url = self.serve(tls=context).url()
        pem = self.ca.issue_cert("me@example.test").private_key_and_cert_chain_pem.bytes()
        client = await self.start(url, ssl_options={"certificate": pem})
        self.assertEqual(client.status, "open")
        self.assertIsInstance(await self.failure(url), ConnError)


class Greeter(Protocol):
    """A WebSocket server that sends messages in the same write as its 101."""

    greeting = text("one") + text("two")
    paused = False
    made: ClassVar[list[Greeter]] = []

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        self.made.append(self)
        self._request = b""

    def dataReceived(self, data: bytes) -> None:
        self._request += data
        if self._request.endswith(b"\r\n\r\n"):
            fields = dict(
                line.split(": ", 1) for line in self._request.decode().split("\r\n")[1:-2]
            )
            accept = handshake.accept_value(fields["Sec-WebSocket-Key"])
            head = (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            assert self.transport is not None
            self.transport.write(head.encode() + self.greeting)
            if self.paused:
                self.transport.pauseProducing()  # type: ignore[attr-defined]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


class NonReader(Greeter):
    """A WebSocket server that never reads a frame."""

    greeting = b""
    paused = True
    made: ClassVar[list[Greeter]] = []


class OneWriteTests(SocketCase):
    """Servers that need exact control of their writes and reads."""

    def tearDown(self) -> Any:
        super().tearDown()
        Greeter.made.clear()
        NonReader.made.clear()

    def greet(self, kind: type[Greeter], tls: bool = False) -> int:
        """Start a server whose connections are aborted at the end of the test."""
        port = self.listen(kind, tls)
        made = kind.made

        def cut() -> Any:
            for server in made:
                if not server.gone.called:
                    server.transport.abortConnection()  # type: ignore[union-attr]
            return DeferredList([server.gone for server in made])

        self.addCleanup(cut)
        return port

    async def test_frames_with_the_response(self) -> None:
        """[S19] Frames written with the 101 are delivered after ``handle_connect``."""
        for tls in (False, True):
            probe = Probe()
            scheme = "wss" if tls else "ws"
            port = self.greet(Greeter, tls)
            await self.start(f"{scheme}://{HOST}:{port}/", probe, close_timeout=0.1)
            self.assertEqual(await probe.frames.get(), Text("one"))
            self.assertEqual(await probe.frames.get(), Text("two"))
            self.assertEqual(probe.names, ["handle_connect", "handle_frame", "handle_frame"])

    async def test_drop_with_a_full_buffer(self) -> None:
        """[N4] A frame that waits for the write buffer fails with ConnError when TCP ends."""
        for tls in (False, True):
            probe = Probe()
            port = self.greet(NonReader, tls)
            scheme = "wss" if tls else "ws"
            client = await self.start(f"{scheme}://{HOST}:{port}/", probe)
            sending = client.send_frame(Binary(bytes(16 * 1024 * 1024)))
            self.assertNoResult(sending)
            NonReader.made[-1].transport.abortConnection()  # type: ignore[union-attr]
            try:
                await sending
            except ConnError:
                pass
            else:
                self.fail("the frame counts as sent")
            self.assertIsInstance((await probe.lost.get()).reason, ConnectionDropped)

    async def test_send_timeout(self) -> None:
        """[N4] If the server does not read, ``send_frame`` fails with SendTimeout."""
        client = await self.start(f"ws://{HOST}:{self.greet(NonReader)}/", close_timeout=0.1)
        try:
            await client.send_frame(Binary(bytes(16 * 1024 * 1024)), timeout=0.1)
        except SendTimeout:
            pass
        else:
            self.fail("the frame counts as sent")
        self.assertEqual(client.status, "open")


class ConnectProxy(Protocol):
    """An HTTP proxy that supports CONNECT only."""

    def __init__(self, case: ProxyTests) -> None:
        self._case = case
        self._request = b""
        self._other: Any = None
        self.gone: Deferred[None] = Deferred()
        case.ends.append(self)

    def dataReceived(self, data: bytes) -> None:
        if self._other is not None:
            self._other.transport.write(data)
            return
        self._request += data
        if self._request.endswith(b"\r\n\r\n"):
            self._case.requests.append(self._request.decode())
            self._connect()

    def _connect(self) -> None:
        transport: Any = self.transport
        lines = self._request.decode().split("\r\n")
        if self._case.credentials not in lines:
            transport.write(b"HTTP/1.1 407 Who?\r\nContent-Length: 6\r\n\r\nlog in")
            return
        host, _, port = lines[0].split()[1].rpartition(":")
        assert host == HOST
        transport.pauseProducing()
        other = Outbound(self._case, self)
        endpoint = TCP4ClientEndpoint(global_reactor(), host, int(port))
        endpoint.connect(Factory.forProtocol(lambda: other))

    def pipe(self, other: Outbound) -> None:
        """Begin to forward bytes; called when the server is connected."""
        transport: Any = self.transport
        self._other = other
        transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)
        if self._other is not None:
            self._other.transport.loseConnection()


class Outbound(Protocol):
    """The proxy's connection to the server."""

    def __init__(self, case: ProxyTests, near: ConnectProxy) -> None:
        self._near = near
        self.gone: Deferred[None] = Deferred()
        case.ends.append(self)

    def connectionMade(self) -> None:
        self._near.pipe(self)

    def dataReceived(self, data: bytes) -> None:
        assert self._near.transport is not None
        self._near.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)
        assert self._near.transport is not None
        self._near.transport.loseConnection()


class ProxyTests(SocketCase):
    """Connections through an HTTP proxy.

    Attributes:
        credentials: The header line that the proxy requires; "" accepts every request.
        requests: The requests that the proxy received.
        ends: The proxy's connections to clients and servers.
    """

    def setUp(self) -> None:
        self.credentials = ""
        self.requests: list[str] = []
        self.ends: list[ConnectProxy | Outbound] = []
        self.addCleanup(lambda: DeferredList([end.gone for end in self.ends]))
        self.proxy = f"{HOST}:{self.listen(lambda: ConnectProxy(self))}"

    async def assert_tunnel(self, server: Server, proxy: str) -> None:
        """Assert that a client reaches the server through the proxy and can close."""
        probe = Probe()
        client = await self.start(server.url(), probe, proxy=proxy)
        for frame in (Text("through the tunnel"), Binary(bytes(300_000))):
            await client.send_frame(frame)
            self.assertTrue(await probe.frames.get() == frame, repr(frame))
        self.assertTrue(self.requests[-1].startswith(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\n"))
        await client.close(4000)
        self.assertEqual(await server.closes.get(), 4000)

    async def test_plain_and_tls(self) -> None:
        """``ws`` and ``wss`` use CONNECT."""
        for tls in (None, self.server_context()):
            await self.assert_tunnel(self.serve(tls=tls), f"http://{self.proxy}")

    async def test_credentials(self) -> None:
        """The credentials of the proxy are sent, for ``ws`` and ``wss``."""
        self.credentials = "Proxy-Authorization: Basic bWU6cEBzcw=="
        for tls in (None, self.server_context()):
            await self.assert_tunnel(self.serve(tls=tls), f"http://me:p%40ss@{self.proxy}")

    async def test_refused(self) -> None:
        """[S8] A refusal of the proxy is a ConnError with the RequestError and its body."""
        self.credentials = "Proxy-Authorization: Basic bWU6cEBzcw=="
        error = await self.failure(f"ws://{HOST}:1/", proxy=f"http://{self.proxy}")
        self.assertIsInstance(error, ConnError)
        self.assertIsInstance(error.original, RequestError)
        self.assertEqual((error.original.code, error.original.body), (407, b"log in"))

    async def test_certificate_behind_the_proxy(self) -> None:
        """[S18] The server's certificate is verified behind the proxy."""
        server = self.serve(tls=self.server_context(trustme.CA().issue_cert(HOST)))
        error = await self.failure(server.url(), proxy=f"http://{self.proxy}")
        self.assertIsInstance(error, ConnError)
        self.assertFalse(is_retryable(error), repr(error))

    async def test_drop(self) -> None:
        """[D1] If the server behind the proxy drops TCP, the reason is ConnectionDropped."""
        server = self.serve()
        probe = Probe()
        client = await self.start(server.url(), probe, proxy=f"http://{self.proxy}")
        await client.send_frame(Text("drop"))
        self.assertIsInstance((await probe.lost.get()).reason, ConnectionDropped)

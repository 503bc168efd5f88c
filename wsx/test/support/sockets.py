"""Servers of other libraries on real loopback sockets, and a base class that stops them."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.threads import deferToThread

import wsx
from wsx.test.support import LoopbackCase
from wsx.test.support.extras import Once, aiohttp, missing, trustme, websockets
from wsx.test.support.handlers import Probe


def global_reactor() -> Any:
    """Return the reactor that trial runs; no module of wsx imports it at module level."""
    from twisted.internet import reactor

    return reactor


HOST = "127.0.0.1"


BODY = "closed for lunch"


class Server:
    """An asyncio server in its own thread, on a free port.

    It echoes messages. ``/404`` and ``/503`` refuse with a body; the text ``header NAME`` is
    answered with that header of the request, ``close CODE MESSAGE`` closes, ``drop`` ends TCP.

    Attributes:
        closes: A queue of the close codes of connections that have ended.
        port: The port that the server listens on.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.closes: DeferredQueue[int | None] = DeferredQueue()
        self.tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self.port: int = self.run(self.listen())
        except BaseException:
            self._stop_thread()
            raise

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the server's thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        """Stop the server and its thread."""
        self.run(self.unlisten())
        self.run(self._cancel_tasks())
        self._stop_thread()

    def _stop_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _cancel_tasks(self) -> None:
        """Cancel pending tasks, such as a TLS handshake with a client that has gone."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def url(self, path: str = "/") -> str:
        """Return a URL of this server."""
        return f"{'wss' if self.tls else 'ws'}://{HOST}:{self.port}{path}"

    def note_close(self, code: int | None) -> None:
        """Add a close code to the queue; called in the server's thread."""
        global_reactor().callFromThread(self.closes.put, code)

    async def listen(self) -> int:
        """Start listening and return the port."""
        raise NotImplementedError

    async def unlisten(self) -> None:
        """Stop listening."""
        raise NotImplementedError

    async def drop_all(self) -> None:
        """Abort every TCP connection."""
        raise NotImplementedError

    async def obey(
        self,
        message: str | bytes,
        headers: Any,
        send: Callable[[Any], Awaitable[Any]],
        close: Callable[[int, str], Awaitable[Any]],
    ) -> None:
        """Execute a message's command."""
        words = message.split(" ", 2) if isinstance(message, str) else [""]
        if words[0] == "header":
            await send(headers.get(words[1], "none"))
        elif words[0] == "close":
            await close(int(words[1]), words[2])
        elif words[0] == "drop":
            await self.drop_all()
        else:
            await send(message)


class WebsocketsServer(Server):
    """A server of the ``websockets`` library."""

    async def listen(self) -> int:
        self._server = await websockets.asyncio.server.serve(
            self._serve,
            HOST,
            0,
            ssl=self.tls,
            process_request=self._refuse,
            select_subprotocol=self._select,
            close_timeout=0.2,
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def unlisten(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def drop_all(self) -> None:
        for connection in list(self._server.connections):
            connection.transport.abort()

    def _select(
        self, connection: Any, offered: Sequence[websockets.typing.Subprotocol]
    ) -> websockets.typing.Subprotocol | None:
        return websockets.typing.Subprotocol("chat") if "chat" in offered else None

    def _refuse(self, connection: Any, request: Any) -> Any:
        status = request.path.strip("/")
        return connection.respond(int(status), BODY) if status else None

    async def _serve(self, connection: Any) -> None:
        try:
            async for message in connection:
                await self.obey(
                    message, connection.request.headers, connection.send, connection.close
                )
        except websockets.exceptions.ConnectionClosedError:
            pass
        self.note_close(connection.close_code)


class AiohttpServer(Server):
    """A server of aiohttp."""

    async def listen(self) -> int:
        self._transports: set[Any] = set()
        app = aiohttp.web.Application()
        app.router.add_get("/", self._serve)
        app.router.add_get("/{status}", self._refuse)
        self._runner = aiohttp.web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        await aiohttp.web.TCPSite(self._runner, HOST, 0, ssl_context=self.tls).start()
        return int(self._runner.addresses[0][1])

    async def unlisten(self) -> None:
        await self._runner.cleanup()

    async def drop_all(self) -> None:
        for transport in self._transports:
            transport.abort()

    async def _refuse(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(status=int(request.match_info["status"]), text=BODY)

    async def _serve(self, request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        response = aiohttp.web.WebSocketResponse(protocols=["news", "chat"])
        await response.prepare(request)
        self._transports.add(request.transport)

        async def send(message: str | bytes) -> None:
            await (
                response.send_str(message)
                if isinstance(message, str)
                else response.send_bytes(message)
            )

        async def close(code: int, message: str) -> None:
            await response.close(code=code, message=message.encode())

        async for message in response:
            await self.obey(message.data, request.headers, send, close)
        self._transports.discard(request.transport)
        self.note_close(response.close_code)
        return response


class SocketCase(LoopbackCase):
    """Base class for tests whose servers and clients are stopped after the test."""

    ca = Once(lambda: trustme.CA())
    leaf = Once(lambda: SocketCase.ca.issue_cert(HOST, "localhost"))

    def server_context(self, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """Return a server's TLS context, by default with a certificate of the trusted CA."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        (leaf or self.leaf).configure_cert(context)
        return context

    def serve(
        self, kind: type[Server] = WebsocketsServer, tls: ssl.SSLContext | None = None
    ) -> Server:
        """Start a server."""
        server = kind(tls)
        # Since Python 3.12, the close of an asyncio server waits for its connections. The reactor,
        # which may have to close them, must run meanwhile.
        self.addCleanup(deferToThread, server.close)
        return server

    def listen(self, protocol: Callable[[], Protocol], tls: bool = False) -> int:
        """Start a server written with Twisted and return its port."""
        factory = Factory.forProtocol(protocol)  # type: ignore[arg-type]
        factory.noisy = False
        if tls:
            pem = self.leaf.private_key_and_cert_chain_pem.bytes()
            options = PrivateCertificate.loadPEM(pem).options()
            port = global_reactor().listenSSL(0, factory, options, interface=HOST)
        else:
            port = global_reactor().listenTCP(0, factory, interface=HOST)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def start(self, url: str, handler: Probe | None = None, **options: Any) -> Deferred[Any]:
        """Start a client that trusts the test CA; it is stopped at the end of the test."""
        if not missing("trustme"):
            options = {"cacerts": self.ca.cert_pem.bytes()} | options
        started = wsx.start(url, handler or Probe(), **options)

        def stop_later(client: wsx.Client[Any]) -> wsx.Client[Any]:
            self.addCleanup(client.stop)
            return client

        return started.addCallback(stop_later)

    async def failure(self, url: str, **options: Any) -> Any:
        """Return the error that a client fails to start with."""
        try:
            await self.start(url, **options)
        except wsx.WsxError as error:
            return error
        raise self.failureException(f"a client of {url} started")

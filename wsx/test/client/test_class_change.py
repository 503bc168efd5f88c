"""Tests of hot code change: a handler's module is edited on disk while a connection is open."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

import wsx
from wsx._wire import handshake
from wsx.test.support import LoopbackCase, read_frames, text

HOST = "127.0.0.1"
MODULE = "wsx_test_handler_on_disk"

FIRST = """
    import wsx

    class Counter(wsx.Handler):
        version = "1"

        def handle_frame(self, frame, state):
            return wsx.Reply(wsx.Text(f"first {state + 1}"), state + 1)
"""

SECOND = """
    import wsx

    class Counter(wsx.Handler):
        version = "2"

        def handle_frame(self, frame, state):
            state["count"] += state["step"]
            return wsx.Reply(wsx.Text(f"second {state['count']}"), state)

        def code_change(self, old_version, state, extra):
            assert old_version == "1", old_version
            return wsx.Ok({"count": state, "step": extra})
"""

FAILING = """
    import wsx

    class Counter(wsx.Handler):
        version = "3"

        def handle_frame(self, frame, state):
            return wsx.Reply(wsx.Text("third"), state)

        def code_change(self, old_version, state, extra):
            self.half_way = True
            raise RuntimeError("this state cannot be converted")
"""

LATER = """
    from twisted.internet.defer import Deferred
    import wsx

    gate = Deferred()

    class Counter(wsx.Handler):
        version = "4"

        def handle_frame(self, frame, state):
            return wsx.Reply(wsx.Text(f"fourth {state}"), state)

        async def code_change(self, old_version, state, extra):
            return wsx.Ok((state, await gate))
"""


class ServerConnection(Protocol):
    """The server's side of a connection: completes the opening handshake, records frames."""

    factory: RawServer

    def __init__(self) -> None:
        self.data = b""
        self.is_open = False
        self.frames: DeferredQueue[tuple[int, bytes]] = DeferredQueue()
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if not self.is_open:
            head, end, self.data = self.data.partition(b"\r\n\r\n")
            assert end, "the request came in pieces"
            self.is_open = True
            self.respond(head.decode("latin-1").split("\r\n"))
        while (size := self.first_frame()) <= len(self.data):
            frame, self.data = self.data[:size], self.data[size:]
            self.frames.put(read_frames(frame)[0])

    def first_frame(self) -> int:
        """Return the size of the first frame, which must be short.

        If the size is unknown, return more than has arrived.
        """
        return 6 + (self.data[1] & 0x7F) if len(self.data) > 1 else 6

    def respond(self, lines: list[str]) -> None:
        fields = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in fields}
        accept = handshake.accept_value(headers["sec-websocket-key"])
        response = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        self.send(response.encode())

    def send(self, data: bytes) -> None:
        """Send bytes."""
        assert self.transport is not None
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self.factory.connection_ended()


class RawServer(ServerFactory):
    """A server on a loopback socket.

    Attributes:
        connections: The TCP connections so far.
    """

    protocol: Any = ServerConnection
    noisy = False

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: Any) -> Any:
        connection = ServerConnection()
        connection.factory = self
        self.connections.append(connection)
        return connection

    def connection_ended(self) -> None:
        """Fire the Deferred of ``empty`` if no connection is left."""
        if self._empty is not None and all(connection.lost for connection in self.connections):
            self._empty.callback(None)

    def empty(self) -> Deferred[None]:
        """Return a Deferred that fires when all connections have ended."""
        self._empty = Deferred()
        self.connection_ended()
        return self._empty


class HotCodeChangeTests(LoopbackCase):
    """[Y6] a client whose handler's module is edited and reloaded."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.server = RawServer()
        self.port: Any = self.reactor.listenTCP(0, self.server, interface=HOST)
        self.addCleanup(self.port.stopListening)
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.patch(sys, "path", [str(self.directory.resolve()), *sys.path])
        # Two versions written within a second could have the same time stamp.
        self.patch(sys, "dont_write_bytecode", True)
        self.addCleanup(sys.modules.pop, MODULE, None)
        self.edit(FIRST)
        self.module = importlib.import_module(MODULE)

    def edit(self, source: str) -> None:
        """Write the module to disk."""
        (self.directory / f"{MODULE}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()

    def reload(self, source: str) -> ModuleType:
        """Edit the module and reload it."""
        self.edit(source)
        return importlib.reload(self.module)

    async def open(self, state: Any = 0) -> wsx.Client[Any]:
        """Start a client with the module's handler; it is stopped after the test."""
        url = f"ws://{HOST}:{self.port.getHost().port}/"
        client = await wsx.start(url, self.module.Counter, state, close_timeout=1.0)
        self.addCleanup(self.server.empty)
        self.addCleanup(client.abort)
        return client

    async def ask(self, connection: ServerConnection) -> str:
        """Send a message from the server, and return the client's reply."""
        connection.send(text("x"))
        _, payload = await connection.frames.get()
        return payload.decode()

    def assert_same_socket(self, ports: tuple[Any, Any]) -> None:
        """Check that the first connection is still open, and that there is no other one."""
        self.assertEqual(len(self.server.connections), 1)
        self.assertFalse(self.server.connections[0].lost)
        self.assertEqual(self.ports(), ports)

    def ports(self) -> tuple[Any, Any]:
        """Return the client's address and the socket of the first connection."""
        transport: Any = self.server.connections[0].transport
        return transport.getPeer(), transport.fileno()

    async def test_change(self) -> None:
        """[Y6] the new class is used on the same TCP connection, with the converted state."""
        client = await self.open()
        connection, ports = self.server.connections[0], self.ports()
        handler, old_class = client.handler, self.module.Counter
        self.assertEqual([await self.ask(connection) for _ in range(2)], ["first 1", "first 2"])
        self.assertEqual(client.sys.get_status()["version"], "1")

        new_class = self.reload(SECOND).Counter
        self.assertIsNot(new_class, old_class)
        await client.sys.change_code(new_class, "1", 10)

        self.assertEqual(client.sys.get_state(), {"count": 2, "step": 10})
        self.assertEqual([await self.ask(connection) for _ in range(2)], ["second 12", "second 22"])
        status = client.sys.get_status()
        self.assertEqual((status["version"], status["handler"]), ("2", new_class))
        self.assertEqual(status["status"], "open")
        self.assertIs(client.handler, handler)
        self.assert_same_socket(ports)

    async def test_reload_alone(self) -> None:
        """[Y6] reloading a module without ``change_code`` does not affect the client."""
        client = await self.open()
        self.reload(SECOND)
        self.assertEqual(await self.ask(self.server.connections[0]), "first 1")
        self.assertEqual(client.sys.get_status()["version"], "1")

    async def test_failing(self) -> None:
        """[Y6] if ``code_change`` fails, the old class and state stay in use."""
        client = await self.open()
        connection, ports = self.server.connections[0], self.ports()
        old_class = self.module.Counter
        self.assertEqual(await self.ask(connection), "first 1")
        new_class = self.reload(FAILING).Counter
        await self.assertFailure(client.sys.change_code(new_class, "1"), RuntimeError)
        self.assertEqual(client.sys.get_state(), 1)
        self.assertEqual(await self.ask(connection), "first 2")
        status = client.sys.get_status()
        self.assertEqual((status["version"], status["handler"]), ("1", old_class))
        self.assertFalse(hasattr(client.handler, "half_way"))
        self.assert_same_socket(ports)

    async def test_repaired(self) -> None:
        """[Y6] after a failure, a corrected version can be used."""
        client = await self.open()
        connection, ports = self.server.connections[0], self.ports()
        await self.assertFailure(client.sys.change_code(self.reload(FAILING).Counter), RuntimeError)
        await client.sys.change_code(self.reload(SECOND).Counter, "1", 5)
        self.assertEqual(await self.ask(connection), "second 5")
        self.assert_same_socket(ports)

    async def test_messages_meanwhile(self) -> None:
        """[Y6] messages that arrive while ``code_change`` is pending go to the new class."""
        client = await self.open(7)
        connection, ports = self.server.connections[0], self.ports()
        module = self.reload(LATER)
        changed = client.sys.change_code(module.Counter)
        for _ in range(3):
            connection.send(text("x"))
        self.reactor.callLater(0.02, module.gate.callback, "converted")
        replies = [(await connection.frames.get())[1] for _ in range(3)]
        self.assertEqual(replies, [b"fourth (7, 'converted')"] * 3)
        await changed
        self.assertEqual(client.sys.get_status()["version"], "4")
        self.assert_same_socket(ports)

    async def test_under_way(self) -> None:
        """[Y6] no message is lost, duplicated or reordered by a change during traffic."""
        client = await self.open()
        connection, ports = self.server.connections[0], self.ports()
        connection.send(text("x") * 500)
        replies = [(await connection.frames.get())[1] for _ in range(100)]
        changed = client.sys.change_code(self.reload(SECOND).Counter, "1", 1)
        connection.send(text("x") * 500)
        replies += [(await connection.frames.get())[1] for _ in range(900)]
        await changed
        self.assertEqual([int(reply.split()[1]) for reply in replies], list(range(1, 1001)))
        self.assertEqual(replies[0], b"first 1")
        self.assertEqual(replies[-1], b"second 1000")
        self.assert_same_socket(ports)

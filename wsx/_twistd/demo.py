"""``twistd wsx --demo``: a server that ends its connections, and a client that reconnects."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from wsx._text import escape
from wsx._twistd.demo_server import CLOSE_TIMEOUT
from wsx.conn import Conn
from wsx.frames import Binary, Text
from wsx.handler import Handler, Ok, Reply

__all__ = ["DemoHandler", "DemoServer"]

_READING_SECONDS: Final = 0.4  # The time between two readings.
_CONNECTION_SECONDS: Final = 3.0  # The time after which the server ends a connection.
_SERVICE_RESTART: Final = 1012  # close code


class _Feed(WebSocketServerProtocol):  # type: ignore[misc]
    """Send readings and echo messages; end connections by a drop and by a close in turn."""

    def onOpen(self) -> None:
        self._readings = LoopingCall(self._send_reading)
        self._readings.clock = self.factory.reactor
        self._readings.start(_READING_SECONDS)
        self._end = self.factory.reactor.callLater(_CONNECTION_SECONDS, self._end_connection)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(b"echo: " + payload, isBinary)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        if hasattr(self, "_readings") and self._readings.running:
            self._readings.stop()
        if hasattr(self, "_end") and self._end.active():
            self._end.cancel()

    def _send_reading(self) -> None:
        number = next(self.factory.numbers)
        celsius = 20 + 3 * math.sin(number / 5)
        self.sendMessage(f"reading {number}: {celsius:.2f} °C".encode())

    def _end_connection(self) -> None:
        if next(self.factory.endings) == "close":
            self.sendCloseFrame(_SERVICE_RESTART, b"restarting")
        else:
            self.transport.abortConnection()


class DemoServer(Service):
    """The server of the demo, on a free loopback port.

    Args:
        reactor: The reactor that listens.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._factory = WebSocketServerFactory(reactor=reactor)
        self._factory.protocol = _Feed
        self._factory.setProtocolOptions(closeHandshakeTimeout=CLOSE_TIMEOUT)
        self._factory.noisy = False
        self._factory.numbers = itertools.count(1)
        self._factory.endings = itertools.cycle(["drop", "close"])
        self._port: Any = None

    def listen(self) -> str:
        """Start listening.

        Returns:
            The URL of the server.
        """
        self._port = self._reactor.listenTCP(0, self._factory, interface="127.0.0.1")
        return self.url

    @property
    def url(self) -> str:
        """The URL of the server. Only valid after :meth:`listen`."""
        return f"ws://127.0.0.1:{self._port.getHost().port}/readings"

    def startService(self) -> None:
        """Print what the demo does."""
        super().startService()
        _show(f"demo: the server at {self.url} sends a reading every {_READING_SECONDS:g} s")
        _show(f"demo: after {_CONNECTION_SECONDS:g} s it drops or closes the connection")
        _show("demo: the client reconnects and keeps its state; press Ctrl-C to stop")

    def stopService(self) -> Any:
        """Stop listening.

        Returns:
            A Deferred that fires when the port is closed.
        """
        super().stopService()
        return self._port.stopListening()


class DemoHandler(Handler[int]):
    """Print each message. The state is the number of readings.

    The class has no ``handle_disconnect``, so the client logs each lost connection and reconnects.
    """

    def handle_connect(self, conn: Conn, state: int) -> Reply[int]:
        """Send a greeting with the state, which the server echoes."""
        readings = state or 0
        return Reply(Text(f"hello; readings so far: {readings}"), readings)

    def handle_frame(self, frame: Text | Binary, state: int) -> Ok[int]:
        """Print a message, and count it if it is a reading."""
        _show(escape(str(frame.payload)))
        self.client.mark_healthy()  # Otherwise the delay grows with each loss.
        return Ok(state + 1 if str(frame.payload).startswith("reading") else state)

    def terminate(self, reason: Any, state: int) -> None:
        """Print the number of readings."""
        _show(f"demo: ended; readings received: {state or 0}")


def _show(line: str) -> None:
    """Print to standard output. twistd replaces ``sys.stdout`` by its log."""
    print(line, file=sys.__stdout__, flush=True)

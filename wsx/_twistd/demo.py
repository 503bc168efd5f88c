"""``twistd wsx --demo``: an embedded server that is no friend, and a client that does not mind."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from wsx.conn import Conn
from wsx.frames import Binary, Text
from wsx.handler import Answer, Handler, Ok, Reply
from wsx.reasons import Disconnect

__all__ = ["DemoHandler", "DemoServer"]

_PERIOD: Final = 0.4  # seconds between two readings
_PATIENCE: Final = 3.0  # seconds until the server ends a connection, between two readings
_SERVICE_RESTART: Final = 1012


class _Feed(WebSocketServerProtocol):  # type: ignore[misc]
    """Streams readings, echoes what it is sent, and ends: by closing or dropping, in turn."""

    def onOpen(self) -> None:
        self._readings = LoopingCall(self._send_reading)
        self._readings.clock = self.factory.reactor
        self._readings.start(_PERIOD)
        self._end = self.factory.reactor.callLater(_PATIENCE, self._go_away)

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

    def _go_away(self) -> None:
        if next(self.factory.endings) == "close":
            self.sendCloseFrame(_SERVICE_RESTART, b"restarting")
        else:
            self.transport.abortConnection()


class DemoServer(Service):
    """The server of the demo, on a free loopback port.

    Args:
        reactor: to listen with.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._factory = WebSocketServerFactory(reactor=reactor)
        self._factory.protocol = _Feed
        self._factory.noisy = False
        self._factory.numbers = itertools.count(1)
        self._factory.endings = itertools.cycle(["drop", "close"])
        self._port: Any = None

    def listen(self) -> str:
        """Takes a port; gives the URL."""
        self._port = self._reactor.listenTCP(0, self._factory, interface="127.0.0.1")
        return f"ws://127.0.0.1:{self._port.getHost().port}/readings"

    def stopService(self) -> Any:
        """Closes the port."""
        super().stopService()
        return self._port.stopListening()


class DemoHandler(Handler[int]):
    """Shows what it gets; its state counts the readings."""

    def handle_connect(self, conn: Conn, state: int) -> Reply[int]:
        """Greets, to be echoed."""
        return Reply(Text(f"hello, {state or 0} readings so far"), state or 0)

    def handle_frame(self, frame: Text | Binary, state: int) -> Ok[int]:
        """Shows a message."""
        _show(str(frame.payload))
        self.client.mark_healthy()  # it works: the next loss is attempt 1 again
        return Ok(state + 1 if str(frame.payload).startswith("reading") else state)

    def handle_disconnect(self, status: Disconnect, state: int) -> Answer[int]:
        """Follows the policy, as it would without this method."""
        _show(f"-- cut off: {status.reason}")
        return super().handle_disconnect(status, state)

    def terminate(self, reason: Any, state: int) -> None:
        """Says how much came."""
        _show(f"-- the end, after {state} readings: {reason}")


def _show(line: str) -> None:
    """Prints past twistd, which would make a log line of it."""
    print(line, file=sys.__stdout__, flush=True)

"""``twistd wsx --demo-server``: the server of the README and of the tutorial."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any, ClassVar, Final
from zlib import crc32

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from wsx._text import quote

__all__ = ["CLOSE_TIMEOUT", "StandaloneServer"]

_TICK_SECONDS: Final = 0.5  # The time between two ticks of a symbol.
_FEED_SECONDS: Final = 20.0  # The time after which the server ends a connection to the feed.
_MAX_SYMBOLS: Final = 20  # of one connection
_ECHO, _FEED = "/", "/feed"
# Autobahn's timers count in whole seconds, so its default of 1 s can end at once, and the abort
# then overtakes the close frame.
CLOSE_TIMEOUT: Final = 5.0  # seconds
_GOING_AWAY: Final = 1001  # close code
_SERVICE_RESTART: Final = 1012  # close code

_log = Logger("wsx")


class _Connection(WebSocketServerProtocol):  # type: ignore[misc]
    """Echo messages, or send ticks, as the path of the URL says."""

    def onConnect(self, request: Any) -> None:
        if request.path not in (_ECHO, _FEED):
            raise ConnectionDeny(404, f"Not Found (the paths are {_ECHO} and {_FEED})")
        self._is_feed = request.path == _FEED
        self._symbols: list[str] = []

    def onOpen(self) -> None:
        self.factory.connections.add(self)
        _log.info("demo server: a client connected to {path}", path=self.http_request_path)
        if self._is_feed:
            self._ticks = LoopingCall(self._send_ticks)
            self._ticks.clock = self.factory.reactor
            self._ticks.start(self.factory.tick_seconds, now=False)
            later = self.factory.reactor.callLater
            self._ending = later(self.factory.feed_seconds, self._end)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        act = None if isBinary else self._commands.get(payload)
        if act is not None:
            act(self)
        elif self._is_feed:
            self._subscribe(payload)
        else:
            self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        if self not in self.factory.connections:
            return  # The opening handshake has failed.
        self.factory.connections.discard(self)
        _log.info("demo server: the connection to {path} ended", path=self.http_request_path)
        if self._is_feed:
            self._ticks.stop()
            if self._ending.active():
                self._ending.cancel()

    def _subscribe(self, payload: bytes) -> None:
        word, _, symbol = payload.decode(errors="replace").partition(" ")
        if word != "subscribe" or not symbol.isalnum() or len(symbol) > 12:
            self._send_json(error='expected "subscribe SYMBOL", "drop" or "close"')
        elif len(self._symbols) == _MAX_SYMBOLS:
            self._send_json(error=f"expected at most {_MAX_SYMBOLS} symbols")
        elif symbol not in self._symbols:
            self._symbols.append(symbol)
            self._send_tick(symbol)

    def _send_ticks(self) -> None:
        for symbol in self._symbols:
            self._send_tick(symbol)

    def _send_tick(self, symbol: str) -> None:
        number = next(self.factory.numbers)
        price = 100 + 10 * math.sin(number / 9 + crc32(symbol.encode()) % 100)
        self._send_json(number=number, symbol=symbol, price=round(price, 2))

    def _send_json(self, **values: Any) -> None:
        if self.state == self.STATE_OPEN:  # Otherwise Autobahn may raise Disconnected.
            self.sendMessage(json.dumps(values).encode())

    def _end(self) -> None:
        (self._drop if next(self.factory.endings) else self._restart)()

    def _drop(self) -> None:
        """End the TCP connection without a close frame."""
        self.transport.loseConnection()

    def _restart(self) -> None:
        """Send a close frame, as a server does that is about to restart."""
        self.sendCloseFrame(_SERVICE_RESTART, b"restarting")

    _commands: ClassVar[dict[bytes, Callable[[Any], None]]] = {b"drop": _drop, b"close": _restart}


class StandaloneServer(Service):
    """Serve an echo at ``/`` and ticks at ``/feed``, on the loopback.

    A client subscribes to the ticks of a symbol by the message ``subscribe SYMBOL``. The server
    ends each connection to the feed after 20 seconds, in turn by a drop and by close code 1012.
    The messages ``drop`` and ``close`` end any connection at once.

    Args:
        port: The port, or 0 for a free one.
        reactor: The reactor that listens.
        tick_seconds: The time between two ticks. Default 0.5.
        feed_seconds: The time after which a connection to the feed ends. Default 20.
    """

    def __init__(
        self,
        port: int,
        reactor: Any,
        *,
        tick_seconds: float = _TICK_SECONDS,
        feed_seconds: float = _FEED_SECONDS,
    ) -> None:
        self._number = port
        self._reactor = reactor
        self._factory = WebSocketServerFactory(reactor=reactor)
        self._factory.protocol = _Connection
        self._factory.setProtocolOptions(closeHandshakeTimeout=CLOSE_TIMEOUT)
        self._factory.noisy = False
        self._factory.connections = set()
        self._factory.numbers = itertools.count(1)
        self._factory.endings = itertools.cycle([True, False])
        self._factory.tick_seconds = tick_seconds
        self._factory.feed_seconds = feed_seconds
        self._port: Any = None

    @property
    def url(self) -> str:
        """The URL of the echo. Only valid while the service runs."""
        return f"ws://127.0.0.1:{self._port.getHost().port}/"

    def startService(self) -> None:
        """Listen, and log what is served."""
        super().startService()
        self._port = self._reactor.listenTCP(self._number, self._factory, interface="127.0.0.1")
        _log.info(
            "demo server: an echo at {url}, and ticks at {url}feed after {message}; the messages "
            "{drop} and {close} end a connection",
            url=self.url,
            message=quote("subscribe SYMBOL"),
            drop=quote("drop"),
            close=quote("close"),
        )

    def stopService(self) -> Any:
        """Stop listening, and close all connections with code 1001.

        Returns:
            A Deferred that fires when the port is closed.
        """
        super().stopService()
        for connection in list(self._factory.connections):
            connection.sendCloseFrame(_GOING_AWAY, b"the demo server stops")
        return self._port.stopListening()

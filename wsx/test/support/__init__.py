"""What the tests share: an in-memory server, driven by hand, and base classes.

No sockets and no real time: :class:`MemoryServer` is an endpoint whose connections end at
:class:`Peer` objects, and a ``Clock`` is moved by the test.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import FailTest, SynchronousTestCase, TestCase
from zope.interface import implementer

import wsx
from wsx._wire import handshake
from wsx._wire.encoder import FIN, apply_mask

URL = "ws://example.test/feed"


def slow_mask(payload: bytes, mask: bytes) -> bytes:
    """RFC 6455 section 5.3, word for word."""
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def server_frame(opcode: int, payload: bytes = b"", flags: int = FIN, mask: bytes = b"") -> bytes:
    """Gives a frame as a server sends it; with ``mask``, as it must not."""
    first = flags | opcode
    bit = 0x80 if mask else 0
    length = len(payload)
    if length < 126:
        head = bytes([first, bit | length])
    elif length < 65536:
        head = bytes([first, bit | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + length.to_bytes(8, "big")
    return head + mask + (apply_mask(payload, mask) if mask else payload)


def text(payload: str) -> bytes:
    """A server's text message on the wire."""
    return server_frame(1, payload.encode())


def close(code: int | None = None, message: str = "") -> bytes:
    """A server's close frame on the wire."""
    return server_frame(8, b"" if code is None else code.to_bytes(2, "big") + message.encode())


def read_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Decodes what a client sent, as pairs of opcode and payload; every frame must be masked."""
    frames = []
    pos = 0
    while pos < len(data):
        assert data[pos + 1] & 0x80, "a client's frame is not masked"
        length, start = data[pos + 1] & 0x7F, pos + 2
        if length == 126:
            length, start = int.from_bytes(data[pos + 2 : pos + 4], "big"), pos + 4
        elif length == 127:
            length, start = int.from_bytes(data[pos + 2 : pos + 10], "big"), pos + 10
        mask, start = data[start : start + 4], start + 4
        frames.append((data[pos] & 0x0F, apply_mask(data[start : start + length], mask)))
        pos = start + length
    return frames


class MemoryTransport(StringTransport):
    """A transport that ends when it is told to, with its reason in a later step, as TCP's does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.aborted = False

    def abortConnection(self) -> None:
        if not self.aborted:
            self.aborted = True
            self._clock.callLater(0, self._lost)

    def _lost(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def reading_paused(self) -> bool:
        """Whether the client holds us back."""
        return self.producerState == "paused"


@contextmanager
def case(label: object) -> Iterator[None]:
    """Says which of many similar inputs a failure is about (trial knows no ``subTest``)."""
    try:
        yield
    except Exception as error:
        raise FailTest(f"{label!r}: {error!r}") from error


def collect_garbage() -> None:
    """Makes an error that was lost in a dropped Deferred or coroutine show itself.

    What survives is not looked at again, so that this costs what one test made, and not more with
    every test that has run.
    """
    gc.collect()
    gc.freeze()


class Peer:
    """The server's side of one connection."""

    def __init__(self, protocol: Any, clock: Clock) -> None:
        self.protocol = protocol
        self.transport = MemoryTransport(clock)
        self.transport.protocol = protocol
        self._lost = False

    @property
    def request(self) -> tuple[str, dict[str, str]]:
        """The request line, and the headers with their names in lower case."""
        line, *fields = self.transport.value().decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        return line, {k.lower(): v for k, _, v in (field.partition(": ") for field in fields)}

    def answer(self, rest: bytes = b"", accept: str | None = None, **headers: str) -> None:
        """Completes the opening handshake; ``rest`` comes in the same read.

        Headers replace the usual ones (``_`` stands for ``-``); an empty value leaves one out.
        """
        usual = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept
            or handshake.accept_value(self.request[1]["sec-websocket-key"]),
        }
        usual |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in usual.items() if value]
        response = "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""])
        self.transport.clear()
        self.send(response.encode("latin-1") + rest)

    def send(self, data: bytes) -> None:
        """Sends bytes in one read."""
        self.protocol.dataReceived(data)

    def received(self) -> list[tuple[int, bytes]]:
        """Gives the frames that came since the last call, as pairs of opcode and payload."""
        data = self.transport.value()
        self.transport.clear()
        return read_frames(data)

    def drop(self, error: Exception | None = None) -> None:
        """Ends TCP; without a close frame before, that is a dropped connection."""
        if not self._lost:
            self._lost = True
            self.protocol.connectionLost(Failure(error or ConnectionDone()))

    @property
    def buffer(self) -> IPushProducer:
        """The client as the transport's producer: pause it, and the write buffer is full."""
        return self.transport.producer


@implementer(IStreamClientEndpoint)
class MemoryServer:
    """An endpoint, to be given to a client as its ``endpoint`` option.

    Attributes:
        peers: the connections made so far.
        refusal: an exception that every attempt fails with.
        silent: attempts neither succeed nor fail.
        cancelled: how many attempts were given up while TCP was being made.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.peers: list[Peer] = []
        self.refusal: Exception | None = None
        self.silent = False
        self.attempts = 0
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        if self.refusal is not None:
            return fail(self.refusal)
        if self.silent:
            return Deferred(self._cancel)
        protocol = factory.buildProtocol(None)
        peer = Peer(protocol, self._clock)
        self.peers.append(peer)
        connected: Deferred[Any] = Deferred()
        protocol.makeConnection(peer.transport)
        connected.callback(protocol)
        return connected

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled += 1

    @property
    def peer(self) -> Peer:
        """The last connection."""
        return self.peers[-1]


class Recorder(wsx.Handler[Any]):
    """Notes every callback as ``(name, argument, state)`` and answers as it is told.

    Args:
        answers: a callback's name to what it answers: a result, an exception to raise, or a
            function of argument and state.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, Any, Any]] = []

    def _answer(self, name: str, argument: Any, state: Any) -> Any:
        self.calls.append((name, argument, state))
        answer = self.answers.get(name)
        if isinstance(answer, BaseException):
            raise answer
        return answer(argument, state) if callable(answer) else answer

    def handle_connect(self, conn: Any, state: Any) -> Any:
        return self._answer("handle_connect", conn, state)

    def handle_frame(self, frame: Any, state: Any) -> Any:
        return self._answer("handle_frame", frame, state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return self._answer("handle_cast", message, state)

    def handle_info(self, message: Any, state: Any) -> Any:
        return self._answer("handle_info", message, state)

    def handle_ping(self, frame: Any, state: Any) -> Any:
        return self._answer("handle_ping", frame, state)

    def handle_pong(self, frame: Any, state: Any) -> Any:
        return self._answer("handle_pong", frame, state)

    def handle_disconnect(self, status: Any, state: Any) -> Any:
        return self._answer("handle_disconnect", status, state)

    def terminate(self, reason: Any, state: Any) -> Any:
        return self._answer("terminate", reason, state)

    @property
    def names(self) -> list[str]:
        """The names of the callbacks so far."""
        return [name for name, _, _ in self.calls]

    def arguments(self, name: str) -> list[Any]:
        """The arguments of the calls of one callback."""
        return [argument for called, argument, _ in self.calls if called == name]


class MemoryCase(SynchronousTestCase):
    """Tests of a client against an in-memory server, with a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = MemoryServer(self.clock)

    def tearDown(self) -> None:
        collect_garbage()

    def start(self, handler: Any, state: Any = None, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Starts a client; keepalive is off unless asked for."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        return wsx.start(options.pop("url", URL), handler, state, **options)

    def open(self, handler: Any, state: Any = None, **options: Any) -> wsx.Client[Any]:
        """Starts a client and completes its opening handshake."""
        started = self.start(handler, state, **options)
        self.server.peer.answer()
        self.step()
        return self.successResultOf(started)

    def step(self) -> None:
        """Lets everything happen that needs no time; a few steps' worth."""
        for _ in range(10):
            self.clock.advance(0)

    @property
    def peer(self) -> Peer:
        """The server's side of the last connection."""
        return self.server.peer


class LoopbackCase(TestCase):
    """Tests over real loopback sockets."""

    timeout = 30

    def tearDown(self) -> None:
        collect_garbage()

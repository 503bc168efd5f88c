"""The server of the benchmarks: plain sockets and prepared bytes, so it is not the bottleneck.

It completes the opening handshake, and then does what the path of the URL selects:

``/stream?size=S&count=N``  send N text messages of S bytes
``/sink?size=S&count=N``    receive N text messages of S bytes, then send the number of bytes
                            received, as a text message
``/echo?count=N``           send back N short messages, one at a time
``/idle``                   send nothing
``/fan?size=S&burst=B``     for each message received on any ``/fan`` connection, send B text
                            messages of S bytes on every ``/fan`` connection, in one write each
``/latency``                wait for a measurement; the client sends back each message
``/measure?connections=C&count=N&rate=R&size=S``
                            measure N round trips on C ``/latency`` connections (see
                            ``latency.py``), then send the results as a text message of JSON

The first three and the last end with a close frame. The server closes the TCP connection when it
receives the client's close frame, so clients need not wait. Each of these connections has its own
thread with blocking calls, which need the fewest system calls. One loop serves opening handshakes,
idle connections and ``/fan`` connections. Each TLS handshake has a thread.

Run it with ``python -m benchmarks.server [--certificate PEM]``; it prints its ports as JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from threading import Thread
from typing import Any, Protocol
from urllib.parse import parse_qsl

from benchmarks import wire
from benchmarks.latency import Measurement
from benchmarks.tls import TlsConnection, tls_context

_BATCH = 256 * 1024  # Bytes of prepared frames in one send.
_SPIN = 1e-3  # Seconds of polling for the next message to echo before sleeping.
_CLOSE_TIMEOUT = 5.0  # Seconds for the client to reply to a close frame.
_KEY = re.compile(rb"\r\nsec-websocket-key:[ \t]*(\S+)", re.IGNORECASE)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(Protocol):
    """The methods of a socket that the tasks use."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of ``data``."""

    def recv(self, size: int, /) -> bytes:
        """Receive up to ``size`` bytes; return no bytes at the end of the stream."""

    def settimeout(self, seconds: float, /) -> None:
        """Set the timeout of ``sendall`` and ``recv``."""

    def setsockopt(self, level: int, name: int, value: int | bytes, /) -> None:
        """Set an option of the socket."""

    def fileno(self) -> int:
        """Return the descriptor of the socket."""

    def close(self) -> None:
        """Close the connection."""


def stream(connection: Connection, size: int, count: int) -> None:
    """Send messages as fast as the client reads them."""
    one = wire.frame(b"x" * size)
    per_batch = max(1, _BATCH // len(one))
    batches, rest = divmod(count, per_batch)
    batch = one * per_batch
    for _ in range(batches):
        connection.sendall(batch)
    connection.sendall(one * rest + wire.close_frame())


def sink(connection: Connection, size: int, count: int) -> None:
    """Receive messages, then send the number of bytes of the frames received."""
    expected = wire.frame_size(size, masked=True) * count
    received = 0
    while received < expected and (data := connection.recv(1 << 18)):
        received += len(data)
    connection.sendall(wire.frame(str(received).encode()) + wire.close_frame())


def echo(connection: Connection, count: int) -> None:
    """Send back short messages; the client sends the next after it received the last."""
    poll = select.epoll()
    poll.register(connection, select.EPOLLIN)
    for _ in range(count):
        spin_until_readable(poll)
        data = connection.recv(4096)
        while data and len(data) < 2 + 4 + (data[1] & 0x7F):
            data += connection.recv(4096)
        if not data:
            return
        connection.sendall(wire.frame(wire.xor(data[6:], data[2:6]), data[0]))
    connection.sendall(wire.close_frame())


def spin_until_readable(poll: select.epoll) -> None:
    """Wait until the socket is readable, at first without sleeping.

    Waking up a core takes longer than a round trip.
    """
    deadline = time.perf_counter() + _SPIN
    while not poll.poll(0):
        if time.perf_counter() > deadline:
            poll.poll()


TASKS: dict[str, Callable[..., None]] = {"/stream": stream, "/sink": sink, "/echo": echo}


def serve_blocking(
    connection: Connection, task: Callable[..., None], options: dict[str, int]
) -> None:
    """Run a task in this thread, then close the connection."""
    try:
        task(connection, **options)
        connection.settimeout(_CLOSE_TIMEOUT)
        connection.recv(4096)  # The client's close frame, or the end of the stream.
    except OSError:
        pass  # The client closed the connection early, or did not answer.
    finally:
        connection.close()


def accept_tls(
    connection: socket.socket,
    context: ssl.SSLContext,
    assign: Callable[[TlsConnection, str, bytes], None],
) -> None:
    """Complete the TLS handshake, receive the opening handshake, then call ``assign``."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = TlsConnection(connection, context)
        data = b""
        while b"\r\n\r\n" not in data:
            data += secure.recv(65536) or b"\r\n\r\n"
        assign(secure, handshake_target(data), wire.response(handshake_key(data)))
    except (OSError, ValueError) as error:
        print(f"server: {error}", file=sys.stderr)
        connection.close()


def handshake_key(data: bytes) -> bytes:
    """Return the ``Sec-WebSocket-Key`` of a request.

    Raises:
        ValueError: The request has no key.
    """
    found = _KEY.search(data)
    if found is None:
        raise ValueError(f"the request has no Sec-WebSocket-Key: {data[:200]!r}")
    return found[1]


def handshake_target(data: bytes) -> str:
    """Return the path and query of a request."""
    return data[4 : data.index(b" ", 4)].decode()


def split_target(target: str) -> tuple[str, dict[str, int]]:
    """Return the path and the parameters of a target."""
    path, _, query = target.partition("?")
    return path, {name: int(value) for name, value in parse_qsl(query)}


class Loop:
    """Accept connections, complete opening handshakes, and serve idle and ``/fan`` connections."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._plain = listen()
        self._secure = listen()
        self._poll = select.epoll()
        # Sockets by descriptor; with the request so far, or with the bytes of each burst.
        self._handshaking: dict[int, tuple[socket.socket, bytes]] = {}
        self._idle: dict[int, Connection] = {}
        self._fan: dict[int, tuple[Connection, bytes]] = {}
        self._measured: list[Any] = []
        self._tasks = {**TASKS, "/measure": self._measure}
        for listener in (self._plain, self._secure):
            self._poll.register(listener, select.EPOLLIN)

    @property
    def ports(self) -> dict[str, int]:
        """The ports, by ``"plain"`` and ``"tls"``."""
        return {"plain": self._plain.getsockname()[1], "tls": self._secure.getsockname()[1]}

    def run(self) -> None:
        """Serve until the process is killed."""
        plain, secure = self._plain.fileno(), self._secure.fileno()
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == plain:
                    self._accept()
                elif descriptor == secure:
                    connection, _ = self._secure.accept()
                    assert self._context is not None
                    start_thread(accept_tls, connection, self._context, self._assign)
                else:
                    self._handle_readable(descriptor)

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._plain.accept()
                connection.setblocking(False)
                self._handshaking[connection.fileno()] = connection, b""
                self._poll.register(connection, select.EPOLLIN)
        except BlockingIOError:
            pass

    def _handle_readable(self, descriptor: int) -> None:
        try:
            if descriptor in self._handshaking:
                self._handle_handshake(descriptor)
            elif descriptor in self._fan:
                self._handle_fan(descriptor)
            else:
                self._handle_idle(descriptor)
        except (OSError, ValueError):
            self._drop(descriptor)

    def _handle_handshake(self, descriptor: int) -> None:
        connection, start = self._handshaking[descriptor]
        data = start + (connection.recv(65536) or b"\r\n\r\n")
        if not data.endswith(b"\r\n\r\n"):
            self._handshaking[descriptor] = connection, data
            return
        response = wire.response(handshake_key(data))
        del self._handshaking[descriptor]
        self._poll.unregister(connection)
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._assign(connection, handshake_target(data), response)

    def _assign(self, connection: Connection, target: str, response: bytes) -> None:
        """Serve a connection here or in a thread of its own, depending on its path.

        Threads call this, too, for TLS connections. The response is sent only when the connection
        takes part in bursts and measurements, because the client starts them.
        """
        path, options = split_target(target)
        descriptor = connection.fileno()
        if path == "/idle":
            self._idle[descriptor] = connection
        elif path == "/fan":
            burst = wire.frame(b"x" * options["size"]) * options["burst"]
            self._fan[descriptor] = connection, burst
        elif path == "/latency":
            self._measured.append(connection)
        connection.sendall(response)
        if path in self._tasks:
            start_thread(serve_blocking, connection, self._tasks[path], options)
        elif path != "/latency":
            self._poll.register(descriptor, select.EPOLLIN)

    def _measure(
        self, connection: Connection, connections: int, count: int, rate: int, size: int
    ) -> None:
        """Measure round trips on the last ``connections`` connections; close the others."""
        measured, self._measured = self._measured, []
        try:
            histogram = Measurement(measured[-connections:], count, rate, size).run()
            receipt = json.dumps(histogram.as_json()).encode()
            connection.sendall(wire.frame(receipt) + wire.close_frame())
        finally:
            for one in measured:
                reset(one)

    def _handle_fan(self, descriptor: int) -> None:
        if self._fan[descriptor][0].recv(4096):
            for connection, burst in self._fan.values():
                connection.sendall(burst)
        else:
            self._drop(descriptor)

    def _handle_idle(self, descriptor: int) -> None:
        data = self._idle[descriptor].recv(4096)
        if data and data[0] != wire.CLOSE:
            return
        if data:
            self._idle[descriptor].sendall(wire.close_frame())
        self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        """Reset a connection, so that thousands in TIME_WAIT do not affect the next round."""
        entry = self._handshaking.pop(descriptor, None) or self._fan.pop(descriptor, None)
        connection = entry[0] if entry else self._idle.pop(descriptor)
        reset(connection)


def reset(connection: Connection) -> None:
    """Close a connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


def listen() -> socket.socket:
    """Return a non-blocking socket that listens on a free port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    return listener


def start_thread(work: Callable[..., None], *arguments: object) -> None:
    """Start a daemon thread."""
    Thread(target=work, args=arguments, daemon=True).start()


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--certificate", metavar="PEM", help="PEM file with the key and the chain; default: no TLS"
    )
    options = parser.parse_args()
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    loop = Loop(tls_context(options.certificate) if options.certificate else None)
    print(json.dumps(loop.ports), flush=True)
    loop.run()


if __name__ == "__main__":
    main()

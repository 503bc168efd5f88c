"""The server of the benchmarks: plain sockets and prepared bytes, so it is not the bottleneck.

It completes the opening handshake, and then does what the path of the URL selects:

``/stream?size=S&count=N``  send N text messages of S bytes
``/sink?size=S&count=N``    receive N text messages of S bytes, then send the number of bytes
                            received, as a text message
``/echo?count=N``           send back N short messages, one at a time
``/idle``                   send nothing
``/fan?size=S&burst=B``     for each message received on any ``/fan`` connection, send B text
                            messages of S bytes on every ``/fan`` connection, in one write each

The first three end with a close frame. The server closes the TCP connection when it receives the
client's close frame, so clients need not wait. Each of these connections, and each TLS connection,
has its own thread with blocking calls, which need the fewest system calls. One loop serves
opening handshakes, idle connections and ``/fan`` connections.

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
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl

from benchmarks import wire

T = TypeVar("T")

CIPHER = "TLS_AES_256_GCM_SHA384"  # What OpenSSL prefers; other clients are rejected.

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


def serve_blocking(connection: Connection, target: str) -> None:
    """Run a task in this thread, then close the connection."""
    path, _, query = target.partition("?")
    try:
        TASKS[path](connection, **{name: int(value) for name, value in parse_qsl(query)})
        connection.settimeout(_CLOSE_TIMEOUT)
        connection.recv(4096)  # The client's close frame, or the end of the stream.
    except OSError:
        pass  # The client closed the connection early.
    finally:
        connection.close()


class TlsConnection:
    """A blocking TLS connection with the methods of ``Connection``.

    An ``SSLSocket`` makes a system call for each record of 16 KiB; this class makes one for each
    send.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self._socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._retry(self._tls.do_handshake)
        self._flush()
        if self._tls.cipher()[0] != CIPHER:  # type: ignore[index]
            raise OSError(f"cipher: expected {CIPHER}, got {self._tls.cipher()}")
        self.settimeout = connection.settimeout
        self.fileno = connection.fileno
        self.close = connection.close

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``."""
        view = memoryview(data)
        for start in range(0, len(data), _BATCH):
            self._tls.write(view[start : start + _BATCH])
            self._flush()

    def recv(self, size: int) -> bytes:
        """Receive up to ``size`` bytes."""
        return self._retry(lambda: self._tls.read(size))

    def _retry(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(self._receive())

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the client closed the connection")
        return data

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())


def serve_tls(connection: socket.socket, context: ssl.SSLContext) -> None:
    """Serve a TLS connection: TLS handshake, opening handshake, task."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = TlsConnection(connection, context)
        data = b""
        while b"\r\n\r\n" not in data:
            data += secure.recv(65536) or b"\r\n\r\n"
        secure.sendall(wire.response(handshake_key(data)))
    except (OSError, ValueError) as error:
        print(f"server: {error}", file=sys.stderr)
        connection.close()
    else:
        serve_blocking(secure, handshake_target(data))


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


class Loop:
    """Accept connections, complete opening handshakes, and serve idle and ``/fan`` connections."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._plain = listen()
        self._secure = listen()
        self._poll = select.epoll()
        # Sockets by descriptor; with the request so far, or with the bytes of each burst.
        self._handshaking: dict[int, tuple[socket.socket, bytes]] = {}
        self._idle: dict[int, socket.socket] = {}
        self._fan: dict[int, tuple[socket.socket, bytes]] = {}
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
                    start_thread(serve_tls, connection, self._context)
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
        connection.sendall(wire.response(handshake_key(data)))
        del self._handshaking[descriptor]
        self._assign(connection, handshake_target(data))

    def _assign(self, connection: socket.socket, target: str) -> None:
        """Serve a connection here or in a thread of its own, depending on its path."""
        path, _, query = target.partition("?")
        if path == "/idle":
            self._idle[connection.fileno()] = connection
        elif path == "/fan":
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            options = {name: int(value) for name, value in parse_qsl(query)}
            burst = wire.frame(b"x" * options["size"]) * options["burst"]
            self._fan[connection.fileno()] = connection, burst
        else:
            self._poll.unregister(connection)
            connection.setblocking(True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            start_thread(serve_blocking, connection, target)

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


def tls_context(chain_and_key: str) -> ssl.SSLContext:
    """Return a TLS 1.3 context, so that all clients use the same version and cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # No client resumes a session.
    context.load_cert_chain(chain_and_key)
    return context


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

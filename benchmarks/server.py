"""The server of the benchmarks: plain sockets and ready-made bytes: it is never the slow side.

It answers the opening handshake, and then does what the path of the URL says:

``/stream?size=S&count=N``  sends N text messages of S bytes
``/sink?size=S&count=N``    takes N text messages of S bytes, then says in one how many bytes came
``/echo?count=N``           sends back N short messages, one at a time
``/idle``                   sends nothing
``/fan?size=S&burst=B``     whenever a message comes on any ``/fan`` connection, sends B text
                            messages of S bytes on each of them, in one write

The first three end with a close frame, and the server ends TCP once it is answered: clients need
not wait. Each of them, and everything with TLS, has a blocking thread of its own, which leaves the
kernel as little to do as can be; handshakes, idle connections and fans are served by one loop.

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

CIPHER = "TLS_AES_256_GCM_SHA384"  # what OpenSSL prefers; a client with another gets nothing

_BATCH = 256 * 1024  # bytes of ready-made frames for one send
_AWAKE = 1e-3  # seconds that it looks for the next message to echo without sleeping
_PATIENCE = 5.0  # seconds for the answer to a close frame
_KEY = re.compile(rb"\r\nsec-websocket-key:[ \t]*(\S+)", re.IGNORECASE)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(Protocol):
    """What the tasks need of a socket."""

    def sendall(self, data: bytes, /) -> None:
        """Sends everything."""

    def recv(self, size: int, /) -> bytes:
        """Receives something; nothing at the end."""

    def settimeout(self, seconds: float, /) -> None:
        """Limits how long the others may take."""

    def close(self) -> None:
        """Ends it."""


def stream(connection: Connection, size: int, count: int) -> None:
    """Sends messages as fast as the client takes them."""
    one = wire.frame(b"x" * size)
    per_batch = max(1, _BATCH // len(one))
    batches, rest = divmod(count, per_batch)
    batch = one * per_batch
    for _ in range(batches):
        connection.sendall(batch)
    connection.sendall(one * rest + wire.close_frame())


def sink(connection: Connection, size: int, count: int) -> None:
    """Takes messages, and says how many bytes of frames came."""
    due = wire.frame_size(size, masked=True) * count
    came = 0
    while came < due and (data := connection.recv(1 << 18)):
        came += len(data)
    connection.sendall(wire.frame(str(came).encode()) + wire.close_frame())


def echo(connection: socket.socket, count: int) -> None:
    """Sends back short messages, of which the client has one on its way at a time."""
    poll = select.epoll()
    poll.register(connection, select.EPOLLIN)
    for _ in range(count):
        wait_awake(poll)
        data = connection.recv(4096)
        while data and len(data) < 2 + 4 + (data[1] & 0x7F):
            data += connection.recv(4096)
        if not data:
            return
        connection.sendall(wire.frame(wire.xor(data[6:], data[2:6]), data[0]))
    connection.sendall(wire.close_frame())


def wait_awake(poll: select.epoll) -> None:
    """Waits without sleeping, for a while: to wake a core takes longer than a round trip."""
    until = time.perf_counter() + _AWAKE
    while not poll.poll(0):
        if time.perf_counter() > until:
            poll.poll()


TASKS: dict[str, Callable[..., None]] = {"/stream": stream, "/sink": sink, "/echo": echo}


def serve_blocking(connection: Connection, target: str) -> None:
    """Does a task in this thread, and ends the connection."""
    path, _, query = target.partition("?")
    try:
        TASKS[path](connection, **{name: int(value) for name, value in parse_qsl(query)})
        connection.settimeout(_PATIENCE)
        connection.recv(4096)  # the answer to the close frame, or the end
    except OSError:
        pass  # a client that had enough
    finally:
        connection.close()


class TlsConnection:
    """A blocking TLS connection, with the socket's methods that are used here.

    An ``SSLSocket`` makes a system call for each record of 16 KiB; this one does for each send.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self._socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._retry(self._tls.do_handshake)
        self._flush()
        if self._tls.cipher()[0] != CIPHER:  # type: ignore[index]
            raise OSError(f"another cipher: {self._tls.cipher()}")
        self.settimeout = connection.settimeout
        self.close = connection.close

    def sendall(self, data: bytes) -> None:
        """Sends everything."""
        view = memoryview(data)
        for start in range(0, len(data), _BATCH):
            self._tls.write(view[start : start + _BATCH])
            self._flush()

    def recv(self, size: int) -> bytes:
        """Receives something."""
        return self._retry(lambda: self._tls.read(size))

    def _retry(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(self._received())

    def _received(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the connection ended")
        return data

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())


def serve_tls(connection: socket.socket, context: ssl.SSLContext) -> None:
    """Serves a TLS connection from its first byte on."""
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
    """Finds the client's key.

    Raises:
        ValueError: there is none.
    """
    found = _KEY.search(data)
    if found is None:
        raise ValueError(f"no handshake: {data[:200]!r}")
    return found[1]


def handshake_target(data: bytes) -> str:
    """Finds path and query."""
    return data[4 : data.index(b" ", 4)].decode()


class Loop:
    """Accepts, answers handshakes, and keeps the connections that have no thread."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._plain = listen()
        self._secure = listen()
        self._poll = select.epoll()
        self._begun: dict[int, tuple[socket.socket, bytes]] = {}  # and what came of the request
        self._idle: dict[int, socket.socket] = {}
        self._fan: dict[int, tuple[socket.socket, bytes]] = {}  # and its bytes for each burst
        for listener in (self._plain, self._secure):
            self._poll.register(listener, select.EPOLLIN)

    @property
    def ports(self) -> dict[str, int]:
        """Where it listens."""
        return {"plain": self._plain.getsockname()[1], "tls": self._secure.getsockname()[1]}

    def run(self) -> None:
        """Serves until the process is ended."""
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
                    self._readable(descriptor)

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._plain.accept()
                connection.setblocking(False)
                self._begun[connection.fileno()] = connection, b""
                self._poll.register(connection, select.EPOLLIN)
        except BlockingIOError:
            pass

    def _readable(self, descriptor: int) -> None:
        try:
            if descriptor in self._begun:
                self._shake_hands(descriptor)
            elif descriptor in self._fan:
                self._fan_readable(descriptor)
            else:
                self._idle_readable(descriptor)
        except (OSError, ValueError):
            self._drop(descriptor)

    def _shake_hands(self, descriptor: int) -> None:
        connection, before = self._begun[descriptor]
        data = before + (connection.recv(65536) or b"\r\n\r\n")
        if not data.endswith(b"\r\n\r\n"):
            self._begun[descriptor] = connection, data
            return
        connection.sendall(wire.response(handshake_key(data)))
        del self._begun[descriptor]
        self._assign(connection, handshake_target(data))

    def _assign(self, connection: socket.socket, target: str) -> None:
        """Finds out who serves a connection from now on."""
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

    def _fan_readable(self, descriptor: int) -> None:
        if self._fan[descriptor][0].recv(4096):
            for connection, burst in self._fan.values():
                connection.sendall(burst)
        else:
            self._drop(descriptor)

    def _idle_readable(self, descriptor: int) -> None:
        data = self._idle[descriptor].recv(4096)
        if data and data[0] != wire.CLOSE:
            return
        if data:
            self._idle[descriptor].sendall(wire.close_frame())
        self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        """Ends a connection at once: thousands must not wait in TIME_WAIT for the next round."""
        waiting = self._begun.pop(descriptor, None) or self._fan.pop(descriptor, None)
        connection = waiting[0] if waiting else self._idle.pop(descriptor)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        connection.close()


def listen() -> socket.socket:
    """Listens on a free port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    return listener


def start_thread(work: Callable[..., None], *arguments: object) -> None:
    """Starts a thread that does not keep the process alive."""
    Thread(target=work, args=arguments, daemon=True).start()


def tls_context(chain_and_key: str) -> ssl.SSLContext:
    """One version and one cipher for all clients: TLS 1.3 and what OpenSSL prefers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # nobody comes back
    context.load_cert_chain(chain_and_key)
    return context


def main() -> None:
    """Runs the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", metavar="PEM", help="key and chain; without it, no TLS")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop = Loop(tls_context(options.certificate) if options.certificate else None)
    print(json.dumps(loop.ports), flush=True)
    loop.run()


if __name__ == "__main__":
    main()

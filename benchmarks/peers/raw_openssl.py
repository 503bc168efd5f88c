"""A baseline: the ``ssl`` module on blocking sockets, without a WebSocket library.

It shows the memory and time that OpenSSL itself takes for a connection.
"""

from __future__ import annotations

import socket
import ssl
from functools import cache
from urllib.parse import urlsplit

from benchmarks import wire
from benchmarks.peers.blocking import run
from benchmarks.peers.job import Job


@cache
def context(ca: str | None) -> ssl.SSLContext:
    """Return the context that all connections share."""
    return ssl.create_default_context(cafile=ca)


def connect_tcp(job: Job) -> tuple[socket.socket, bytes]:
    """Return a TCP connection, and the request for the opening handshake."""
    parts = urlsplit(job.url)
    connection = socket.create_connection((parts.hostname, parts.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection, wire.request(parts.netloc, parts.path)


def connect(job: Job) -> socket.socket:
    """Open a connection."""
    connection, request = connect_tcp(job)
    if job.ca is not None:
        connection = context(job.ca).wrap_socket(connection, server_hostname="127.0.0.1")
    connection.sendall(request)
    assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
    return connection


if __name__ == "__main__":
    run(connect)

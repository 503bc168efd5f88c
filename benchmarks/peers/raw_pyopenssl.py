"""A baseline: pyOpenSSL, which Twisted uses, on blocking sockets, without a WebSocket library."""

from __future__ import annotations

from functools import cache
from typing import Any

from OpenSSL import SSL

from benchmarks.peers.blocking import run
from benchmarks.peers.job import Job
from benchmarks.peers.raw_openssl import connect_tcp


@cache
def context(ca: str | None) -> SSL.Context:
    """Return the context that all connections share."""
    shared = SSL.Context(SSL.TLS_METHOD)
    shared.load_verify_locations(ca)
    shared.set_verify(SSL.VERIFY_PEER)
    shared.set_mode(SSL.MODE_RELEASE_BUFFERS)  # As Twisted does.
    return shared


def connect(job: Job) -> Any:
    """Open a connection."""
    tcp, request = connect_tcp(job)
    connection: Any = tcp
    if job.ca is not None:
        connection = SSL.Connection(context(job.ca), tcp)
        connection.set_connect_state()
    connection.sendall(request)
    assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
    return connection


if __name__ == "__main__":
    run(connect)

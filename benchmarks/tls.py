"""TLS for the server: contexts, and connections over memory BIOs."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

CIPHER = "TLS_AES_256_GCM_SHA384"  # What OpenSSL prefers; other clients are rejected.

_BATCH = 256 * 1024  # Bytes encrypted in one system call.
_READ = 65536


def tls_context(chain_and_key: str) -> ssl.SSLContext:
    """Return a TLS 1.3 context, so that all clients use the same version and cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # No client resumes a session.
    context.load_cert_chain(chain_and_key)
    return context


class TlsConnection:
    """A blocking TLS connection with the methods of a socket that the server uses.

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
        self.setsockopt = connection.setsockopt
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

    def receive_ready(self) -> bytes:
        """Receive all bytes of complete records, once the socket is readable.

        Raises:
            OSError: The connection has ended.
        """
        self._incoming.write(self._receive())
        data = b""
        try:
            while True:
                data += self._tls.read(_READ)
        except ssl.SSLWantReadError:
            return data

    def _retry(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(self._receive())

    def _receive(self) -> bytes:
        data = self._socket.recv(_READ)
        if not data:
            raise ConnectionError("the client closed the connection")
        return data

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())

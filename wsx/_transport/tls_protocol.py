"""TLS between a TCP transport and a protocol, with the standard library's ``ssl``.

Twisted's TLS protocol collects small writes for one reactor iteration, delivers each record of at
most 16 KiB by itself, and uses pyOpenSSL, which is slow for small messages. This one encrypts at
once, delivers all records of a read together, and decrypts large payloads into the memory of the
protocol above.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from typing import Any, Final

from OpenSSL.crypto import FILETYPE_ASN1, X509, load_certificate
from OpenSSL.SSL import Error
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocolFactory,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._transport.direct_reads import BufferedReader, read_directly, read_into_buffer
from wsx._transport.tls_problems import WrongHostError, openssl_error
from wsx._transport.tls_stdlib import TLSSettings

__all__ = ["TLSFactory", "TLSProtocol"]

_RECORD: Final = 16384  # bytes of plaintext in a record, at most (RFC 8446 section 5.1)
_PORTION: Final = 65536  # bytes; OpenSSL's buffer keeps the size of the largest portion


class _Shared(threading.local):
    """Memory for the encrypted bytes of one read, for the connections of one thread."""

    def __init__(self) -> None:
        self.buffer = bytearray(262144)


_shared = _Shared()


class TLSFactory(Factory):
    """Factory for TLS protocols around those of another factory."""

    noisy = False

    def __init__(self, settings: TLSSettings, wrapped: IProtocolFactory) -> None:
        self._settings = settings
        self._wrapped = wrapped

    def doStart(self) -> None:
        self._wrapped.doStart()
        super().doStart()  # type: ignore[no-untyped-call]

    def doStop(self) -> None:
        self._wrapped.doStop()
        super().doStop()  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: Any) -> TLSProtocol | None:
        protocol = self._wrapped.buildProtocol(addr)
        return None if protocol is None else TLSProtocol(self._settings, protocol)


@implementer(ISSLTransport)
class TLSProtocol(Protocol):
    """The protocol above TCP, and the transport below the protocol of the application.

    Args:
        settings: The TLS settings.
        wrapped: The protocol above TLS. Its ``handshakeCompleted`` is called if it is an
            ``IHandshakeListener``.

    Attributes:
        wrappedProtocol: The protocol above TLS.
        disconnecting: Whether the connection is being closed.
    """

    transport: Any

    def __init__(self, settings: TLSSettings, wrapped: Any) -> None:
        self.wrappedProtocol = wrapped
        self.disconnecting = False
        self._settings = settings
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = settings.session(self._incoming, self._outgoing)
        # The object below is private. Its methods are in C, and take the same arguments.
        raw: Any = getattr(self._session, "_sslobj", self._session)
        self._read, self._write = raw.read, raw.write
        self._secured = False
        self._unsent: list[bytes] = []  # Written before the end of the TLS handshake.
        self._reader: BufferedReader | None = None
        self._ignores = False  # Whether received bytes are ignored: it was aborted, or has failed.
        self._closed_by_peer = False  # Whether a close_notify alert has arrived.
        self._broken: Error | None = None  # Why nothing more can be decrypted.
        self._error: Exception | None = None

    # The protocol above TCP

    def connectionMade(self) -> None:
        read_directly(self.transport, self)
        self.wrappedProtocol.makeConnection(self)
        self._shake_hands()

    def dataReceived(self, data: bytes) -> None:
        if self._ignores or self._closed_by_peer:
            return
        self._incoming.write(data)
        if self._secured or self._shake_hands():
            self._decrypt()

    def get_buffer(self) -> memoryview:
        """Return memory for the next bytes of TCP; see :meth:`read_into`."""
        return memoryview(_shared.buffer)

    def buffer_updated(self, size: int) -> None:
        """Decrypt the bytes that were read into the memory of :meth:`get_buffer`."""
        with memoryview(_shared.buffer) as whole:
            start = self._decrypt_into(whole[:size])
            while start < size and not (self._ignores or self._closed_by_peer):
                end = min(size, start + _PORTION)
                self._incoming.write(whole[start:end])
                self._decrypt()
                start = end

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._error is not None:
            reason = Failure(self._error)
        elif reason.check(ConnectionDone) and not self._closed_by_peer:
            # RFC 8446 section 6.1: without a close_notify alert, data may be missing.
            reason = Failure(ConnectionLost())
        self.disconnecting = self._ignores = True
        self._reader = None
        self.wrappedProtocol.connectionLost(reason)

    # Receiving

    def _shake_hands(self) -> bool:
        """Continue the TLS handshake; return whether it is complete."""
        try:
            self._secured = self._settings.shake_hands(self._session)
        except (Error, ConnectionLost) as error:
            if isinstance(error, WrongHostError):
                self._outgoing.read()  # The end of the handshake is not sent to a wrong server.
            self._fail(error)
            return False
        self._flush()
        if self._secured:
            unsent, self._unsent = self._unsent, []
            for data in unsent:
                self.write(data)
            if IHandshakeListener.providedBy(self.wrappedProtocol):
                self.wrappedProtocol.handshakeCompleted()
        return self._secured

    def _decrypt(self) -> None:
        """Decrypt all complete records, and pass them on together."""
        parts: list[bytes] = []
        try:
            self._read_records(parts)
        except ssl.SSLError as error:
            self._stopped_reading(error)
        if parts and not self._ignores:
            self.wrappedProtocol.dataReceived(b"".join(parts))  # Not a copy if there is only one.
        self._after_reading()

    def _read_records(self, parts: list[bytes]) -> None:
        """Decrypt records.

        Args:
            parts: The list to which the plaintext of each is added.

        Raises:
            SSLError: The session cannot continue, or waits for more bytes.
        """
        read, incoming = self._read, self._incoming
        while incoming.pending or self._session.pending():
            part = read(_RECORD)
            if not part:
                self._closed_by_peer = True
                break
            parts.append(part)

    def _after_reading(self) -> None:
        if self._outgoing.pending:  # TLS 1.3 answers a key update.
            self._flush()
        if self._closed_by_peer:
            self.loseConnection()
        if self._broken is not None:
            self._failed_to_read(self._broken)

    def _decrypt_into(self, data: memoryview) -> int:
        """Decrypt records into the memory of the protocol above, if it provides any.

        Returns:
            The number of bytes that were used. The rest is for :meth:`dataReceived`.
        """
        assert self._reader is not None
        view = self._reader.get_buffer()
        if view is None:
            return 0
        size = used = 0
        with view:
            while used < len(data) and size < len(view) and self._can_read:
                self._incoming.write(data[used : used + _PORTION])
                used += _PORTION
                size = self._fill(view, size)
        if size:
            self._reader.buffer_updated(size)
        left = self._session.pending() or self._incoming.pending
        if left and self._can_read and not self._ignores:
            self._decrypt()  # What is behind the large payload.
        else:
            self._after_reading()
        return used

    @property
    def _can_read(self) -> bool:
        return self._broken is None and not self._closed_by_peer

    def _fill(self, view: memoryview, size: int) -> int:
        """Decrypt records into memory behind ``size`` bytes; return the new number of bytes."""
        read, incoming, end = self._read, self._incoming, len(view)
        try:
            while size < end and incoming.pending:
                part = read(end - size, view[size:])
                if not part:
                    self._closed_by_peer = True
                    break
                size += part
        except ssl.SSLError as error:
            self._stopped_reading(error)
        return size

    def _stopped_reading(self, error: ssl.SSLError) -> None:
        """Record why no more records can be decrypted now."""
        if isinstance(error, ssl.SSLWantReadError):
            return  # The rest is a part of a record, or no application data.
        if isinstance(error, ssl.SSLZeroReturnError):
            self._closed_by_peer = True  # Raised after an empty result, or if we sent our alert.
        else:
            self._broken = openssl_error(error)

    def _failed_to_read(self, error: Error) -> None:
        if self.disconnecting:  # What arrives after our close_notify alert does not matter.
            self.transport.loseConnection()
        else:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End the connection because of an error, after the alert about it."""
        self._flush()
        self._error = error
        self._ignores = self.disconnecting = True
        self.transport.loseConnection()

    def read_into(self, reader: BufferedReader) -> None:
        """From now on, decrypt into the memory of a protocol when it provides any.

        The encrypted bytes are read into memory that all connections share, because new memory for
        each large read is slow.
        """
        self._reader = reader
        read_into_buffer(self.transport, self)

    # Sending: ITransport

    def write(self, data: bytes) -> None:
        """Encrypt bytes and pass them to TCP, once the TLS handshake is complete."""
        if self._secured:
            self.transport.write(self.encrypt(data))
        elif not self.disconnecting:
            self._unsent.append(data)

    def writeSequence(self, data: Any) -> None:
        """Write the concatenation of several bytes objects."""
        self.write(b"".join(data))

    def encrypt(self, data: bytes) -> bytes:
        """Return the records for some bytes; none if the connection is being closed.

        The TLS handshake must be complete.
        """
        if self.disconnecting:
            return b""
        try:
            if len(data) <= _RECORD:
                return self._encrypt_one(data)
            with memoryview(data) as view:
                starts = range(0, len(data), _RECORD)
                return b"".join([self._encrypt_one(view[i : i + _RECORD]) for i in starts])
        except ssl.SSLError as error:
            if not (self._closed_by_peer or self._broken):
                self._fail(openssl_error(error))
            return b""

    def _encrypt_one(self, data: bytes | memoryview) -> bytes:
        """Return the record for some bytes. OpenSSL's buffer stays as small as one record."""
        if data:
            self._write(data)
        return self._outgoing.read()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.transport.write(self._outgoing.read())

    # Closing

    def loseConnection(self) -> None:
        """Send a close_notify alert, and close TCP when that of the server has arrived."""
        if not self._secured:
            self.abortConnection()
            return
        if not self.disconnecting:
            self.disconnecting = True
            with contextlib.suppress(ssl.SSLError):  # It waits for the server's alert.
                self._session.unwrap()
                self._closed_by_peer = True
            self._flush()
        if self._closed_by_peer:
            # Twisted would resume a paused producer in place of closing an empty write buffer.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abortConnection(self) -> None:
        """Abort TCP, without an alert."""
        self.disconnecting = self._ignores = True
        self.transport.abortConnection()

    # The other methods of ISSLTransport, and the producers of ITransport

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Register a producer with TCP."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Unregister the producer."""
        self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Pause reading from TCP."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Resume reading from TCP."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    def getHost(self) -> Any:
        return self.transport.getHost()

    def getPeer(self) -> Any:
        return self.transport.getPeer()

    def getHandle(self) -> ssl.SSLObject:
        """Return the TLS session."""
        return self._session

    def getPeerCertificate(self) -> X509 | None:
        """Return the certificate of the server, or None before the end of the TLS handshake."""
        certificate = self._session.getpeercert(binary_form=True) if self._secured else None
        return None if certificate is None else load_certificate(FILETYPE_ASN1, certificate)

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that ALPN has selected, or None."""
        selected = self._session.selected_alpn_protocol()
        return None if selected is None else selected.encode("latin-1")

    def setTcpNoDelay(self, enabled: bool) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(enabled)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpKeepAlive(enabled)

    def getTcpNoDelay(self) -> bool:
        return bool(self.transport.getTcpNoDelay())

    def getTcpKeepAlive(self) -> bool:
        return bool(self.transport.getTcpKeepAlive())

    def loseWriteConnection(self) -> None:
        """Close the connection: TLS has no half-close that servers support."""
        self.loseConnection()

"""One WebSocket connection: a Twisted protocol from the opening handshake to the end of TCP.

It decodes received bytes into :class:`wsx._wire.batch.Batch` values for a :class:`Listener`, and
encodes frames into bytes for the transport.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet import protocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._transport.autobahn import Deflate, install_native_masker
from wsx._transport.gentle_close import GentleClose
from wsx._transport.opening import Accepted, OpeningHandshake
from wsx._transport.sockets import (
    increase_read_size,
    read_into_buffer,
    read_without_logging_context,
    write_now,
)
from wsx._transport.tls import explain
from wsx._wire.assembler import LARGE_PAYLOAD
from wsx._wire.batch import Batch
from wsx._wire.decoder import Decoder
from wsx._wire.encoder import FIN, RSV1, encode, encode_frame, masks
from wsx.conn import Conn
from wsx.errors import ConnError, RequestError, WsxError
from wsx.frames import CLOSE, NO_STATUS_RECEIVED, Binary, Frame, Text, close_payload, wire_payload

__all__ = ["Connection", "Listener", "Opening", "cause_of"]

install_native_masker()


class Listener(Protocol):
    """The interface that is notified of the events of an attempt and of its connection.

    ``opened`` or ``failed`` is called once for an attempt that is not cancelled. After ``opened``,
    ``closed`` is called once, as the last event. No method of the connection calls a method of the
    listener before it returns. ``Attempt.start`` may call ``failed`` before it returns.
    """

    def opened(self, connection: Connection, conn: Conn) -> None:
        """Handle a complete opening handshake. ``conn`` has the server's response."""

    def failed(self, error: WsxError) -> None:
        """Handle a failed attempt."""

    def received(self, batch: Batch) -> None:
        """Handle the frames of one read. The batch may be empty."""

    def writable(self) -> None:
        """Continue sending, because the write buffer has drained."""

    def closed(self, reason: BaseException) -> None:
        """Handle the end of the TCP connection."""


class Opening(Protocol):
    """The interface that is notified of the steps up to the end of the opening handshake."""

    def connected(self, connection: Connection) -> None:
        """Remember the TCP connection, which leads to the server or through the proxy to it."""

    def secured(self) -> None:
        """Start the time limit for the response, because TLS, if any, is established."""

    def succeeded(self, connection: Connection, conn: Conn) -> None:
        """Report a connection whose opening handshake is complete."""

    def failed(self, error: WsxError) -> None:
        """Report a failed opening handshake, or a connection that ended during it."""


@implementer(IHandshakeListener, IPushProducer)
class Connection(protocol.Protocol):
    """The protocol of one connection.

    The protocol is the push producer of its transport, so that the transport reports when the write
    buffer is above its high-water mark.

    Args:
        conn: Where and how to connect.
        opening: Notified until the opening handshake is complete.
        listener: Notified after the opening handshake.

    Attributes:
        writable: Whether the write buffer is below its high-water mark.
        buffered: The number of encoded bytes that wait for the next flush.
    """

    transport: Any

    def __init__(self, conn: Conn, opening: Opening, listener: Listener) -> None:
        self._conn = conn
        self._opening = opening
        self._listener = listener
        self._handshake: OpeningHandshake | None = OpeningHandshake(conn)
        self._deflate: Deflate | None = None
        self._decoder: Decoder | None = None  # While the connection is open.
        self._discarding = False  # Whether received bytes are discarded.
        self._close_sent = False
        self._requested = False  # Whether the request of the opening handshake was sent.
        self._aborted = False
        self._lost = False
        self._reads_large_payloads = False
        self._outgoing: list[bytes] = []
        self._gentle_close = GentleClose()
        self.buffered = 0
        self.writable = True

    # Twisted's events

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self._opening.connected(self)
        # A TLS transport calls handshakeCompleted itself once its own handshake is done.
        if not ISSLTransport.providedBy(self.transport):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """Send the request of the opening handshake. A TLS transport calls this."""
        self._opening.secured()
        if self._handshake is not None:
            self._requested = True
            self.transport.write(self._handshake.request())

    def dataReceived(self, data: bytes) -> None:
        if self._discarding:
            return
        if self._decoder is not None:
            self._receive_frames(self._decoder, data)
        elif self._handshake is not None:
            self._receive_response(self._handshake, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        was_open = self._decoder is not None
        self._decoder = None
        self._lost = True
        self._gentle_close.connection_lost()
        if was_open:
            self._listener.closed(cause_of(reason))
        else:
            self._opening.failed(self.refusal() or self._explained(cause_of(reason)))

    def _explained(self, error: BaseException) -> ConnError:
        """Return the error for a connection that ended before it was open."""
        explanation = explain(error, self.transport)
        if explanation is None and isinstance(error, (ConnectionDone, ConnectionLost)):
            explanation = self._explain_missing_response()
        return ConnError(error, explanation)

    def _explain_missing_response(self) -> str:
        """Return the likely cause if the server closed the connection without a whole response.

        Many servers close it at once when they receive TLS instead of HTTP, or HTTP instead of TLS.
        """
        if not self._requested:
            return "the server closed the connection during the TLS handshake; did you mean ws://?"
        if self._handshake is not None and self._handshake.answered:
            return "the server closed the connection within its response to the opening handshake"
        ended = "the server closed the connection without answering the opening handshake"
        return ended if self._conn.parsed.secure else f"{ended}; did you mean wss://?"

    # The opening handshake

    def refusal(self) -> RequestError | None:
        """Return the server's refusal with the part of its body received so far, or None."""
        return None if self._handshake is None else self._handshake.refusal()

    def _receive_response(self, handshake: OpeningHandshake, data: bytes) -> None:
        try:
            accepted = handshake.feed(data)
        except WsxError as error:
            self._opening.failed(error)
        else:
            if accepted is not None:
                self._open(accepted)

    def _open(self, accepted: Accepted) -> None:
        self._handshake = None
        self._deflate = accepted.deflate
        inflater = None if accepted.deflate is None else accepted.deflate.inflater()
        decoder = self._decoder = Decoder(self._conn.max_message_size, inflater)
        conn = self._conn.answered(
            accepted.response.headers,
            accepted.response.status,
            accepted.subprotocol,
            accepted.extensions,
            _format_address(self.transport.getPeer()),
        )
        self.transport.registerProducer(self, True)
        read_without_logging_context(self.transport)
        self._opening.succeeded(self, conn)
        # The server sent these bytes before a close frame that succeeded() may have sent.
        if accepted.rest and not self._aborted:
            self._receive_frames(decoder, accepted.rest)

    # Receiving

    def _receive_frames(self, decoder: Decoder, data: bytes) -> None:
        batch = decoder.feed(data)
        self._listener.received(batch)
        if len(data) >= LARGE_PAYLOAD or batch.missing >= LARGE_PAYLOAD:
            self._read_large_payloads()
        more = batch.more
        while more:
            del batch  # Two batches at the same time would start Python's garbage collector.
            batch = decoder.resume()
            self._listener.received(batch)
            more = batch.more

    def _read_large_payloads(self) -> None:
        """From now on, read more bytes at once, and read directly into the decoder's memory."""
        if not self._reads_large_payloads:
            self._reads_large_payloads = True
            increase_read_size(self.transport)
            read_into_buffer(self.transport, self)

    def get_buffer(self) -> memoryview | None:
        """Return memory to read the rest of a large payload into, or None for a normal read."""
        decoder = self._decoder
        return None if decoder is None or self._discarding else decoder.get_buffer()

    def buffer_updated(self, size: int) -> None:
        """Decode the ``size`` bytes that were read into the view of :meth:`get_buffer`."""
        assert self._decoder is not None
        self._listener.received(self._decoder.buffer_updated(size))

    def pause_reading(self) -> None:
        """Pause reading from the transport, as backpressure on the server."""
        if not self._discarding:
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Resume reading from the transport."""
        self.transport.resumeProducing()
        read_without_logging_context(self.transport)

    # Sending

    def buffer(self, frames: list[object]) -> None:
        """Encode frames for the next flush: all of them or none.

        Args:
            frames: The frames, in the order of sending.

        Raises:
            InvalidFrameError: One of the values is not a frame.
            FrameEncodeError: RFC 6455 does not allow one of the frames.
        """
        if len(frames) == 1 and self._deflate is None:  # Nearly every reply is one frame.
            self.buffer_one(frames[0])
            return
        if self._deflate is None:
            encoded = list(map(encode_frame, frames))
        else:
            encoded = _encode_compressed(self._deflate, frames)
        self._outgoing += encoded
        self.buffered += sum(map(len, encoded))

    def buffer_one(self, frame: object) -> None:
        """Encode one frame for the next flush.

        Raises:
            InvalidFrameError: The value is not a frame.
            FrameEncodeError: RFC 6455 does not allow the frame.
        """
        if self._deflate is not None:
            self.buffer([frame])
        else:
            encoded = encode_frame(frame)
            self._outgoing.append(encoded)
            self.buffered += len(encoded)

    def send(self, frame: object) -> None:
        """Pass a frame to the transport, after the frames that wait for the next flush.

        Raises:
            InvalidFrameError: The value is not a frame.
            FrameEncodeError: RFC 6455 does not allow the frame.
        """
        if self._outgoing or self._deflate is not None:
            self.buffer_one(frame)
            self.flush()
        else:
            self.transport.write(encode_frame(frame))

    def flush(self) -> None:
        """Pass the encoded frames to the transport in one write."""
        outgoing = self._take_outgoing()
        if outgoing:
            self.transport.write(outgoing)

    def flush_now(self) -> None:
        """Write the encoded frames to the socket at once if the write buffer is empty."""
        outgoing = self._take_outgoing()
        if outgoing:
            write_now(self.transport, outgoing)

    def _take_outgoing(self) -> bytes:
        outgoing = self._outgoing
        if not outgoing:
            return b""
        self._outgoing = []
        self.buffered = 0
        return outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)

    # Closing

    def start_closing(self, code: int, message: str) -> None:
        """Send a close frame, and discard all bytes that are received from now on.

        Args:
            code: The close code.
            message: The close message, at most 123 bytes in UTF-8.

        Raises:
            FrameEncodeError: RFC 6455 does not allow the code or the message. Nothing is sent.
        """
        self._send_close(close_payload(code, message))

    def answer_close(self, code: int) -> None:
        """Answer the server's close frame with the same close code (RFC 6455 section 5.5.1)."""
        self._send_close(b"" if code == NO_STATUS_RECEIVED else close_payload(code, ""))

    def _send_close(self, payload: bytes) -> None:
        if self._close_sent:  # RFC 6455 section 5.5.1: no frame may follow a close frame.
            return
        self._close_sent = self._discarding = True
        self.resume_reading()  # Otherwise the end of the TCP connection would not be detected.
        self._outgoing.append(encode(CLOSE, payload, masks.take()))
        self.flush()

    def close_gently(self, reactor: IReactorTime) -> None:
        """Close the TCP connection with FIN, and abort it if that takes longer than one second."""
        self._discarding = True
        if not self._lost:
            self._gentle_close.start(reactor, self.transport, self.abort)

    def abort(self) -> None:
        """Abort the TCP connection."""
        self._discarding = self._aborted = True
        if self.transport is not None:
            self.transport.abortConnection()

    # IPushProducer: the transport's write buffer

    def pauseProducing(self) -> None:
        """Record that the write buffer is above its high-water mark."""
        self.writable = False

    def resumeProducing(self) -> None:
        """Record that the write buffer has drained, and continue sending."""
        self.writable = True
        if self._decoder is not None:
            self._listener.writable()

    def stopProducing(self) -> None:
        """Record that the transport is closed. ``connectionLost`` is called next."""
        self.writable = False


def _encode_compressed(deflate: Deflate, frames: list[object]) -> list[bytes]:
    """Check all frames, then encode them: compressing a frame changes the shared LZ77 window."""
    checked = [(frame, wire_payload(frame)) for frame in frames]
    encoded = []
    for frame, payload in checked:
        assert isinstance(frame, Frame)
        flags = FIN
        if isinstance(frame, (Text, Binary)):
            payload = deflate.compress(payload)
            flags |= RSV1
        encoded.append(encode(frame.opcode, payload, masks.take(), flags))
    return encoded


def cause_of(failure: Failure) -> BaseException:
    """Return the exception of a Failure."""
    assert failure.value is not None
    return failure.value


def _format_address(address: IAddress) -> str:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        return str(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

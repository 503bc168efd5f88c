"""One WebSocket connection: a Twisted protocol from the opening handshake to the end of TCP.

It decodes received bytes into :class:`wsx._wire.batch.Batch` values for a :class:`Listener`, and
encodes frames into bytes for the transport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet import protocol
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._failures import cause_of
from wsx._scheduler import MAX_WORK_SECONDS, Scheduler, SoonCall
from wsx._transport.asyncio_reads import AsyncioReads
from wsx._transport.autobahn import Deflate, install_native_masker
from wsx._transport.direct_reads import read_directly, read_into_buffer
from wsx._transport.gentle_close import GentleClose
from wsx._transport.opening import Accepted, OpeningHandshake
from wsx._transport.sockets import close_aborted, increase_read_size, write_now
from wsx._transport.tls_problems import explain
from wsx._wire.assembler import LARGE_PAYLOAD
from wsx._wire.batch import Batch
from wsx._wire.decoder import Decoder
from wsx._wire.encoder import encode, encode_frame, masks
from wsx._wire.fragments import FragmentEncoder
from wsx.conn import Conn
from wsx.errors import ConnError, RequestError, WsxError
from wsx.frames import CLOSE, NO_STATUS_RECEIVED, Binary, Text, close_payload

__all__ = ["Connection", "Listener", "Opening"]

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

    A transport that raises any exception is treated as lost. After an abort, the end of the
    connection is reported even if the transport does not report it.

    Args:
        conn: Where and how to connect.
        scheduler: For work that continues in a later reactor iteration.
        opening: Notified until the opening handshake is complete.
        listener: Notified after the opening handshake.

    Attributes:
        writable: Whether the write buffer is below its high-water mark.
        buffered: The number of encoded bytes that wait for the next flush.
    """

    transport: Any

    def __init__(
        self, conn: Conn, scheduler: Scheduler, opening: Opening, listener: Listener
    ) -> None:
        self._conn = conn
        self._scheduler = scheduler
        self._opening = opening
        self._listener = listener
        self._handshake: OpeningHandshake | None = OpeningHandshake(conn)
        self._deflate: Deflate | None = None
        self._decoder: Decoder | None = None  # While the connection is open.
        self._discarding = False  # Whether received bytes are discarded.
        self._has_rest = False  # Whether the decoder has undecoded frames of a read.
        self._continuing: SoonCall | None = None  # The call that decodes these.
        self._reading_paused = False  # By the listener.
        self._close_sent = False
        self._requested = False  # Whether the request of the opening handshake was sent.
        self._aborted = False
        self._failure: Exception | None = None  # The exception that the transport raised.
        self._loss: BaseException | None = None  # Why TCP ended.
        self._reads: AsyncioReads | None = None
        self._reads_large_payloads = False
        self._outgoing: list[bytes] = []
        self._gentle_close = GentleClose()
        self.buffered = 0
        self.writable = True

    # Twisted's events

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self._call(self.transport.setTcpNoDelay, True)
            self._call(self.transport.setTcpKeepAlive, True)
        read_directly(self.transport, self)
        self._reads = AsyncioReads(self.transport)
        self._reads.start()
        self._opening.connected(self)
        # A TLS transport calls handshakeCompleted itself once its own handshake is done.
        if not ISSLTransport.providedBy(self.transport):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """Send the request of the opening handshake. A TLS transport calls this."""
        self._opening.secured()
        if self._handshake is not None:
            self._requested = True
            self._call(self.transport.write, self._handshake.request())

    def dataReceived(self, data: bytes) -> None:
        if self._discarding:
            return
        if self._has_rest and self._decoder is not None:
            self._decoder.append(data)
        elif self._decoder is not None:
            self._receive_frames(self._decoder, data)
        elif self._handshake is not None:
            self._receive_response(self._handshake, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._loss is not None:
            return  # It was reported without the transport.
        self._loss = self._failure or cause_of(reason)
        self.writable = False
        self._gentle_close.connection_lost()
        if self._decoder is None:
            self._opening.failed(self.refusal() or self._explained(self._loss))
        elif not self._has_rest:
            self._report_loss()

    def _report_loss(self) -> None:
        """Report the end of an open connection, after all of its frames."""
        assert self._loss is not None
        if self._decoder is not None:
            self._decoder = None
            self._listener.closed(self._loss)

    def _call(self, method: Callable[..., object], *arguments: object) -> None:
        """Call a method of the transport. If it raises, the connection is lost."""
        try:
            method(*arguments)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Treat the connection as lost, because a method of the transport has raised."""
        if self._failure is not None or self._loss is not None:
            return
        self._failure = error
        self.writable = False
        if self._decoder is None:
            self._opening.failed(ConnError(error))
        else:
            self.abort()

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
        self._call(self.transport.registerProducer, self, True)
        self._opening.succeeded(self, conn)
        # The server sent these bytes before a close frame that succeeded() may have sent.
        if accepted.rest and not self._aborted:
            self._receive_frames(decoder, accepted.rest)

    # Receiving

    def _receive_frames(self, decoder: Decoder, data: bytes) -> None:
        batch = decoder.feed(data)
        more = self._has_rest = batch.more
        until = self._scheduler.monotonic() + MAX_WORK_SECONDS if more else 0.0
        self._listener.received(batch)
        if len(data) >= LARGE_PAYLOAD or batch.missing >= LARGE_PAYLOAD:
            self._read_large_payloads()
        del batch  # Two batches at the same time would start Python's garbage collector.
        if self._has_rest:
            self._receive_rest(decoder, until)

    def _receive_rest(self, decoder: Decoder, until: float) -> None:
        """Decode the rest of a read, but not while reading is paused and not for too long.

        Nothing more is read before the rest is decoded.

        Args:
            decoder: The decoder that has the rest.
            until: The monotonic time in seconds from which on no other batch is decoded.
        """
        while self._has_rest and not self._reading_paused:
            if self._scheduler.monotonic() >= until:
                self._continue_later()
                break
            batch = decoder.resume()
            self._has_rest = batch.more
            self._listener.received(batch)
            del batch
        if self._has_rest and not self._reading_paused:
            self._call(self.transport.pauseProducing)

    def _continue_later(self) -> None:
        if self._continuing is None:
            self._continuing = self._scheduler.call_soon(self._continue)

    def _continue(self) -> None:
        self._continuing = None
        if self._has_rest and self._decoder is not None:
            self._receive_rest(self._decoder, self._scheduler.monotonic() + MAX_WORK_SECONDS)
        if self._has_rest:
            return
        if self._loss is not None:
            self._report_loss()
        elif not self._reading_paused:
            self._read_again()

    def take_rest(self) -> Decoder | None:
        """Return the decoder if it has undecoded frames, which the caller must decode.

        Call this when the closing handshake starts, because the connection decodes no more.
        """
        if not self._has_rest:
            return None
        self._has_rest = False
        if self._loss is not None:
            self._continue_later()
        return self._decoder

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
            self._reading_paused = True
            self._call(self.transport.pauseProducing)

    def resume_reading(self) -> None:
        """Resume reading from the transport, after the rest of the last read."""
        self._reading_paused = False
        if self._has_rest:
            self._continue_later()
        else:
            self._read_again()

    def _read_again(self) -> None:
        if self._loss is None:
            self._call(self.transport.resumeProducing)
        if self._reads is not None:
            self._call(self._reads.start)

    # Sending

    def buffer(self, frames: list[object]) -> None:
        """Encode frames for the next flush: all of them or none.

        Args:
            frames: The frames, in the order of sending.

        Raises:
            InvalidFrameError: One of the values is not a frame.
            FrameEncodeError: RFC 6455 does not allow one of the frames.
        """
        if self._deflate is None:
            encoded = list(map(encode_frame, frames))
        else:
            encoded = self._deflate.encode(frames)
        self._outgoing += encoded
        self.buffered += sum(map(len, encoded))

    def buffer_one(self, frame: object) -> None:
        """Encode one frame for the next flush.

        Raises:
            InvalidFrameError: The value is not a frame.
            FrameEncodeError: RFC 6455 does not allow the frame.
        """
        if self._deflate is None:
            encoded = encode_frame(frame)
        else:
            (encoded,) = self._deflate.encode([frame])
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
            self._call(self.transport.write, encode_frame(frame))

    def fragments(self, kind: type[Text] | type[Binary]) -> FragmentEncoder:
        """Return an encoder for one message, during which no other one may be encoded."""
        return FragmentEncoder(kind, self._deflate)

    def send_encoded(self, data: bytes) -> None:
        """Pass an encoded frame to the transport, after the frames that wait for the next flush."""
        self._outgoing.append(data)
        self.flush()

    def flush(self) -> None:
        """Pass the encoded frames to the transport in one write."""
        outgoing = b"".join(self._outgoing)
        self._outgoing.clear()
        self.buffered = 0
        if outgoing:
            self._call(self.transport.write, outgoing)

    def flush_now(self) -> None:
        """Write the encoded frames to the socket at once if the write buffer is empty."""
        outgoing = b"".join(self._outgoing)  # Not a copy if there is only one.
        self._outgoing.clear()
        self.buffered = 0
        if outgoing:
            try:  # As _call does, without the call.
                write_now(self.transport, outgoing)
            except Exception as error:
                self._failed(error)

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

    def close_gently(self) -> None:
        """Close the TCP connection with FIN, and abort it if that takes longer than one second."""
        self._discarding = True
        if self._loss is None:
            self._call(self._gentle_close.start, self._scheduler, self.transport, self.abort)

    def abort(self) -> None:
        """Abort the TCP connection."""
        self._discarding = self._aborted = True
        if self.transport is None or self._loss is not None:
            return
        self._call(self.transport.abortConnection)
        self._scheduler.after_reading(self._end)

    def _end(self) -> None:
        """Close the socket and report the end, unless the transport has done so."""
        self._call(close_aborted, self.transport)
        if self._loss is None:
            self.connectionLost(Failure(self._failure or ConnectionAborted()))

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


def _format_address(address: IAddress) -> str:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        return str(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

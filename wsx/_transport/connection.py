"""Autobahn, and everything that must be known about it: no other module imports it.

An :class:`Attempt` makes one connection, up to the end of the opening handshake; the
:class:`Connection` it leads to is Autobahn's client protocol. Both speak to a :class:`Listener`.

From Autobahn come the protocol's states, the closing handshake and permessage-deflate. Its opening
handshake, frame parser, frame writer and timers are replaced; each replacement says why.

The module is long because Autobahn is to be seen from here alone.
"""

from __future__ import annotations

from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.xormasker import create_xor_masker
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._transport.endpoints import endpoint_for
from wsx._transport.sockets import read_largely, read_to_taker, read_without_detour, write_now
from wsx._version import __version__
from wsx._wire import handshake
from wsx._wire.decoder import MUCH, Decoder
from wsx._wire.encoder import FIN, RSV1, encode, encode_frame, masks
from wsx._wire.inflater import Inflater
from wsx.conn import Conn
from wsx.errors import ConnError, FrameError, HandshakeError, WsxError
from wsx.frames import NO_STATUS_RECEIVED, Binary, Frame, Text, close_payload, wire_payload

__all__ = ["Attempt", "Connection", "Listener"]

_log = Logger("wsx")
_USER_AGENT = f"wsx/{__version__}"


def _mask_natively(payload: bytes, mask: bytes) -> bytes:
    masked: bytes = create_xor_masker(mask, len(payload)).process(payload)
    return masked


if create_xor_masker.__module__.startswith("autobahn.nvx"):  # not its loop in pure Python
    masks.apply_long = _mask_natively


class Listener(Protocol):
    """Who is told what happens to an attempt and to the connection it leads to.

    ``failed`` or ``opened`` comes once for an attempt that was not cancelled; after ``opened``,
    ``closed`` comes once, at the very end. None of them is called by a method of the connection
    within the same step, except ``failed`` by ``start``.
    """

    def opened(self, connection: Connection, conn: Conn) -> None:
        """The opening handshake is complete; ``conn`` says how it was answered."""

    def failed(self, error: WsxError) -> None:
        """There will be no connection."""

    def received(self, frames: list[Frame], joined: list[Frame], controls: bool) -> None:
        """A batch: the frames that a read completed, if any.

        Args:
            frames: in their order.
            joined: those of them that were fragmented.
            controls: whether there may be pings or pongs among them.
        """

    def own_pong(self, payload: bytes) -> None:
        """A pong whose payload begins with the token given to ``expect_pongs``."""

    def peer_closed(self, code: int, message: str) -> None:
        """The peer's close frame came."""

    def violated(self, error: FrameError) -> None:
        """The peer broke the protocol."""

    def writable(self) -> None:
        """The write buffer is below its high-water mark again."""

    def closed(self, reason: BaseException) -> None:
        """TCP is at its end."""


class Attempt:
    """One attempt to connect: DNS, TCP, proxy, TLS and the opening handshake, each in time.

    Args:
        conn: where to and how.
        reactor: for connections and time.
        listener: is told the outcome.
    """

    def __init__(self, conn: Conn, reactor: Any, listener: Listener) -> None:
        self.conn = conn
        self.listener = listener
        self._reactor = reactor
        self._connecting: Any = None
        self._connection: Connection | None = None
        self._timer: IDelayedCall | None = None
        self._over = False

    def start(self) -> None:
        """Begins; may fail at once."""
        self._expect("connecting", self.conn.socket_connect_timeout)
        try:
            self._connecting = endpoint_for(self.conn, self._reactor).connect(_Factory(self))
            self._connecting.addErrback(self._connect_failed)
        except Exception as error:  # a user's endpoint, or an option that only shows now
            self._connecting = None
            self.fail(ConnError(error))

    def cancel(self) -> bool:
        """Ends the attempt; the listener hears no more of it.

        Returns:
            whether there is a TCP connection, which is at its end in the next step.
        """
        if self._finish():
            self._clear_away()
        return self._connection is not None

    # What the connection says

    def connected(self, connection: Connection) -> None:
        """TCP is there, and the proxy let us through."""
        self._connection = connection
        if self._over:
            connection.cut()

    def secured(self) -> None:
        """TLS is there too, if it was asked for: the request goes out."""
        if not self._over:
            self._expect("the handshake response", self.conn.socket_recv_timeout)

    def succeed(self, connection: Connection, conn: Conn) -> None:
        """The opening handshake is complete."""
        if self._finish():
            self.listener.opened(connection, conn)

    def fail(self, error: WsxError) -> None:
        """There will be no connection."""
        if self._finish():
            self._clear_away()
            self.listener.failed(error)

    # Within

    def _expect(self, what: str, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._reactor.callLater(seconds, self._timed_out, what, seconds)

    def _timed_out(self, what: str, seconds: float) -> None:
        self._timer = None
        refusal = None if self._connection is None else self._connection.refusal()
        timeout = TimeoutError(f"{what} took over {seconds:g} s")
        self.fail(ConnError(timeout) if refusal is None else refusal)

    def _connect_failed(self, failure: Failure) -> None:
        self.fail(ConnError(_cause(failure)))

    def _finish(self) -> bool:
        """Says whether this is the first outcome."""
        first = not self._over
        self._over = True
        self._stop_timer()
        return first

    def _clear_away(self) -> None:
        if self._connecting is not None:
            try:
                self._connecting.cancel()
            except Exception:  # of a user's endpoint
                _log.failure("an endpoint could not be cancelled")
        if self._connection is not None:
            self._connection.cut()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@implementer(IHandshakeListener, IPushProducer)
class Connection(WebSocketClientProtocol):  # type: ignore[misc]
    """Autobahn's client protocol with the parts replaced that cannot be used.

    Not used of it: ``connectionMade`` (copies 20 options for each connection and formats log lines
    that nobody reads), its timers (global, cut to whole seconds), ``dataReceived`` (slices the rest
    of the buffer twice for each frame), ``sendFrame`` (masks that can be predicted).
    """

    # Autobahn would copy these from its factory.
    closeHandshakeTimeout = 0
    closeHandshakeTimeoutCall = None

    def __init__(self, attempt: Attempt) -> None:
        super().__init__()
        self.state = WebSocketClientProtocol.STATE_CONNECTING
        self._attempt = attempt
        self._listener = attempt.listener
        self._conn = attempt.conn
        self._key = handshake.make_key()
        self._header = handshake.HeaderReader(attempt.conn.max_header_size)
        self._refusal: handshake.BodyReader | None = None
        self._deflate: PerMessageDeflate | None = None
        self._decoder: Decoder | None = None
        self._deaf = False  # what arrives is thrown away
        self._cut = False
        self._reads_largely = False
        self._outgoing: list[bytes] = []
        self.gathered = 0  # bytes of it
        self.writable = True

    # Twisted's events

    def connectionMade(self) -> None:
        transport = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        self._attempt.connected(self)
        # TLS is an attribute of the transport, but its handshake is still to come.
        if not ISSLTransport.providedBy(transport):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """The transport is ready: the request goes out."""
        self._attempt.secured()
        offer = PerMessageDeflateOffer().get_extension_string() if self._conn.compression else None
        self.transport.write(handshake.request(self._conn, self._key, offer, _USER_AGENT))

    def dataReceived(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._decoder is not None:
            self._receive_frames(self._decoder, data)
        elif self._refusal is not None:
            self._receive_refusal(self._refusal, data)
        elif self.state == self.STATE_CONNECTING:
            self._receive_response(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        connected = self._decoder is not None
        self.state = self.STATE_CLOSED
        self._decoder = None
        if connected:
            self._listener.closed(_cause(reason))
        else:
            self._attempt.fail(self.refusal() or ConnError(_cause(reason)))

    # The opening handshake

    def refusal(self) -> WsxError | None:
        """Gives the refusal with as much of its body as came, if the server refused."""
        return None if self._refusal is None else self._refusal.error()

    def _receive_response(self, data: bytes) -> None:
        try:
            response = self._header.feed(data)
            if response is None:
                return
            if response.status != 101:
                self._refusal = handshake.BodyReader(response)
                self._receive_refusal(self._refusal, self._header.rest)
                return
            subprotocol = handshake.check(response, self._conn, self._key)
            extensions = self._accept_extensions(response)
        except handshake.NotHTTP as error:
            challenge = handshake.accept_value(self._key)
            self._attempt.fail(HandshakeError(challenge, error.received, error.reason))
        except HandshakeError as error:
            self._attempt.fail(error)
        else:
            self._open(response, subprotocol, extensions)

    def _receive_refusal(self, refusal: handshake.BodyReader, data: bytes) -> None:
        refusal.feed(data)
        if refusal.complete:
            self._attempt.fail(refusal.error())

    def _accept_extensions(self, response: handshake.Response) -> tuple[str, ...]:
        header = ", ".join(response.values("sec-websocket-extensions"))
        if not header:
            return ()

        def refuse(reason: str) -> HandshakeError:
            return HandshakeError(handshake.accept_value(self._key), header, reason)

        answers = self._parseExtensionsHeader(header)
        if [name for name, _ in answers] != ["permessage-deflate"] or not self._conn.compression:
            raise refuse("an extension was not offered")
        try:
            accepted = PerMessageDeflateResponse.parse(answers[0][1])
            accept = PerMessageDeflateResponseAccept(accepted)
            deflate = PerMessageDeflate.create_from_response_accept(False, accept)
        except Exception as error:  # Autobahn raises nothing more special here
            raise refuse(f"the extension's parameters are wrong: {error}") from None
        self._deflate = deflate
        return (header,)

    def _open(
        self, response: handshake.Response, subprotocol: str | None, extensions: tuple[str, ...]
    ) -> None:
        self.state = self.STATE_OPEN
        decoder = self._decoder = Decoder(self._conn.max_message_size, self._inflater())
        rest, self._header.rest = self._header.rest, b""
        conn = self._conn.answered(
            response.headers,
            response.status,
            subprotocol,
            extensions,
            _describe_address(self.transport.getPeer()),
        )
        self.transport.registerProducer(self, True)
        read_without_detour(self.transport)
        self._attempt.succeed(self, conn)
        if rest and not self._cut:  # these came before any close frame that opened() sent
            self._receive_frames(decoder, rest)

    def _inflater(self) -> Inflater | None:
        deflate = self._deflate
        if deflate is None:
            return None
        return Inflater(deflate.server_max_window_bits, not deflate.server_no_context_takeover)

    # The open connection

    def expect_pongs(self, token: bytes) -> None:
        """Pongs whose payload begins with ``token`` go to ``Listener.own_pong``."""
        if self._decoder is not None:
            self._decoder.expect_pongs(token)

    def _receive_frames(self, decoder: Decoder, data: bytes) -> None:
        self._received(decoder, decoder.feed(data))
        much = len(data) >= MUCH or decoder.remaining >= MUCH
        if much and not self._reads_largely:
            self._reads_largely = True
            read_largely(self.transport)
            read_to_taker(self.transport, self)
        while decoder.more:
            self._received(decoder, decoder.feed(b""))
        self._look_for_end(decoder)

    # For wsx._transport.sockets.read_to_taker

    def room(self) -> memoryview | None:
        """Gives room for the rest of a large payload."""
        decoder = self._decoder
        return None if decoder is None or self._deaf else decoder.room()

    def fill(self, size: int) -> None:
        """Takes what was read to it."""
        decoder = self._decoder
        assert decoder is not None
        self._received(decoder, decoder.fill(size))
        self._look_for_end(decoder)

    def _look_for_end(self, decoder: Decoder) -> None:
        if decoder.close is not None:
            self._listener.peer_closed(decoder.close.code, decoder.close.message)
        elif decoder.failure is not None:
            self._listener.violated(decoder.failure)

    def _received(self, decoder: Decoder, frames: list[Frame]) -> None:
        self._listener.received(frames, decoder.joined, decoder.controls)
        if decoder.joined:
            decoder.joined.clear()
        if decoder.own_pongs:
            for payload in decoder.own_pongs:
                self._listener.own_pong(payload)
            decoder.own_pongs.clear()

    def gather(self, frames: list[object]) -> None:
        """Encodes frames for the next ``flush``, all of them or none.

        Raises:
            InvalidFrameError, FrameEncodeError: nothing was taken.
        """
        if self._deflate is None:
            encoded = list(map(encode_frame, frames))
        else:
            encoded = self._deflated(self._deflate, frames)
        self._outgoing += encoded
        self.gathered += sum(map(len, encoded))

    def send(self, frame: object) -> None:
        """Hands a frame to the transport, after what was gathered.

        Raises:
            InvalidFrameError, FrameEncodeError: nothing was sent.
        """
        if self._outgoing or self._deflate is not None:
            self.gather([frame])
            self.flush()
        else:
            self.transport.write(encode_frame(frame))

    def flush(self) -> None:
        """Hands what was gathered to the transport, in one write."""
        outgoing = self._take_gathered()
        if outgoing:
            self.transport.write(outgoing)

    def flush_now(self) -> None:
        """The same, but to the socket itself where nothing waits before it."""
        outgoing = self._take_gathered()
        if outgoing:
            write_now(self.transport, outgoing)

    def _take_gathered(self) -> bytes:
        outgoing = self._outgoing
        if not outgoing:
            return b""
        self._outgoing = []
        self.gathered = 0
        return outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)

    def _deflated(self, deflate: PerMessageDeflate, frames: list[object]) -> list[bytes]:
        """Checks all before the first changes what the compression remembers."""
        checked = [(frame, wire_payload(frame)) for frame in frames]
        encoded = []
        for frame, payload in checked:
            assert isinstance(frame, Frame)
            flags = FIN
            if isinstance(frame, (Text, Binary)):
                deflate.start_compress_message()
                payload = deflate.compress_message_data(payload)
                payload += deflate.end_compress_message()
                flags |= RSV1
            encoded.append(encode(frame.opcode, payload, masks.take(), flags))
        return encoded

    def sendFrame(self, opcode: int, payload: bytes = b"", **_: Any) -> None:
        """Sends one frame; Autobahn's closing handshake calls it."""
        self._outgoing.append(encode(opcode, payload, masks.take()))
        self.flush()

    def start_closing(self, code: int, message: str) -> None:
        """Sends a close frame; from now on what arrives is thrown away.

        Raises:
            FrameEncodeError: the code or the message may not be sent; nothing was done.
        """
        payload = close_payload(code, message)
        self._deaf = True
        self.resume_reading()  # or the end of TCP would not be noticed
        self.sendCloseFrame(code, payload[2:])

    def answer_close(self, code: int) -> None:
        """Answers the peer's close frame with the same code, or none (section 5.5.1)."""
        self._deaf = True
        self.resume_reading()
        self.sendCloseFrame(None if code == NO_STATUS_RECEIVED else code, isReply=True)

    def cut(self) -> None:
        """Drops TCP at once."""
        self._deaf = self._cut = True
        if self.transport is not None:
            self.transport.abortConnection()

    def pause_reading(self) -> None:
        """Holds the peer back."""
        if not self._deaf:
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Lets the peer go on."""
        self.transport.resumeProducing()
        read_without_detour(self.transport)

    # The transport's view of us as a producer: its write buffer

    def pauseProducing(self) -> None:
        """The write buffer is above its high-water mark."""
        self.writable = False

    def resumeProducing(self) -> None:
        """The write buffer is below it again."""
        self.writable = True
        if self.state != self.STATE_CLOSED:
            self._listener.writable()

    def stopProducing(self) -> None:
        """The transport is gone; ``connectionLost`` says so too."""
        self.writable = False


class _Factory(WebSocketClientFactory):  # type: ignore[misc]
    """Builds the connection of one attempt.

    Autobahn's ``__init__`` is not run: it reseeds the random generator that everybody shares.
    """

    noisy = False

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def buildProtocol(self, addr: IAddress) -> Connection:
        connection = Connection(self._attempt)
        connection.factory = self
        return connection


def _cause(failure: Failure) -> BaseException:
    assert failure.value is not None
    return failure.value


def _describe_address(address: IAddress) -> str:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        return str(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""Decoders that tests compare: both forms of wsx, Autobahn and ``wsproto``."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from twisted.internet.testing import StringTransport

from wsx._wire.handshake import accept_value
from wsx.errors import FrameError
from wsx.test.support.extras import wsproto
from wsx.test.support.forms import IMPORTED, PURE
from wsx.test.support.streams import CLEAN, Item, Outcome, Terms

Reader = Callable[[list[bytes], Terms], Outcome]


class Step(NamedTuple):
    """One batch, as values that can be compared between two forms of wsx.

    Attributes:
        frames: Kind, payload and repr of each frame.
        has_controls: As in the batch.
        fragmented: The positions of the fragmented frames among the frames.
        end: The kind of end (``close`` or ``failure``) and its details, or None.
        more: As in the batch.
        missing: As in the batch.
    """

    frames: list[tuple[str, str | bytes, str]]
    has_controls: bool
    fragmented: list[int]
    end: tuple[Any, ...] | None
    more: bool
    missing: int


def step_of(batch: Any) -> Step:
    """Return a batch of any form as a step."""
    return Step(
        [(frame.kind, frame.payload, repr(frame)) for frame in batch.frames],
        batch.has_controls,
        [[frame is one for frame in batch.frames].index(True) for one in batch.fragmented],
        end_of(batch.end),
        batch.more,
        batch.missing,
    )


def end_of(end: Any) -> tuple[Any, ...] | None:
    """Return the end of a batch as a tuple, or None."""
    if end is None:
        return None
    if isinstance(end, FrameError):
        return ("failure", end.close_code, end.opcode, end.reason, str(end))
    return ("close", end.code, end.message)


def steps(decoder: Any, reads: list[bytes], into_buffer: bool = False) -> list[Step]:
    """Decode all reads, as a connection does.

    Args:
        decoder: A decoder of any form.
        reads: The bytes of each read.
        into_buffer: Whether large payloads are read into the decoder's buffer.
    """
    taken: list[Step] = []
    for read in reads:
        data = fill_buffer(decoder, read, taken) if into_buffer else read
        if not data and read:
            continue
        taken.append(step_of(decoder.feed(data)))
        while taken[-1].more:
            taken.append(step_of(decoder.resume()))
    return taken


def fill_buffer(decoder: Any, data: bytes, taken: list[Step]) -> bytes:
    """Write data to the decoder's buffer while it has one; return the rest."""
    while data and (view := decoder.get_buffer()) is not None:
        with view:
            size = min(len(view), len(data))
            view[:size] = data[:size]
        taken.append(step_of(decoder.buffer_updated(size)))
        data = data[size:]
    return data


def wsx_reader(module: Any, into_buffer: bool = False) -> Reader:
    """Return a reader that uses the ``Decoder`` of a module."""

    def read(reads: list[bytes], terms: Terms) -> Outcome:
        taken = steps(module.Decoder(terms.limit, terms.inflater()), reads, into_buffer)
        items = [frame[:2] for step in taken for frame in step.frames]
        ends = [step.end for step in taken if step.end is not None]
        assert len(ends) < 2, "the stream ended twice"
        if not ends:
            return Outcome(items, CLEAN)
        return Outcome(items, ends[0][:2] if ends[0][0] == "failure" else ends[0])

    return read


class Autobahn(WebSocketClientProtocol):  # type: ignore[misc]
    """Autobahn's protocol with its parser; records its decisions instead of acting on them."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Item] = []
        self.end = CLEAN

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.items.append(("binary", payload) if isBinary else ("text", payload.decode()))

    def onPing(self, payload: bytes) -> None:
        self.items.append(("ping", payload))

    def onPong(self, payload: bytes) -> None:
        self.items.append(("pong", payload))

    def sendCloseFrame(self, *_: Any, **__: Any) -> None:
        code = 1005 if self.remoteCloseCode is None else self.remoteCloseCode
        self.end = ("close", code, self.remoteCloseReason or "")
        self.state = self.STATE_CLOSED  # Otherwise it would go on until TCP ends.

    def _fail_connection(self, code: int = 1001, reason: str = "") -> None:
        self.end = ("failure", code)
        self.failedByMe = True
        self.state = self.STATE_CLOSED


@cache
def autobahn_factory() -> WebSocketClientFactory:
    """Return a factory without timers; restore the random generator, which it reseeds."""
    state = random.getstate()
    try:
        factory = WebSocketClientFactory("ws://example.test/")
    finally:
        random.setstate(state)
    factory.protocol = Autobahn
    factory.setProtocolOptions(
        utf8validateIncoming=True,
        failByDrop=True,
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        serverConnectionDropTimeout=0,
        perMessageCompressionOffers=[PerMessageDeflateOffer()],
        perMessageCompressionAccept=PerMessageDeflateResponseAccept,
    )
    return factory


def handshake_response(request: bytes, terms: Terms) -> bytes:
    """Return a server's response (RFC 6455 section 4.2.2)."""
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_value(key)}",
    ]
    if terms.window_bits:
        lines.append(f"Sec-WebSocket-Extensions: {terms.header()}")
    return "\r\n".join([*lines, "", ""]).encode()


def read_autobahn(reads: list[bytes], terms: Terms) -> Outcome:
    """Decode with Autobahn, after an opening handshake."""
    protocol = autobahn_factory().buildProtocol(None)
    transport = StringTransport()
    protocol.maxMessagePayloadSize = terms.limit or 0
    protocol.makeConnection(transport)
    protocol.dataReceived(handshake_response(transport.value(), terms))
    assert protocol.state == protocol.STATE_OPEN, "the opening handshake failed"
    for read in reads:
        protocol.dataReceived(read)
    return Outcome(protocol.items, protocol.end)


def read_wsproto(reads: list[bytes], terms: Terms) -> Outcome:
    """Decode with wsproto, and join the parts of messages."""
    opcodes = wsproto.frame_protocol.Opcode
    extensions: list[wsproto.extensions.Extension] = []
    if terms.window_bits:
        deflate = wsproto.extensions.PerMessageDeflate()
        deflate.finalize(terms.header())
        extensions.append(deflate)
    protocol = wsproto.frame_protocol.FrameProtocol(client=True, extensions=extensions)
    items: list[Item] = []
    parts: list[Any] = []
    for read in reads:
        protocol.receive_bytes(read)
        try:
            for frame in protocol.received_frames():
                if frame.opcode is opcodes.CLOSE:
                    code, message = cast(tuple[int, str], frame.payload)
                    return Outcome(items, ("close", int(code), message))
                if frame.opcode.iscontrol():
                    items.append((frame.opcode.name.lower(), bytes(cast(bytes, frame.payload))))
                    continue
                parts.append(frame.payload)
                if frame.message_finished:
                    empty: Any = "" if frame.opcode is opcodes.TEXT else b""
                    items.append((frame.opcode.name.lower(), empty.join(parts)))
                    parts.clear()
        except wsproto.frame_protocol.ParseFailed as error:
            return Outcome(items, ("failure", int(error.code)))
    return Outcome(items, CLEAN)


READERS: dict[str, Reader] = {
    "wsx": wsx_reader(IMPORTED.decoder),
    "wsx pure": wsx_reader(PURE.decoder),
    "wsx, into its buffer": wsx_reader(IMPORTED.decoder, into_buffer=True),
    "wsx pure, into its buffer": wsx_reader(PURE.decoder, into_buffer=True),
    "Autobahn": read_autobahn,
    "wsproto": read_wsproto,
}


def shorten(value: object) -> str:
    """Return a short repr."""
    shown = repr(value)
    return shown if len(shown) < 300 else f"{shown[:150]} ... {shown[-150:]}"


def first_difference(one: list[Any], other: list[Any]) -> str:
    """Describe the first difference of two lists."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return f"item {i} is {shorten(a)}, not {shorten(b)}"
    ends = f"the ends are {shorten(one[-1:])} and {shorten(other[-1:])}"
    return f"{len(one)} items, not {len(other)}; {ends}"

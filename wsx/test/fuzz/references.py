"""The decoders that wsx is compared with, fed read by read: wsproto and websockets."""

from __future__ import annotations

import logging
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from websockets.extensions.permessage_deflate import PerMessageDeflate as WebsocketsDeflate
from websockets.frames import Opcode as WebsocketsOpcode
from websockets.protocol import CLIENT, OPEN, Protocol
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from wsx.test.support.streams import CLEAN, End, Item, Terms

logging.getLogger("websockets").setLevel(logging.CRITICAL)  # It logs errors of its parser.


class Verdict(NamedTuple):
    """The result of decoding a stream.

    Attributes:
        items: The kind and the payload of each frame, in order.
        end: ``("clean",)``, ``("close", code, message)`` or ``("failure", code, ...)``.
        position: How many bytes had been fed when the end was reached, or all.
        has_final_block: Whether a final deflate block was found (RFC 7692 section 7.2.3.4).
    """

    items: list[Item]
    end: End
    position: int
    has_final_block: bool = False


class Deflate(PerMessageDeflate):
    """wsproto's permessage-deflate, in which control frames do not end a compressed message.

    Attributes:
        has_final_block: Whether a final block was found, after which zlib ignores everything.
    """

    has_final_block = False

    def frame_inbound_header(self, proto: Any, opcode: Any, rsv: Any, payload_length: int) -> Any:
        before = self._inbound_compressed
        result = super().frame_inbound_header(proto, opcode, rsv, payload_length)
        if opcode.iscontrol():
            self._inbound_compressed = before
        return result

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> Any:
        result = super().frame_inbound_payload_data(proto, data)
        self._look_for_final_block(self._decompressor)
        return result

    def frame_inbound_complete(self, proto: Any, fin: bool) -> Any:
        if not self._inbound_is_compressible:
            return None
        stream = self._decompressor
        result = super().frame_inbound_complete(proto, fin)
        self._look_for_final_block(stream)
        return result

    def _look_for_final_block(self, stream: Any) -> None:
        self.has_final_block = self.has_final_block or (stream is not None and stream.eof)


class WsprotoDecoder:
    """wsproto's ``FrameProtocol``, with its parts of messages joined."""

    def __init__(self, terms: Terms, is_client: bool = True) -> None:
        self.items: list[Item] = []
        self.end = CLEAN
        self._deflate: Deflate | None = None
        if terms.window_bits:
            self._deflate = Deflate()
            self._deflate.finalize(terms.header(is_client))
        extensions: list[Any] = [self._deflate] if self._deflate else []
        self._protocol = FrameProtocol(is_client, extensions)
        self._parts: list[Any] = []

    def feed(self, data: bytes) -> None:
        """Decode a read."""
        self._protocol.receive_bytes(data)
        try:
            for frame in self._protocol.received_frames():
                self._add(frame)
                if self.end != CLEAN:
                    return
        except ParseFailed as error:
            self.end = ("failure", int(error.code))

    @property
    def has_final_block(self) -> bool:
        """Whether a final deflate block was found."""
        return self._deflate is not None and self._deflate.has_final_block

    def _add(self, frame: Any) -> None:
        kind = frame.opcode.name.lower()
        if frame.opcode is Opcode.CLOSE:
            code, message = cast(tuple[int, str], frame.payload)
            self.end = ("close", int(code), message)
        elif frame.opcode.iscontrol():
            self.items.append((kind, bytes(frame.payload)))
        else:
            self._parts.append(frame.payload)
            if frame.message_finished:
                empty: Any = "" if frame.opcode is Opcode.TEXT else b""
                self.items.append((kind, empty.join(self._parts)))
                self._parts.clear()


class WebsocketsDecoder:
    """The ``Protocol`` of websockets, with fragments joined and text decoded frame by frame."""

    def __init__(self, terms: Terms) -> None:
        self.items: list[Item] = []
        self.end = CLEAN
        self._protocol = Protocol(CLIENT, state=OPEN, max_size=terms.limit)
        if terms.window_bits:
            deflate = WebsocketsDeflate(not terms.keep_context, False, terms.window_bits, 15)
            self._protocol.extensions = [deflate]
        self._kind = ""
        self._parts: list[Any] = []
        self._decode_text = getincrementaldecoder("utf-8")().decode

    def feed(self, data: bytes) -> None:
        """Decode a read."""
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            self._add(frame)
            if self.end != CLEAN:
                return
        if self._protocol.parser_exc is not None:
            sent = self._protocol.close_sent
            assert sent is not None
            self.end = ("failure", int(sent.code))

    def _add(self, frame: Any) -> None:
        if frame.opcode is WebsocketsOpcode.CLOSE:
            received = self._protocol.close_rcvd
            assert received is not None
            self.end = ("close", int(received.code), received.reason)
        elif frame.opcode in (WebsocketsOpcode.PING, WebsocketsOpcode.PONG):
            self.items.append((frame.opcode.name.lower(), bytes(frame.data)))
        else:
            if frame.opcode is not WebsocketsOpcode.CONT:
                self._kind = frame.opcode.name.lower()
            self._add_part(bytes(frame.data), frame.fin)

    def _add_part(self, data: bytes, is_last: bool) -> None:
        is_text = self._kind == "text"
        try:
            self._parts.append(self._decode_text(data, is_last) if is_text else data)
        except UnicodeDecodeError:
            self.end = ("failure", 1007)
            return
        if is_last:
            empty: Any = "" if is_text else b""
            self.items.append((self._kind, empty.join(self._parts)))
            self._parts.clear()


REFERENCES: dict[str, Any] = {"wsproto": WsprotoDecoder, "websockets": WebsocketsDecoder}


def run_reference(name: str, terms: Terms, reads: list[bytes], filler: Iterator[bytes]) -> Verdict:
    """Decode a stream with a reference; feed it filler while it has not reached an end.

    Args:
        name: A key of ``REFERENCES``.
        terms: The negotiated compression, and the limit.
        reads: The bytes of each read.
        filler: Further reads.
    """
    reference = REFERENCES[name](terms)
    position = 0
    for data in (*reads, *filler):
        position += len(data)
        reference.feed(data)
        if reference.end != CLEAN:
            break
    has_final_block = getattr(reference, "has_final_block", False)
    return Verdict(reference.items, reference.end, position, has_final_block)

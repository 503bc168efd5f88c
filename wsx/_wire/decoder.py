"""Decode bytes into frames (RFC 6455 section 5). Pure; may be compiled.

A :class:`Decoder` takes the bytes of one read and returns a :class:`Batch` of the frames that they
completed. It reads headers and checks what a header can violate; a :class:`MessageAssembler`
collects the payloads of messages that do not arrive in one piece.
"""

from __future__ import annotations

from typing import Final

from wsx._wire.assembler import Inflater, MessageAssembler, invalid_utf8
from wsx._wire.batch import Batch, ServerClose
from wsx._wire.encoder import FIN, MASKED, RSV1
from wsx.errors import FrameError
from wsx.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MAX_CONTROL_PAYLOAD,
    NO_STATUS_RECEIVED,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Binary,
    Frame,
    Ping,
    Pong,
    Text,
    is_wire_close_code,
)

__all__ = ["BATCH_SIZE", "Decoder"]

_RSV: Final = 0x70
_OPCODE: Final = 0x0F
_LENGTH: Final = 0x7F
_FINAL_TEXT: Final = FIN | TEXT
_FINAL_BINARY: Final = FIN | BINARY

# Frames. A batch stays below the 700 new objects that start Python's garbage collector, and is
# freed before the next one: a collection costs more than decoding.
BATCH_SIZE: Final = 512
_MAX_MEDIUM_LENGTH: Final = 65535  # bytes: the most that a 16-bit length can say


class Decoder:
    """Decodes the bytes of one connection.

    Args:
        max_message_size: Bytes of one message after inflation; None means no limit.
        inflater: The negotiated compression, or None.
    """

    __slots__ = (
        "_assembler",
        "_ended",
        "_final",
        "_may_compress",
        "_missing",
        "_most",
        "_start",
        "_undecoded",
    )

    def __init__(
        self,
        max_message_size: int | None = None,
        inflater: Inflater | None = None,
    ) -> None:
        self._assembler = MessageAssembler(max_message_size, inflater)
        self._may_compress = inflater is not None
        self._most = _MAX_MEDIUM_LENGTH  # bytes of a frame that the fast loop decodes
        if max_message_size is not None and max_message_size < _MAX_MEDIUM_LENGTH:
            self._most = max_message_size
        self._undecoded = b""  # from _start on: frames of a later batch, or a part of one frame
        self._start = 0
        self._missing = 0  # bytes still to come of the present data frame
        self._final = False  # whether the present data frame ends its message
        self._ended = False  # by the server's close frame or a protocol error

    def feed(self, data: bytes) -> Batch:
        """Decode the bytes of one read.

        Returns:
            The frames that are complete now, up to ``BATCH_SIZE``. If there are more,
            ``batch.more`` is true, and :meth:`resume` returns them.
        """
        batch = Batch()
        if not self._ended:
            try:
                self._decode(data, batch)
            except FrameError as error:
                batch.end = error
                batch.more = False
            self._ended = batch.end is not None
        return batch

    def resume(self) -> Batch:
        """Return the next batch of a read that held more than one."""
        return self.feed(b"")

    def get_buffer(self) -> memoryview | None:
        """Return memory to read the rest of a large payload into, or None.

        Release the view before calling anything else.
        """
        return None if self._ended else self._assembler.get_buffer(self._missing)

    def buffer_updated(self, size: int) -> Batch:
        """Decode the ``size`` bytes that were written to the view of :meth:`get_buffer`."""
        batch = Batch()
        self._missing -= size
        batch.missing = self._missing
        try:
            self._complete(
                self._assembler.buffer_updated(size, self._final and not self._missing), batch
            )
        except FrameError as error:
            batch.end = error
            self._ended = True
        return batch

    def _decode(self, data: bytes, batch: Batch) -> None:
        pos = 0
        if self._missing:
            pos = self._continue_payload(data, batch)
        elif self._undecoded and data:
            data = self._undecoded[self._start :] + data
        elif self._undecoded:
            data, pos = self._undecoded, self._start
        pos = self._decode_frames(data, pos, batch)
        batch.missing = self._missing
        batch.more = len(batch.frames) >= BATCH_SIZE
        if batch.more:  # copying the rest for each batch would be quadratic in the read's size
            self._undecoded, self._start = data, pos
        else:
            self._undecoded, self._start = data[pos:], 0

    def _decode_frames(self, data: bytes, pos: int, batch: Batch) -> int:
        """Decode up to a batch of frames and return where the first undecoded one starts."""
        frames = batch.frames
        end = len(data)
        while end - pos >= 2 and len(frames) < BATCH_SIZE and batch.end is None:
            if self._assembler.opcode == CONTINUATION:
                pos = _decode_short_messages(data, pos, self._most, frames)
                if end - pos < 2 or len(frames) >= BATCH_SIZE or _may_wait(data, pos, self._most):
                    break
            after = self._decode_frame(data, pos, batch)
            if after < 0:
                break
            pos = after
        return pos

    def _decode_frame(self, data: bytes, pos: int, batch: Batch) -> int:
        """Decode the frame at ``pos``; return where it ends, or -1 if too little is here."""
        first, second = data[pos], data[pos + 1]
        self._check_first_bytes(first, second)
        start, length = _payload_bounds(data, pos, second & _LENGTH, first & _OPCODE)
        if start < 0:
            return -1
        opcode = first & _OPCODE
        if opcode & 0x8:
            stop = start + length
            if stop > len(data):
                return -1
            _add_control(opcode, data[start:stop], batch)
            return stop
        self._begin_data_frame(first, opcode, length)
        stop = min(start + length, len(data))
        self._add_payload(data[start:stop], batch)
        return stop

    def _check_first_bytes(self, first: int, second: int) -> None:
        """Check what the first two bytes of a frame can violate (RFC 6455 section 5.2)."""
        opcode = first & _OPCODE
        in_message = self._assembler.opcode != CONTINUATION
        if first & _RSV & ~RSV1 or (first & RSV1 and not self._allows_rsv1(opcode)):
            raise FrameError("a reserved bit is set", opcode, PROTOCOL_ERROR)
        if second & MASKED:  # section 5.1
            raise FrameError("the server masked a frame", opcode, PROTOCOL_ERROR)
        if opcode & 0x8:
            _check_control(first, second, opcode)
        elif opcode > BINARY:
            raise FrameError(f"opcode {opcode} is reserved", opcode, PROTOCOL_ERROR)
        elif opcode == CONTINUATION and not in_message:  # section 5.4
            raise FrameError("a continuation frame outside a message", opcode, PROTOCOL_ERROR)
        elif opcode != CONTINUATION and in_message:
            raise FrameError("a new message inside a fragmented one", opcode, PROTOCOL_ERROR)

    def _allows_rsv1(self, opcode: int) -> bool:
        return self._may_compress and opcode in (TEXT, BINARY)  # RFC 7692 section 6

    def _begin_data_frame(self, first: int, opcode: int, length: int) -> None:
        if opcode == CONTINUATION:
            self._assembler.fragmented = True
        else:
            self._assembler.begin(opcode, bool(first & RSV1))
        self._assembler.announce(length)
        self._missing = length
        self._final = bool(first & FIN)

    def _continue_payload(self, data: bytes, batch: Batch) -> int:
        """Add the next part of a data frame's payload and return where it ends."""
        stop = min(self._missing, len(data))
        self._add_payload(data if stop == len(data) else data[:stop], batch)
        return stop

    def _add_payload(self, part: bytes, batch: Batch) -> None:
        self._missing -= len(part)
        self._complete(self._assembler.add(part, self._final and not self._missing), batch)

    def _complete(self, frame: Frame | None, batch: Batch) -> None:
        if frame is not None:
            batch.frames.append(frame)
            if self._assembler.fragmented:
                batch.fragmented.append(frame)


def _decode_short_messages(data: bytes, pos: int, most: int, frames: list[Frame]) -> int:
    """Decode a run of what nearly every frame is: a short message in one complete frame.

    Returns:
        Where the first frame starts that is something else, incomplete, or beyond the batch.
    """
    end = len(data)
    left = BATCH_SIZE - len(frames)
    try:
        for _ in range(left):
            if end - pos < 2:  # most reads end here, and an IndexError costs more
                break
            first = data[pos]
            length = data[pos + 1]
            start = pos + 2
            if length > 125:
                if length != 126:
                    break
                length = data[pos + 2] << 8 | data[pos + 3]
                start = pos + 4
                if length < 126:
                    break  # not minimal: _payload_bounds raises the error
            stop = start + length
            if stop > end or length > most:
                break
            if first == _FINAL_TEXT:
                text = Text.__new__(Text)  # faster than __init__, compiled or not
                text.payload = data[start:stop].decode()
                frames.append(text)
            elif first == _FINAL_BINARY:
                binary = Binary.__new__(Binary)
                binary.payload = data[start:stop]
                frames.append(binary)
            else:
                break
            pos = stop
    except IndexError:
        return pos  # the header is incomplete
    except UnicodeDecodeError:
        raise invalid_utf8(TEXT) from None
    return pos


def _may_wait(data: bytes, pos: int, most: int) -> bool:
    """Return whether the beginning of a short message may wait for the rest of it.

    Waiting costs less than assembling it from parts. A text that is not ASCII does not wait: it
    may already be invalid, and is refused as early as possible.
    """
    first, length = data[pos], data[pos + 1]
    if length > 125 or length > most or pos + 2 + length <= len(data):
        return False
    return first == _FINAL_BINARY or (first == _FINAL_TEXT and data[pos + 2 :].isascii())


def _payload_bounds(data: bytes, pos: int, length: int, opcode: int) -> tuple[int, int]:
    """Return where the payload starts and its length; -1 and 0 if the header is incomplete."""
    start = pos + 2
    if length == 126:
        start += 2
        minimum = 126
    elif length == 127:
        start += 8
        minimum = 65536
    else:
        return start, length
    if start > len(data):
        return -1, 0
    length = int.from_bytes(data[pos + 2 : start], "big")
    if length < minimum:  # RFC 6455 section 5.2: the minimal number of bytes
        raise FrameError("the length is not in its shortest form", opcode, PROTOCOL_ERROR)
    if length >> 63:
        raise FrameError("the length has its highest bit set", opcode, PROTOCOL_ERROR)
    return start, length


def _check_control(first: int, second: int, opcode: int) -> None:
    """Check the first two bytes of a control frame (RFC 6455 section 5.5)."""
    if opcode > PONG:
        raise FrameError(f"opcode {opcode} is reserved", opcode, PROTOCOL_ERROR)
    if not first & FIN:
        raise FrameError("a control frame is fragmented", opcode, PROTOCOL_ERROR)
    if second > MAX_CONTROL_PAYLOAD:
        raise FrameError("a control frame is longer than 125 bytes", opcode, PROTOCOL_ERROR)
    if opcode == CLOSE and second == 1:
        raise FrameError("a close frame has only half a close code", opcode, PROTOCOL_ERROR)


def _add_control(opcode: int, payload: bytes, batch: Batch) -> None:
    if opcode == CLOSE:
        batch.end = _parse_close(payload)
        return
    batch.has_controls = True
    batch.frames.append(Ping(payload) if opcode == PING else Pong(payload))


def _parse_close(payload: bytes) -> ServerClose:
    """Parse the payload of a close frame (RFC 6455 section 5.5.1)."""
    if not payload:
        return ServerClose(NO_STATUS_RECEIVED, "")
    code = payload[0] << 8 | payload[1]
    if not is_wire_close_code(code):
        raise FrameError(f"close code {code} must not be sent", CLOSE, PROTOCOL_ERROR)
    try:
        return ServerClose(code, str(payload[2:], "utf-8"))
    except UnicodeDecodeError:
        raise invalid_utf8(CLOSE) from None

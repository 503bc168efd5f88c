"""Decode bytes into frames (RFC 6455 section 5). Pure; may be compiled.

A :class:`Decoder` takes the bytes of one read and returns a :class:`Batch` of the frames that are
complete. It parses and checks frame headers. A :class:`MessageAssembler` collects the payloads of
messages that do not arrive in one piece.
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

# In frames. A batch is freed before the next one and has fewer than the 700 new objects that start
# Python's garbage collector, because a collection costs more than decoding.
BATCH_SIZE: Final = 512
# Limits of the work for one batch where it has few messages, or where few bytes inflate to many:
# fragments, and the sum of MessageAssembler.inflated.
_MAX_FRAGMENTS_PER_BATCH: Final = 2048
_MAX_INFLATED_PER_BATCH: Final = 262144  # bytes
_MAX_MEDIUM_LENGTH: Final = 65535  # bytes, the maximum of a 16-bit payload length


class Decoder:
    """Decode the bytes that one connection receives.

    Args:
        max_message_size: The limit in bytes for one message after inflation, or None (default) for
            no limit.
        inflater: The inflater of the negotiated compression, or None (default).
    """

    __slots__ = (
        "_assembler",
        "_ended",
        "_final",
        "_inflated",
        "_max_length",
        "_may_compress",
        "_missing",
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
        # Frames with a longer payload, in bytes, are not decoded in the hot loop.
        self._max_length = _MAX_MEDIUM_LENGTH
        if max_message_size is not None and max_message_size < _MAX_MEDIUM_LENGTH:
            self._max_length = max_message_size
        self._undecoded = b""  # From _start on: frames of a later batch, or part of one frame.
        self._start = 0
        self._missing = 0  # Bytes of the current data frame that have not been received.
        self._final = False  # Whether the current data frame is the last one of its message.
        self._ended = False  # Whether a close frame or a protocol error was found.
        self._inflated = 0  # Bytes of the inflated messages in the current batch.

    def feed(self, data: bytes) -> Batch:
        """Decode the bytes of one read.

        Args:
            data: The bytes.

        Returns:
            The frames that are complete now, at most ``BATCH_SIZE``, and no more messages after 256
            KiB of inflated ones. If ``batch.more`` is True, :meth:`resume` returns the next ones.
        """
        batch = Batch()
        self._inflated = 0
        if not self._ended:
            try:
                self._decode(data, batch)
            except FrameError as error:
                batch.end = error
                batch.more = False
            self._ended = batch.end is not None
        return batch

    def resume(self) -> Batch:
        """Return the next batch of a read for which ``batch.more`` was True."""
        return self.feed(b"")

    def append(self, data: bytes) -> None:
        """Add the bytes of another read without decoding them, while ``batch.more`` is True."""
        self._undecoded = self._undecoded[self._start :] + data
        self._start = 0

    def get_buffer(self) -> memoryview | None:
        """Return memory to read the rest of a large payload into, or None if there is none.

        Release the view before any other call.
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
        if batch.more:  # Copying the rest for each batch would be quadratic in the size of a read.
            self._undecoded, self._start = data, pos
        else:
            self._undecoded, self._start = data[pos:], 0

    def _decode_frames(self, data: bytes, pos: int, batch: Batch) -> int:
        """Decode frames up to the limits; return the position of the first undecoded byte."""
        frames = batch.frames
        end = len(data)
        decoded = 0
        while end - pos >= 2 and len(frames) < BATCH_SIZE and batch.end is None:
            if decoded >= _MAX_FRAGMENTS_PER_BATCH or self._inflated >= _MAX_INFLATED_PER_BATCH:
                batch.more = True
                return pos
            decoded += 1
            if self._assembler.opcode == CONTINUATION:
                pos = _decode_short_messages(data, pos, self._max_length, frames)
                if (
                    end - pos < 2
                    or len(frames) >= BATCH_SIZE
                    or _may_wait(data, pos, self._max_length)
                ):
                    break
            after = self._decode_frame(data, pos, batch)
            if after < 0:
                break
            pos = after
        batch.more = len(frames) >= BATCH_SIZE
        return pos

    def _decode_frame(self, data: bytes, pos: int, batch: Batch) -> int:
        """Decode the frame at ``pos``; return its end, or -1 if more bytes are needed first."""
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
        """Check the first two bytes of a frame (RFC 6455 section 5.2)."""
        opcode = first & _OPCODE
        in_message = self._assembler.opcode != CONTINUATION
        if first & _RSV & ~RSV1 or (first & RSV1 and not self._allows_rsv1(opcode)):
            raise FrameError("a reserved bit is set", opcode, PROTOCOL_ERROR)
        if second & MASKED:  # RFC 6455 section 5.1
            raise FrameError("the server masked a frame", opcode, PROTOCOL_ERROR)
        if opcode & 0x8:
            _check_control(first, second, opcode)
        elif opcode > BINARY:
            raise FrameError(f"opcode {opcode} is reserved", opcode, PROTOCOL_ERROR)
        elif opcode == CONTINUATION and not in_message:  # RFC 6455 section 5.4
            raise FrameError("a continuation frame outside a message", opcode, PROTOCOL_ERROR)
        elif opcode != CONTINUATION and in_message:  # RFC 6455 section 5.4
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
        """Add the next part of a data frame's payload; return the position after it."""
        stop = min(self._missing, len(data))
        self._add_payload(data if stop == len(data) else data[:stop], batch)
        return stop

    def _add_payload(self, part: bytes, batch: Batch) -> None:
        self._missing -= len(part)
        self._complete(self._assembler.add(part, self._final and not self._missing), batch)

    def _complete(self, frame: Frame | None, batch: Batch) -> None:
        if frame is not None:
            batch.frames.append(frame)
            self._inflated += self._assembler.inflated
            if self._assembler.fragmented:
                batch.fragmented.append(frame)


def _decode_short_messages(data: bytes, pos: int, max_length: int, frames: list[Frame]) -> int:
    """Decode consecutive short messages, each in one complete frame. Nearly all frames are such.

    Args:
        data: The bytes of a read.
        pos: The position of the first frame.
        max_length: The maximum payload length in bytes.
        frames: The messages are appended to this list, up to ``BATCH_SIZE``.

    Returns:
        The position of the first frame that was not decoded.
    """
    end = len(data)
    left = BATCH_SIZE - len(frames)
    try:
        for _ in range(left):
            if end - pos < 2:  # Most reads end here, and raising an IndexError would cost more.
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
                    break  # Not the shortest form: _payload_bounds raises the error.
            stop = start + length
            if stop > end or length > max_length:
                break
            if first == _FINAL_TEXT:
                text = Text.__new__(Text)  # Faster than __init__, compiled or not.
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
        return pos  # The header is incomplete.
    except UnicodeDecodeError:
        raise invalid_utf8(TEXT) from None
    return pos


def _may_wait(data: bytes, pos: int, max_length: int) -> bool:
    """Return whether an incomplete short message may wait for its last bytes.

    Waiting costs less than assembling the message from parts. A text that is not ASCII does not
    wait, because it may already be invalid and is rejected as early as possible.
    """
    first, length = data[pos], data[pos + 1]
    if length > 125 or length > max_length or pos + 2 + length <= len(data):
        return False
    return first == _FINAL_BINARY or (first == _FINAL_TEXT and data[pos + 2 :].isascii())


def _payload_bounds(data: bytes, pos: int, length: int, opcode: int) -> tuple[int, int]:
    """Return the start and the length of a payload; -1 and 0 if the header is incomplete.

    Args:
        data: The bytes of a read.
        pos: The position of the frame.
        length: The 7-bit payload length in the second byte (RFC 6455 section 5.2).
        opcode: The opcode of the frame, for errors.
    """
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
    if length < minimum:  # RFC 6455 section 5.2: the shortest form must be used.
        raise FrameError("the payload length is not in its shortest form", opcode, PROTOCOL_ERROR)
    if length >> 63:  # RFC 6455 section 5.2: the most significant bit must be 0.
        raise FrameError("the payload length has its highest bit set", opcode, PROTOCOL_ERROR)
    return start, length


def _check_control(first: int, second: int, opcode: int) -> None:
    """Check the first two bytes of a control frame (RFC 6455 section 5.5)."""
    if opcode > PONG:
        raise FrameError(f"opcode {opcode} is reserved", opcode, PROTOCOL_ERROR)
    if not first & FIN:
        raise FrameError("a control frame is fragmented", opcode, PROTOCOL_ERROR)
    if second > MAX_CONTROL_PAYLOAD:
        raise FrameError("a control frame is longer than 125 bytes", opcode, PROTOCOL_ERROR)
    if opcode == CLOSE and second == 1:  # RFC 6455 section 5.5.1
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

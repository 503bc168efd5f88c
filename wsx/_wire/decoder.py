"""The wire: bytes to frames (RFC 6455 section 5); :mod:`wsx._wire.encoder` is the other way. Pure.

A :class:`Decoder` takes what one read gave and answers with the list of frames that it completed.
Nothing here waits, writes or knows Twisted; the same source may be compiled.
"""

from __future__ import annotations

from codecs import utf_8_decode
from typing import Final, Protocol

from wsx._wire.buffer import Assembly, assembly
from wsx._wire.encoder import FIN, MASKED, RSV1
from wsx.errors import FrameError
from wsx.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_PAYLOAD,
    MAX_CONTROL_PAYLOAD,
    MESSAGE_TOO_BIG,
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

_RSV: Final = 0x70
_OPCODE: Final = 0x0F
_LENGTH: Final = 0x7F
_FINAL_TEXT: Final = FIN | TEXT
_FINAL_BINARY: Final = FIN | BINARY

BATCH: Final = 512  # below what wakes the garbage collector: 700 objects
_LONGEST_ORDINARY: Final = 65535  # what a length of 16 bits says
MUCH: Final = 65536  # bytes of a payload from which on it is read to where it belongs


class Inflater(Protocol):
    """What a decoder needs of an extension that compresses messages (RFC 7692)."""

    def begin(self, opcode: int) -> None:
        """Starts a message of that opcode."""

    def inflate(self, data: bytes, room: int | None) -> bytes:
        """Inflates a part of a message; FrameError past ``room`` bytes or when corrupt."""

    def end(self, room: int | None) -> bytes:
        """Ends the message; gives what was still to come of it."""


class PeerClose:
    """A peer's close frame: its code (1005 for none, RFC 6455 section 7.1.5) and message."""

    __slots__ = ("code", "message")

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message


class Decoder:
    """Turns the bytes of one connection into frames.

    Args:
        max_message_size: bytes of one message, after inflation; None is no limit.
        inflater: the negotiated compression, if any.

    Attributes:
        failure: set when the peer broke the protocol; nothing is decoded any more.
        close: set when the peer's close frame came; nothing is decoded any more.
        own_pongs: the payloads of pongs to our own pings; the caller empties it.
        remaining: bytes still to come of the payload of a data frame.
        more: whether ``feed(b"")`` would go on with what is here.
        controls: whether there are pings or pongs among the frames that ``feed`` gave last.
        joined: those of the returned frames that came in fragments; the caller empties it.
    """

    __slots__ = (
        "_begin",
        "_compressed",
        "_final",
        "_fragmented",
        "_inflater",
        "_judging",
        "_limit",
        "_most",
        "_opcode",
        "_own_pong",
        "_parts",
        "_size",
        "_undecoded",
        "_undone",
        "close",
        "controls",
        "failure",
        "joined",
        "more",
        "own_pongs",
        "remaining",
    )

    def __init__(
        self,
        max_message_size: int | None = None,
        inflater: Inflater | None = None,
    ) -> None:
        self.failure: FrameError | None = None
        self.close: PeerClose | None = None
        self.own_pongs: list[bytes] = []
        self.joined: list[Frame] = []
        self._limit = max_message_size
        self._most = _LONGEST_ORDINARY  # bytes of an ordinary frame
        if max_message_size is not None and max_message_size < _LONGEST_ORDINARY:
            self._most = max_message_size
        self._inflater = inflater
        self._own_pong: bytes | None = None
        self.controls = False
        self.more = False
        self._undone = b""  # from _begin on: frames of a later batch, or too little of one
        self._begin = 0
        self.remaining = 0
        self._final = False  # whether the present data frame ends its message
        self._opcode = CONTINUATION  # of the message in progress; CONTINUATION for none
        self._compressed = False
        self._fragmented = False
        self._size = 0  # of the message in progress, inflated
        self._parts: Assembly | None = None  # of the message in progress
        self._judging = False  # text is looked at as it comes: up to here it was
        self._undecoded = b""  # the beginning of a code point

    def expect_pongs(self, token: bytes) -> None:
        """Has pongs whose payload begins with ``token`` collected in ``own_pongs``."""
        self._own_pong = token

    def feed(self, data: bytes) -> list[Frame]:
        """Decodes what one read gave.

        Returns:
            the frames that are whole now, in order; those before a failure or a close frame too.
            Where they are many, ``more`` is true after it, and ``feed(b"")`` goes on: so few at a
            time die young, and Python's garbage collector never comes to look at them, which costs
            more than decoding does.
        """
        frames: list[Frame] = []
        self.controls = False
        if self.failure is None and self.close is None:
            try:
                self._decode(data, frames)
            except FrameError as error:
                self.failure = error
                self.more = False
        return frames

    def room(self) -> memoryview | None:
        """Gives room for the rest of a payload, where much is to come; ``fill`` takes what came.

        Not for text that is still looked at as it comes. It is to be released before anything else
        is done.
        """
        if self.remaining < MUCH or self._compressed or self._judging or self.failure is not None:
            return None
        assert self._parts is not None
        return self._parts.room(self.remaining)

    def fill(self, size: int) -> list[Frame]:
        """Takes the bytes that were written to the beginning of the room; gives what ``feed`` does.

        Args:
            size: how many they are.
        """
        frames: list[Frame] = []
        assert self._parts is not None
        self._parts.filled(size)
        self._size += size
        self.remaining -= size
        self.controls = False
        if self._final and not self.remaining:
            try:
                self._finish(frames)
            except FrameError as error:
                self.failure = error
        return frames

    def _decode(self, data: bytes, frames: list[Frame]) -> None:
        pos = 0
        if self.remaining:
            pos = self._continue_payload(data, frames)
        elif self._undone and data:
            data = self._undone[self._begin :] + data
        elif self._undone:
            data, pos = self._undone, self._begin
        pos = self._decode_frames(data, pos, frames)
        self.more = len(frames) >= BATCH
        if self.more:  # a copy for each batch would make a large read quadratic
            self._undone, self._begin = data, pos
        else:
            self._undone, self._begin = data[pos:], 0

    def _decode_frames(self, data: bytes, pos: int, frames: list[Frame]) -> int:
        """Decodes up to a batch of frames; gives where the first one begins that is left."""
        end = len(data)
        while end - pos >= 2 and len(frames) < BATCH and self.close is None:
            if self._opcode == CONTINUATION:
                pos = _decode_ordinary(data, pos, self._most, frames)
                if end - pos < 2 or len(frames) >= BATCH or _may_wait(data, pos, self._most):
                    break
            after = self._decode_carefully(data, pos, frames)
            if after < 0:
                break
            pos = after
        return pos

    def _decode_carefully(self, data: bytes, pos: int, frames: list[Frame]) -> int:
        """Decodes the frame at ``pos``: gives where it ends, or -1 where too little is here."""
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
            self._control(opcode, data[start:stop], frames)
            return stop
        self._begin_data_frame(first, opcode, length)
        stop = min(start + length, len(data))
        self._absorb(data[start:stop], frames)
        return stop

    def _check_first_bytes(self, first: int, second: int) -> None:
        """Applies the rules of RFC 6455 section 5.2 that two bytes are enough for."""
        opcode = first & _OPCODE
        if first & _RSV & ~RSV1 or (first & RSV1 and not self._may_be_compressed(opcode)):
            raise FrameError("a reserved bit is set", opcode, PROTOCOL_ERROR)
        if second & MASKED:
            raise FrameError("a server's frame is masked", opcode, PROTOCOL_ERROR)  # section 5.1
        if opcode & 0x8:
            self._check_control(first, second, opcode)
        elif opcode > BINARY:
            raise FrameError(f"opcode {opcode} is reserved", opcode, PROTOCOL_ERROR)
        elif opcode == CONTINUATION and self._opcode == CONTINUATION:
            raise FrameError("a continuation of nothing", opcode, PROTOCOL_ERROR)  # section 5.4
        elif opcode != CONTINUATION and self._opcode != CONTINUATION:
            raise FrameError("a message begins inside another", opcode, PROTOCOL_ERROR)

    def _may_be_compressed(self, opcode: int) -> bool:
        return self._inflater is not None and opcode in (TEXT, BINARY)  # RFC 7692 section 6

    def _check_control(self, first: int, second: int, opcode: int) -> None:
        if opcode > PONG:
            raise FrameError(f"opcode {opcode} is reserved", opcode, PROTOCOL_ERROR)
        if not first & FIN:
            raise FrameError("a control frame is fragmented", opcode, PROTOCOL_ERROR)
        if second > MAX_CONTROL_PAYLOAD:
            raise FrameError("a control frame is over 125 bytes", opcode, PROTOCOL_ERROR)
        if opcode == CLOSE and second == 1:
            raise FrameError("a close frame has half a code", opcode, PROTOCOL_ERROR)

    def _control(self, opcode: int, payload: bytes, frames: list[Frame]) -> None:
        if opcode == PING:
            self.controls = True
            frames.append(Ping(payload))
        elif opcode == CLOSE:
            self.close = _parse_close(payload)
        elif self._own_pong is not None and payload.startswith(self._own_pong):
            self.own_pongs.append(payload)
        else:
            self.controls = True
            frames.append(Pong(payload))

    def _begin_data_frame(self, first: int, opcode: int, length: int) -> None:
        self._fragmented = opcode == CONTINUATION
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._judging = opcode == TEXT
            self._size = 0
            self._compressed = bool(first & RSV1)
            if self._compressed and self._inflater is not None:
                self._inflater.begin(opcode)
        if not self._compressed:  # what inflation gives is only known later
            self._check_size(self._size + length)
        self.remaining = length
        self._final = bool(first & FIN)

    def _check_size(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            reason = f"the message is over {self._limit} bytes"
            raise FrameError(reason, self._opcode, MESSAGE_TOO_BIG)

    def _continue_payload(self, data: bytes, frames: list[Frame]) -> int:
        """Takes the rest of a data frame's payload; gives where it ends."""
        stop = min(self.remaining, len(data))
        self._absorb(data if stop == len(data) else data[:stop], frames)
        return stop

    def _absorb(self, part: bytes, frames: list[Frame]) -> None:
        """Takes a part of a data frame's payload into the message in progress."""
        self.remaining -= len(part)
        if self._compressed and self._inflater is not None:
            part = self._inflater.inflate(part, self._room())
        self._take(part)
        if self._final and not self.remaining:
            self._finish(frames)

    def _room(self) -> int | None:
        return None if self._limit is None else self._limit - self._size

    def _take(self, part: bytes) -> None:
        self._size += len(part)
        is_last = self._final and not self.remaining
        self._judging = self._judging and self._size <= MUCH
        if self._judging and not is_last:  # or decoding will show
            self._check_text(part)
        if self._parts is None:
            self._parts = assembly()
        self._parts.add(part)

    def _check_text(self, part: bytes) -> None:
        """Looks at it at once, so that a bad text is refused as early as can be (section 8.1)."""
        if not self._undecoded and part.isascii():
            return
        if self._undecoded:
            part = self._undecoded + part
        try:
            _, consumed = utf_8_decode(part, "strict", False)
        except UnicodeDecodeError:
            raise _bad_utf8(TEXT) from None
        self._undecoded = part[consumed:]

    def _finish(self, frames: list[Frame]) -> None:
        if self._compressed and self._inflater is not None:
            self._take(self._inflater.end(self._room()))
        parts, self._parts = self._parts, None
        assert parts is not None
        try:
            frame = parts.frame(self._opcode)
        except UnicodeDecodeError:
            raise _bad_utf8(TEXT) from None
        self._undecoded = b""
        frames.append(frame)
        if self._fragmented:
            self.joined.append(frame)
        self._opcode = CONTINUATION


def _decode_ordinary(data: bytes, pos: int, most: int, frames: list[Frame]) -> int:
    """Decodes what nearly every frame is: a short message that is whole.

    Returns:
        the beginning of the first frame that is something else, not here as a whole, or too many.
    """
    end = len(data)
    left = BATCH - len(frames)
    try:
        for _ in range(left):
            if end - pos < 2:  # that is how most reads end: an IndexError costs more
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
                    break  # not minimal: the careful path says so
            stop = start + length
            if stop > end or length > most:
                break
            if first == _FINAL_TEXT:
                text = Text.__new__(Text)  # quicker than __init__, in either form
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
        return pos  # this header is not here as a whole
    except UnicodeDecodeError:
        raise _bad_utf8(TEXT) from None
    return pos


def _may_wait(data: bytes, pos: int, most: int) -> bool:
    """Tells whether what is here of a short message may wait for the rest.

    That costs less than taking it in parts; but a text that is bad already is not to wait.
    """
    first, length = data[pos], data[pos + 1]
    if length > 125 or length > most or pos + 2 + length <= len(data):
        return False
    return first == _FINAL_BINARY or (first == _FINAL_TEXT and data[pos + 2 :].isascii())


def _bad_utf8(opcode: int) -> FrameError:
    return FrameError("the text is not UTF-8", opcode, INVALID_PAYLOAD)


def _payload_bounds(data: bytes, pos: int, length: int, opcode: int) -> tuple[int, int]:
    """Gives where the payload starts and its length; -1 where the header is not whole."""
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


def _parse_close(payload: bytes) -> PeerClose:
    """Reads a close frame's payload (RFC 6455 section 5.5.1)."""
    if not payload:
        return PeerClose(NO_STATUS_RECEIVED, "")
    code = payload[0] << 8 | payload[1]
    if not is_wire_close_code(code):
        raise FrameError(f"close code {code} may not be sent", CLOSE, PROTOCOL_ERROR)
    try:
        return PeerClose(code, str(payload[2:], "utf-8"))
    except UnicodeDecodeError:
        raise _bad_utf8(CLOSE) from None
